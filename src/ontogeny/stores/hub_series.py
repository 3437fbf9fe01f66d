"""The series of checkpoints in a repository: its revisions grouped into lines of training, forks apart."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores.hub_files import weights_among
from ontogeny.stores.repository import HubFile, Repository
from ontogeny.stores.revisions import COMMITS, PATHS, Label, label_of


@dataclass(frozen=True)
class Revision:
    """A checkpoint in a repository.

    Attributes:
        name: of the branch or tag, or of a commit or path within one, as shown to people.
        commit: that the name pointed to when it was listed.
        label: what the name says.
        inside: folder or file of the checkpoint within the repository; empty for the repository itself.
    """

    name: str
    commit: str
    label: Label
    inside: str = ""


@dataclass(frozen=True)
class Line:
    """The checkpoints of one training from a start to an end.

    Attributes:
        name: of the series, such as "stage1" or "stage2-ingredient1"; empty where names have neither stage nor branch.
        revisions: by step.
        stages: the first step of each stage, where stages go on counting.
        doubles: names of further revisions of a step, at other commits.
    """

    name: str
    revisions: Mapping[int, Revision]
    stages: Mapping[str, int] = field(default_factory=dict)
    doubles: Mapping[int, str] = field(default_factory=dict)


def lines_of(revisions: Iterable[Revision]) -> list[Line]:
    """Revisions as lines, the longest first.

    Names without a stage belong to the first stage, if there is one: early branches of OLMo 2 lack it. Stages that go
    on counting steps, as those of SmolLM3, form one line. Stages that begin again, as those of OLMo, are lines of their
    own, and so is every branch of a stage.
    """
    groups: dict[tuple[str, str], list[Revision]] = {}
    for revision in revisions:
        groups.setdefault((revision.label.stage, revision.label.branch), []).append(revision)
    staged = sorted((key for key in groups if key[0] and not key[1]), key=lambda key: _natural(key[0]))
    if ("", "") in groups and staged and re.fullmatch(r"stage\d+", staged[0][0]):
        groups[staged[0]] = [*groups[staged[0]], *groups.pop(("", ""))]
    lines: list[Line] = []
    for key in [*staged, *(key for key in groups if key not in staged)]:
        line = _line(Label(*key, 0).series, groups[key])
        before = lines[-1] if lines and key in staged else None
        if before and _word(before.name) == _word(line.name) and min(line.revisions) > max(before.revisions):
            stages = {**(before.stages or {before.name: min(before.revisions)}), line.name: min(line.revisions)}
            doubles = {**before.doubles, **line.doubles}
            lines[-1] = Line(before.name, {**before.revisions, **line.revisions}, stages, doubles)
        else:
            lines.append(line)
    return sorted(lines, key=lambda line: -len(line.revisions))


def _line(name: str, revisions: list[Revision]) -> Line:
    chosen: dict[int, Revision] = {}
    doubles: dict[int, str] = {}
    # a name with its stage is preferred to one without
    for revision in sorted(revisions, key=lambda each: (not each.label.stage, each.name)):
        first = chosen.setdefault(revision.label.step, revision)
        if first.commit != revision.commit:
            doubles[revision.label.step] = revision.name
    return Line(name, dict(sorted(chosen.items())), {}, doubles)


def find_line(repository: Repository, refs: Mapping[str, str], wanted: str) -> tuple[Line, list[Line]]:
    """The line that a source asks for, and the others in the repository.

    Args:
        refs: commit by branch and tag.
        wanted: what stands after `@`: empty for the longest line; the name of a line; a pattern of names with `{N}` for
            the step and `*`; or a branch, tag or commit. A branch whose name has no step is looked into for folders and
            files, and then for commits, with steps.

    Raises:
        InvalidArgument: if there is none, or several of one length.
    """
    named = [Revision(name, commit, label) for name, commit in refs.items() if (label := label_of(name)) is not None]
    lines = lines_of(named)
    if "{N}" in wanted:
        return _matching(repository, refs, wanted, lines), lines
    if wanted in refs or (wanted and wanted not in [line.name for line in lines]):
        return _within(repository, refs.get(wanted, wanted), wanted)
    if wanted:
        return _split([line for line in lines if line.name == wanted], lines)
    if not lines:
        # a repository need not have a branch called main
        branch = "main" if "main" in refs else next(iter(refs), "main")
        return _within(repository, refs.get(branch, branch), branch)
    if len(lines) > 1 and len(lines[0].revisions) == len(lines[1].revisions):
        _refuse(repository, lines)
    return _split(lines[:1], lines)


def _split(found: list[Line], lines: list[Line]) -> tuple[Line, list[Line]]:
    return found[0], [line for line in lines if line is not found[0]]


def _within(repository: Repository, commit: str, name: str) -> tuple[Line, list[Line]]:
    """Checkpoints within one revision: its own step, folders or files with steps, commits with steps, or itself."""
    if label := label_of(name):
        return Line(label.series, {label.step: Revision(name, commit, label)}), []
    files = repository.files(commit)
    inside = lines_of(
        Revision(f"{name}:{path}", commit, label, path)
        for path in _places(files)
        if (label := label_of(path, PATHS)) is not None
    )
    if len(inside) > 1 and len(inside[0].revisions) == len(inside[1].revisions):
        _refuse(repository, inside)
    told: dict[int, Revision] = {}  # the last commit of a step is its state
    for title, identity in repository.commits(commit):
        if (label := label_of(title, COMMITS)) is not None:
            told[label.step] = Revision(f"{name}: {title}", identity, label)
    by_commit = lines_of(_best(told))
    lines = sorted([*inside, *by_commit], key=lambda line: -len(line.revisions))
    if lines and (len(lines[0].revisions) > 1 or isinstance(weights_among(files, "", True), str)):
        return _split(lines[:1], lines)
    return Line("", {0: Revision(name, commit, Label("", "", 0))}), []


def _best(told: Mapping[int, Revision]) -> list[Revision]:
    return [told[step] for step in sorted(told)]


def _places(files: list[HubFile]) -> list[str]:
    """Every file, and every folder that holds one directly."""
    paths = [file.path for file in files]
    return list(dict.fromkeys([*(path.rpartition("/")[0] for path in paths if "/" in path), *paths]))


def _matching(repository: Repository, refs: Mapping[str, str], pattern: str, lines: list[Line]) -> Line:
    form = re.compile(re.escape(pattern).replace(re.escape("{N}"), r"(\d+)").replace(r"\*", ".*"))
    found = {name: int(match[1]) for name in sorted(refs) if (match := form.fullmatch(name))}
    steps: dict[int, Revision] = {}
    for name, step in found.items():
        label = label_of(name)
        said = Label("", "", step, label.tokens if label else None)
        if (other := steps.setdefault(step, Revision(name, refs[name], said))).commit != refs[name]:
            raise InvalidArgument(
                "source",
                expected="one revision per step",
                found=f"{other.name} and {name} at step {step}",
                instead=_either(repository, lines) or f'"hf://{repository.name}"',
            )
    if not steps:
        raise InvalidArgument(
            "source",
            expected="a pattern with {N} once, for the step, that branches or tags match",
            found=f"none for {pattern!r}",
            instead=_either(repository, lines) or f'"hf://{repository.name}"',
        )
    return Line(pattern, dict(sorted(steps.items())))


def _refuse(repository: Repository, lines: list[Line]) -> None:
    raise InvalidArgument(
        "source",
        expected=f"one series of checkpoints in hf://{repository.name}",
        found=f"{len(lines)}: {', '.join(line.name or 'step…' for line in lines[:6])}",
        instead=_either(repository, lines),
    )


def _either(repository: Repository, lines: list[Line]) -> str:
    named = [f'"{source_of(repository.name, line)}"' for line in lines[:6]]
    return " or ".join(dict.fromkeys(named))


def source_of(repository: str, line: Line) -> str:
    """What opens a line."""
    first = next(iter(line.revisions.values()))
    if first.inside:  # within a revision a path is opened alone
        return f"hf://{repository}@{first.name}"
    return f"hf://{repository}@{line.name}" if line.name else f"hf://{repository}"


def _natural(name: str) -> tuple[str, int]:
    number = re.search(r"(\d+)$", name)
    return _word(name), int(number[1]) if number else -1


def _word(name: str) -> str:
    return re.sub(r"\d+$", "", name)
