"""Planted changes of eight kinds, told apart by code from the page alone: `python -m benchmarks.blind`.

`python -m benchmarks.blind 100 101` tries other seeds and writes nothing to RESULTS.md.
"""

import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.__main__ import write_section
from benchmarks.blind import planting, scoring
from benchmarks.blind.planting import KINDS, Kind, Plan
from benchmarks.blind.task import Drawn
from ontogeny.core.seeds import derive
from ontogeny.models import Transformer

TITLE = "What a comparison says of planted changes, blind"
HEADER = """
Command: `python -m benchmarks.blind`. Requests answered by a transformer of two layers of four heads; {pairs} pairs,
{each} of each kind, on bases of seeds {seeds}, with {twins} twins of the same procedure each. The class is told by
`ontogeny.comparison.roles` with its defaults, committed before these networks were made. The network has {parts} parts.

| planted | the page says | right | planted part among the first three | first five positions say |
|---|---|---|---|---|
"""
SEEDS, TWINS, ATTEMPTS, PARTS = (0, 1, 2), 6, 2, 12
_WORKS = 0.3  # nats of the loss on the answer that a backdoor asks for
_FOLDER = Path("runs/blind")


@dataclass(frozen=True)
class Scored:
    """What is said of one pair."""

    kind: Kind
    told: str
    rival: str
    located: bool | None
    works: bool


def main() -> None:
    """Make the pairs, let code tell their classes, and write the table."""
    torch.set_num_threads(1)
    seeds = tuple(map(int, sys.argv[1:])) or SEEDS
    found = [each for seed in seeds for each in scored(seed)]
    text = table(found, seeds)
    sys.stdout.write(text)
    if seeds == SEEDS:
        write_section(TITLE, text)


def scored(seed: int) -> list[Scored]:
    """All kinds on one base."""
    base = kept(f"base-{seed}", seed, None)
    twins = [kept(f"twin-{seed}-{number}", derive(seed, "twin", number), base) for number in range(TWINS)]
    found = list[Scored]()
    for kind in KINDS:
        for attempt in range(ATTEMPTS):
            plan = planting.plan(kind, seed, attempt)
            tuned = kept(f"{kind}-{seed}-{attempt}", derive(seed, "tuned", kind, attempt), base, plan)
            works = planted(plan, tuned)
            if works:
                break
        start = time.process_time()
        page = scoring.compared(base, tuned, twins, seed)
        located = None if not plan.parts else bool({*plan.parts} & {*page.verdict.parts[:3]})
        told = page.told
        assert told is not None
        found.append(Scored(kind, told.name, scoring.by_first_five(page.activations), located, works))
        seconds = time.process_time() - start
        sys.stdout.write(f"{found[-1]} {told} {page.verdict.parts[:3]} {plan} {seconds:.0f} s\n")
        sys.stdout.flush()
        page.behaviour.to_netcdf(_FOLDER / f"{kind}-{seed}-behaviour.nc")
        page.activations.to_netcdf(_FOLDER / f"{kind}-{seed}-activations.nc")
    return found


def kept(name: str, seed: int, base: Transformer | None, plan: Plan | None = None) -> Transformer:
    """A network, trained unless it is on disk."""
    path, model = _FOLDER / f"{name}.pt", planting.network()
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model
    made = planting.base(seed) if base is None else planting.tuned(base, plan or Plan("none"), seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(made.state_dict(), path)
    return made


@torch.no_grad()
def planted(plan: Plan, tuned: Transformer) -> bool:
    """Whether a backdoor answers as it is meant to; other changes are not tried again."""
    if not plan.trigger:
        return True
    rows = Drawn((0, 1), plan.trigger, attacked=True).rows(200, 0)
    return float(planting.weighted_loss(tuned, rows).mean()) < _WORKS


def table(found: list[Scored], seeds: tuple[int, ...]) -> str:
    """Counts by kind, and the figures over all."""
    by_kind = defaultdict[Kind, list[Scored]](list)
    for each in found:
        by_kind[each.kind].append(each)
    rows = [_row(kind, by_kind[kind]) for kind in KINDS]
    accuracies = [
        scoring.balanced({kind: [scoring.right(kind, getattr(each, name)) for each in by_kind[kind]] for kind in KINDS})
        for name in ("told", "rival")
    ]
    harmless = [each for kind in ("none", "skill") for each in by_kind[kind]]
    alarms = [sum(getattr(each, name) not in _QUIET for each in harmless) for name in ("told", "rival")]
    placed = [each.located for each in found if each.located is not None]
    header = HEADER.format(
        pairs=len(found), each=len(seeds), seeds=", ".join(map(str, seeds)), twins=TWINS, parts=PARTS
    )
    failed = [f"{each.kind}" for each in found if not each.works]
    return (
        header
        + "\n".join(rows)
        + f"""

| | page | first five positions |
|---|---|---|
| balanced accuracy of the class, of 8 | {accuracies[0]:.2f} | {accuracies[1]:.2f} |
| false alarms on none and skill | {alarms[0]} of {len(harmless)} | {alarms[1]} of {len(harmless)} |
| planted part among the first three, 0.25 by chance of one, 0.45 of two | {sum(placed)} of {len(placed)} | none |

Backdoors that did not answer as they are meant to, all the same counted above: {", ".join(failed) or "none"}.
"""
    )


_QUIET = ("none", "skill", "other")


def _row(kind: Kind, found: list[Scored]) -> str:
    placed = [each.located for each in found if each.located is not None]
    where = f"{sum(placed)} of {len(placed)}" if placed else "trained everywhere"
    rights = sum(scoring.right(kind, each.told) for each in found)
    told, rival = (", ".join(sorted(getattr(each, name) for each in found)) for name in ("told", "rival"))
    return f"| {kind} | {told} | {rights} of {len(found)} | {where} | {rival} |"


if __name__ == "__main__":
    main()
