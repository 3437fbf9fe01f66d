"""What a step costs over the bare forward and backward pass: every library in its own process, with its own floor.

The floor is the eager pass of the same model and batch, once a chain, timed in the same process right before or after;
all processes take turns round by round, one of them running at a time.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import ratio
from benchmarks.peers.client import Worker
from benchmarks.peers.environments import OURS, CannotRun, Peer

ROUNDS = 20


@dataclass(frozen=True)
class SpeedCase:
    """A model with its chains, batch, threads, and the steps of one round."""

    name: str
    model: str
    chains: int
    batch: int
    threads: int
    steps: int


SPEED_CASES = (
    SpeedCase("MLP 32-64-100-10, 9.6k weights, batch 128", "mlp", 8, 128, 1, 100),
    SpeedCase("transformer, 3.1M weights, context 128, batch 8", "transformer", 1, 8, 2, 8),
    SpeedCase("transformer, 3.1M weights, context 128, batch 8", "transformer", 4, 8, 2, 4),
)


@dataclass
class _Contestant:
    """A worker, with what distinguishes this contestant where one library enters twice."""

    name: str
    worker: Worker
    variant: dict[str, Any]

    def round(self, case: SpeedCase, floor_first: bool) -> dict[str, float]:
        """Seconds of the floor and of the steps, one right after the other.

        Raises:
            CannotRun: if the library fails.
        """
        found, parts = {}, ("floor", "speed") if floor_first else ("speed", "floor")
        task = {"model": case.model, "chains": case.chains, "batch": case.batch, "steps": case.steps}
        for part in parts:
            found[part] = self.worker.ask(part, **task, **self.variant)["seconds"]
        return found


def measure(case: SpeedCase, peers: list[Peer], path: Path, logs: Path, rounds: int = ROUNDS) -> None:
    """Write seconds of each contestant and its floor, round by round; a peer that cannot run has a reason instead."""
    reasons: dict[str, str] = {}
    with ExitStack() as stack:
        contestants: list[_Contestant] = []
        for peer in (OURS, *peers):
            try:
                worker = stack.enter_context(Worker(peer, logs / f"{peer.folder.name}.log", case.threads))
            except CannotRun as error:
                reasons[peer.name] = str(error)
                continue
            contestants += [_Contestant(name, worker, variant) for name, variant in _variants(peer)]
        seconds = {contestant.name: {"speed": [], "floor": []} for contestant in contestants}
        for number in range(-1, rounds):  # the first round warms up: what compiles does it here
            for contestant in contestants if number % 2 else contestants[::-1]:
                if contestant.name in reasons:
                    continue
                try:
                    timed = contestant.round(case, floor_first=number % 2 == 0)
                except CannotRun as error:
                    reasons[contestant.name] = str(error)
                    continue
                if number >= 0:
                    for part, value in timed.items():
                        seconds[contestant.name][part].append(value)
            made = {name: parts for name, parts in seconds.items() if name not in reasons}
            settings = {"case": case.name, "chains": case.chains, "threads": case.threads, "steps": case.steps}
            found = settings | {"rounds": number + 1, "seconds": made, "not_run": reasons}
            path.write_text(json.dumps(found), encoding="utf-8")


def rows(result: dict[str, Any]) -> Iterator[str]:
    """Rows of the Markdown table: milliseconds a step of all chains, its ratio to the own floor, and to ours.

    The last is the ratio of the two ratios, each contestant's step over its own floor of the same round.
    """
    head = f"| {result['case']} | {result['chains']} | {result['threads']} |"
    relative = {name: (np.array(parts["speed"]), np.array(parts["floor"])) for name, parts in result["seconds"].items()}
    for name, (steps, floor) in relative.items():
        if not len(steps):
            continue
        over_ours = "1" if name == OURS.name else "–"
        if name != OURS.name and OURS.name in relative:
            ours = relative[OURS.name]
            over_ours = _with_interval(steps / floor, ours[0] / ours[1])
        per_step = 1e3 * float(np.median(steps)) / result["steps"]
        yield f"{head} {name} | {per_step:.2f} | {_with_interval(steps, floor)} | {over_ours} |"
    for name, reason in result["not_run"].items():
        yield f"{head} {name} | – | {reason} | – |"


def _with_interval(work: np.ndarray, floor: np.ndarray) -> str:
    middle, low, high = ratio(work, floor)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def _variants(peer: Peer) -> list[tuple[str, dict[str, Any]]]:
    """What is timed of a library: canonical-interp with its compilation, which is its default, and without."""
    if peer.name.startswith("canonical"):
        return [(f"{peer.name}, compile={value}", {"compiled": value}) for value in (True, False)]
    return [(peer.name, {})]
