"""Which of many hidden coordinates each weight belongs to, in few runs: coordinates are kept by a code."""

from collections.abc import Callable, Hashable
from itertools import combinations, islice
from math import comb
from typing import TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor

Key = TypeVar("Key", bound=Hashable)


def spelt(
    count: int, reached: Callable[[Bool[Tensor, " count"]], dict[Key, Bool[Tensor, " place"]]]
) -> dict[Key, tuple[Tensor, Tensor]]:
    """Which one of `count` coordinates each place belongs to.

    Each coordinate is kept in a set of runs of its own, of which all sets have one size: C(2k, k) coordinates need 2k
    runs. A place that answers in the runs of one set belongs to that coordinate. One that belongs to several answers
    in more runs than a set has, one that belongs to none in none.

    Args:
        count: number of coordinates, at least one.
        reached: coordinates kept -> for each tensor, the places that are reached.

    Returns:
        For each tensor, the number of each place, and whether it has one.
    """
    runs = next(each for each in range(1, count + 2) if comb(each, (each + 1) // 2) >= count)
    size = (runs + 1) // 2
    sets = torch.zeros(count, runs, dtype=torch.bool)
    for number, members in enumerate(islice(combinations(range(runs), size), count)):
        sets[number, list(members)] = True
    answers: dict[Key, list[Tensor]] = {}
    for kept in sets.T:
        for key, places in reached(kept).items():
            answers.setdefault(key, []).append(places)
    return {key: _numbers(torch.stack(each, 1), sets) for key, each in answers.items()}


def _numbers(answers: Bool[Tensor, "place run"], sets: Bool[Tensor, "number run"]) -> tuple[Tensor, Tensor]:
    """Of each place the number whose set has just its runs, and whether there is one."""
    digits = 2 ** torch.arange(sets.shape[1])
    by_sum, numbers = (sets * digits).sum(1).sort()
    wanted = (answers * digits).sum(1)
    nearest = torch.searchsorted(by_sum, wanted).clamp(max=len(by_sum) - 1)
    return numbers[nearest], by_sum[nearest] == wanted
