"""The language study's claims where there is nothing to find: `python -m benchmarks.family_wise`.

Each network learns a text whose tokens were dealt out at random, so that it has token frequencies and nothing else. All
claims are tested on it, as for one seed of the study.
"""

import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from scipy.stats import binomtest

from benchmarks.__main__ import write_section
from ontogeny.core.errors import OntogenyError
from ontogeny.core.seeds import derive, generator
from ontogeny.data import TextConfig, TextData, load_text
from ontogeny.execution import Serial
from ontogeny.measurement import TextProbes
from ontogeny.sampling import SGLD, Fixed, PosteriorConfig
from ontogeny.stores import write_json
from ontogeny.studies import Workspace
from ontogeny.studies.language import STUDY
from ontogeny.studies.language.config import Architecture, LanguageConfig, Refinement, Thresholds
from ontogeny.studies.language.recipe import BASE, develop, heads_of, network
from ontogeny.training import TrainingConfig

TITLE = "Claims of the language study on shuffled text"
LEVEL = 0.05
TEXT = TextConfig(max_bytes=60_000, vocabulary_size=256, context_length=32)
SHAPE = Architecture(d_model=32, num_heads=4)
TRAINING = TrainingConfig(
    num_steps=600, batch_size=16, learning_rate=5e-3, weight_decay=0.05, checkpoints_log=14, checkpoints_linear=3
)
# Attention that is spread evenly over a context of 32 tokens scores four times as high as over one of 128, for which
# the study's thresholds of heads are; from 0.25 the others cannot be raised as far.
THRESHOLDS = Thresholds(
    control_prefix=0.2, head_scores=(("prefix_matching", 0.2), ("previous_token", 0.5), ("current_token", 0.5))
)
SAMPLER = Fixed(kernel=SGLD(5e-4), num_chains=2, num_draws=24, num_warmup=12)
WHOLE = SAMPLER.model_copy(update={"num_draws": 80})
SAID = """
Command: `python -m benchmarks.family_wise`. {count} networks of {size:,} weights, each trained for {steps:,} steps on a
text of its own: the tokens of the standard library's code and prose, dealt out anew, so that there is nothing beyond
their frequencies. Claims of one seed, as the study tests them; all have a null, and there are no exact ones.
"Met" is the claim's own expectation; "p < 0.05" its own p-value; "held" both, after Holm's correction.

**A claim held for {any_held} of {count} networks** ({share:.1%}; 95 % interval {low:.1%} to {high:.1%}), {verdict}.

| claim | tested | met | p < 0.05 | held |
|---|---|---|---|---|
"""


def config_of(seed: int) -> LanguageConfig:
    """The study at a scale of a minute a network, with every claim tested."""
    return LanguageConfig(
        preset="shuffled",
        seed=seed,
        tested=tuple(claim.id for claim in STUDY.claims),
        text=TEXT,
        architecture=SHAPE,
        training=TRAINING,
        control_training=TRAINING,
        posterior=PosteriorConfig(nbeta=30, localization=300, batch_size=8),
        sampler=WHOLE,
        first_measured=5,
        probes=TextProbes(held_out_sequences=64),
        refinement=Refinement(
            checkpoints=4,
            first_measured=10,
            components=tuple(heads_of(SHAPE.with_text(TEXT))),
            sampler=SAMPLER,
            responses=WHOLE,
        ),
        thresholds=THRESHOLDS,
    )


def shuffled(text: TextData, seed: int) -> TextData:
    """All tokens, of every part, dealt out anew: one law for all sequences, and none within them."""
    parts = [rows for split in (text.train, text.validation) for name, rows in split.items() if name != BASE]
    tokens = torch.cat([rows.flatten() for rows in parts])
    dealt = tokens[torch.randperm(len(tokens), generator=generator(seed, "shuffled text"))]
    pieces = iter(dealt.split([rows.numel() for rows in parts]))

    def of(split: dict[str, torch.Tensor]) -> Any:
        made = {name: next(pieces).view_as(rows) for name, rows in split.items() if name != BASE}
        return type(split)(made | {BASE: torch.cat(list(made.values()))})

    return replace(text, train=of(text.train), validation=of(text.validation))


def judged(seed: int, text: TextData) -> list[dict[str, Any]]:
    """Every claim on one network, as the study's `claims.json` has it."""
    config = config_of(seed)
    with TemporaryDirectory() as folder:
        work = Workspace(folder, seed, executor=Serial())
        develop(work, config, shuffled(text, derive(seed, "text")))
        for error in work.errors:
            if not isinstance(error, OntogenyError):  # those say what is missing, and the claims that need it say so
                raise error
        says = STUDY.claims.test(work.findings(), config)
    return [each.record() for each in STUDY.claims.judge({seed: says}, LEVEL)]


def networks(seeds: Sequence[int], out: Path) -> list[list[dict[str, Any]]]:
    """The claims of each, from its file if it was there."""
    text, found = load_text(TEXT, out / "text"), []
    for number, seed in enumerate(seeds, 1):
        path = out / f"network-{seed}.json"
        if not path.exists():
            begun = time.perf_counter()
            write_json(path, judged(seed, text))
            typer.echo(f"network {number} of {len(seeds)}, seed {seed}: {time.perf_counter() - begun:.0f} s")
        found.append(json.loads(path.read_text(encoding="utf-8")))
    return found


def table(found: Sequence[Sequence[dict[str, Any]]]) -> str:
    """One row a claim, and how many networks have any."""
    rows = []
    for claims in zip(*found, strict=True):
        tested = [claim for claim in claims if claim["status"] in ("held", "not held")]
        met = sum(claim["note"] == "met" for claim in tested)
        small = sum(claim["p_value"] is not None and claim["p_value"] < LEVEL for claim in tested)
        held = sum(claim["status"] == "held" for claim in tested)
        rows.append(f"| {claims[0]['title']} | {len(tested)} | {met} | {small} | {held} |")
    any_held, count = sum(any(claim["status"] == "held" for claim in claims) for claims in found), len(found)
    interval = binomtest(any_held, count).proportion_ci()
    weights = sum(part.numel() for part in network(SHAPE.with_text(TEXT), 0, "cpu").parameters())
    said = {"count": count, "size": weights, "steps": TRAINING.num_steps, "any_held": any_held}
    said |= {"share": any_held / count, "low": interval.low, "high": interval.high}
    verdict = f"{'within' if any_held <= LEVEL * count else 'beyond'} the {LEVEL:.0%} that Holm's correction allows"
    return SAID.format(**said, verdict=verdict) + "\n".join(rows)


def main(
    first: Annotated[int, typer.Option(help="seed of the first network; from 100 on, those to choose settings by")] = 0,
    count: Annotated[int, typer.Option(help="of networks")] = 40,
    out: Annotated[Path, typer.Option(help="folder of what is finished")] = Path("runs/family-wise"),
) -> None:
    """Train, measure and judge, and write the table if the networks are those to report."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Number of distinct clusters")  # curves of few steps are often alike
    text = table(networks(range(first, first + count), out))
    typer.echo(text)
    if first == 0:
        write_section(TITLE, text)


if __name__ == "__main__":
    typer.run(main)
