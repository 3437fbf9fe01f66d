"""What the names of revisions, commits and files in public series of checkpoints say: stage, branch, step, tokens."""

import re
from dataclasses import dataclass

_BILLION = 1_000_000_000
# A number above this is a number of tokens, not of steps.
_MOST_STEPS = _BILLION


@dataclass(frozen=True)
class Label:
    """What the name of a checkpoint says of it.

    Attributes:
        stage: of training, such as "stage1"; empty if the name has none.
        branch: of a stage that was run several times from one start, such as "ingredient2"; empty if there is none.
        step: of this stage, or of the whole training, as the series counts. Where a name gives tokens alone, tokens.
        tokens: seen so far as the name rounds them; None if it does not say.
    """

    stage: str
    branch: str
    step: int
    tokens: int | None = None

    @property
    def series(self) -> str:
        """Stage and branch in one name, such as "stage2-ingredient1"."""
        return "-".join(part for part in (self.stage, self.branch) if part)


@dataclass(frozen=True)
class Form:
    """One way in which a suite names its checkpoints.

    Attributes:
        suite: that uses it.
        name: matched by a whole name. Its groups are those of `Label`; `tokens` is in billions.
    """

    suite: str
    name: re.Pattern[str]


def _form(suite: str, pattern: str) -> Form:
    return Form(suite, re.compile(pattern, re.IGNORECASE))


# Branches and tags. The first that matches a whole name decides.
REVISIONS = (
    _form("Pythia, PolyPythias", r"step(?P<step>\d+)"),
    _form("OLMo, early branches of OLMo 2", r"step(?P<step>\d+)-tokens(?P<tokens>\d+)B"),
    _form("OLMo 2, first stage", r"(?P<stage>stage\d+)-step(?P<step>\d+)-tokens(?P<tokens>\d+)B"),
    _form(
        "OLMo 2, forks",
        r"(?P<stage>stage\d+)-(?P<branch>ingredient\d+)-step(?P<step>\d+)-tokens(?P<tokens>\d+)B",
    ),
    _form("OLMo 3", r"(?P<stage>stage\d+)-step(?P<step>\d+)"),
    _form("OLMo 3, forks", r"(?P<stage>stage\d+)-(?P<branch>ingredient\d+)-step(?P<step>\d+)"),
    _form("SmolLM2", r"step-(?P<step>\d+)"),
    _form("FineWeb ablations", r"step-(?P<step>\d+)-(?P<tokens>\d+)BT"),
    _form("GPT-2 of stanford-crfm; Trainer, TRL", r"checkpoint-(?P<step>\d+)"),
    _form("SmolLM3", r"(?P<stage>[a-z][\w.+-]*?)-step-?(?P<step>\d+)"),
)
# First lines of commits.
COMMITS = (
    _form("Pico", r"Saving HF Model -- Step (?P<step>\d+)"),
    _form("Trainer", r"Training in progress, step (?P<step>\d+)"),
    _form("plain loops", r"(?:model|weights|checkpoint)?[ ,:-]*step[ =:-]*(?P<step>\d+)"),
)
# Folders with a checkpoint each, and files, within one revision.
PATHS = (
    _form("Trainer, TRL", r"(?:.+/)?checkpoint-(?P<step>\d+)"),
    _form("toy models of TransformerLens", r"checkpoints/(?P<stage>.+)_(?P<step>\d+)\.pth"),
)

# Tokens of one step, where a suite's documents state the batch: by the beginning of the repository's name.
_TOKENS_A_STEP = (
    (re.compile(r"EleutherAI/pythia-[\d.]+[mb](-deduped)?(-v0)?", re.IGNORECASE), 2_097_152),
    (re.compile(r"HuggingFaceTB/SmolLM3-3B-checkpoints", re.IGNORECASE), 2_359_296),
)


def label_of(name: str, forms: tuple[Form, ...] = REVISIONS) -> Label | None:
    """What a name says; None if it has none of the forms."""
    for form in forms:
        if found := form.name.fullmatch(name.strip()):
            said = found.groupdict()
            step, tokens = int(said["step"]), said.get("tokens")
            counted = int(tokens) * _BILLION if tokens is not None else step if step > _MOST_STEPS else None
            return Label((said.get("stage") or "").lower(), (said.get("branch") or "").lower(), step, counted)
    return None


def tokens_a_step(repository: str) -> int | None:
    """The tokens of one step of a suite whose names do not tell, if its documents do."""
    return next((tokens for name, tokens in _TOKENS_A_STEP if name.fullmatch(repository)), None)
