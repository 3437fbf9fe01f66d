"""Contestants that time themselves, taking turns round by round."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.interleaved import ratio
from benchmarks.peers.environments import CannotRun

AGREES = 1e-5


@dataclass
class Contestant:
    """What is timed: `once` does it and returns its seconds; `seconds` has them round by round."""

    name: str
    once: Callable[[], float]
    difference: float | None = None
    seconds: list[float] = field(default_factory=list)
    reason: str = ""


def take_turns(contestants: list[Contestant], rounds: int) -> None:
    """Fill in `seconds`, or the reason of one that cannot run; the order is reversed every other round."""
    for number in range(-1, rounds):  # the first round warms up
        for contestant in contestants if number % 2 else contestants[::-1]:
            if contestant.reason:
                continue
            try:
                seconds = contestant.once()
            except CannotRun as error:
                contestant.reason = str(error)
                continue
            if number >= 0:
                contestant.seconds.append(seconds)


def rows(task: str, contestants: list[Contestant]) -> Iterator[str]:
    """Rows of the table; the first contestant is ours."""
    ours = np.array(contestants[0].seconds)
    for contestant in contestants:
        if contestant.reason:
            yield f"| {task} | {contestant.name} | – | {contestant.reason} | – |"
            continue
        middle, low, high = ratio(np.array(contestant.seconds), ours)
        over = "1" if contestant is contestants[0] else f"{middle:.3g} ({low:.3g}–{high:.3g})"
        agrees = "" if contestant.difference is None else f"{contestant.difference:.0e}"
        if contestant.difference is not None and contestant.difference > AGREES:
            agrees = f"differs by {contestant.difference:.2g}"
        yield f"| {task} | {contestant.name} | {np.median(contestant.seconds):.3g} | {over} | {agrees} |"


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """The work as something that returns its seconds."""

    def once() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return once
