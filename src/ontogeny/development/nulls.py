"""Null hypotheses for claims about development. Each is a function that returns the p-value of the observation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations as permutations_of
from math import factorial

import numpy as np
from jaxtyping import Float
from scipy.stats import binom, norm

from ontogeny.development.clusters import permuted_within

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Null:
    """The comparison of an observation with a null.

    Attributes:
        name: what varies under the null, in words.
        p_value: probability, under the null, of a result at least as extreme.
        typical: median of the statistic under the null; None where it is not simulated.
    """

    name: str
    p_value: float
    typical: float | None = None


def circular_shifts(
    statistic: Callable[[Float[np.ndarray, " place"]], float],
    places: Float[np.ndarray, " place"],
    start: float,
    stop: float,
    count: int = 1000,
) -> Null:
    """Shift all places around a circle by the same amount, keeping their distances. Small statistics count as extreme.

    Args:
        statistic: of the places.
        places: such as boundaries in log step.
        start, stop: ends of the circle.
        count: shifts, evenly spaced over it.
    """
    length = stop - start
    offsets = np.linspace(0, length, count, endpoint=False)
    shifted = np.array([statistic(start + (places - start + offset) % length) for offset in offsets])
    return Null("circular shifts in log step", _share(shifted <= statistic(places)), float(np.median(shifted)))


def anywhere_in_log_step(step: float, other: float, first: float, last: float) -> Null:
    """Place a change uniformly in log step: the chance that it lies as close to another change.

    Args:
        step: step of the change.
        other: step of the change it is compared with.
        first, last: range of possible steps.
    """
    x, y, low, high = (float(np.log10(each)) for each in (step, other, first, last))
    distance = abs(x - y)
    covered = min(y + distance, high) - max(y - distance, low)
    return Null("anywhere in log step", float(np.clip(covered / (high - low), 0, 1)))


def all_within(steps: Float[np.ndarray, " change"], first: float, last: float) -> Null:
    """Place every change uniformly in log step: the chance that all of them lie within as short an interval.

    For k changes and an interval that is the share r of the range, it is k r^(k-1) - (k - 1) r^k.

    Args:
        steps: steps of the changes, at least two.
        first, last: range of possible steps.
    """
    share = float(np.clip(np.ptp(np.log10(steps)) / np.log10(last / first), 0, 1))
    count = len(steps)
    return Null("anywhere in log step", count * share ** (count - 1) - (count - 1) * share**count)


def permutations(
    statistic: Callable[[np.ndarray], float],
    labels: np.ndarray,
    rng: np.random.Generator,
    *,
    within: np.ndarray | None = None,
    two_sided: bool = False,
    count: int = 4999,
) -> Null:
    """Permute labels, within groups if given. Large statistics count as extreme.

    Args:
        statistic: of the labels.
        labels: one per unit.
        within: group of each unit; labels stay in their group.
        two_sided: large absolute values count.
        count: permutations.
    """
    groups = np.zeros(len(labels)) if within is None else within
    size: Callable[[float], float] = abs if two_sided else float
    seen = size(statistic(labels))
    drawn = np.array([size(statistic(permuted_within(labels, groups, rng))) for _ in range(count)])
    name = "labels permuted" if within is None else "labels permuted within groups"
    return simulated(name, seen, drawn)


def exchanged(
    statistic: Callable[[np.ndarray], float],
    curves: Float[np.ndarray, "run step"],
    rng: np.random.Generator,
    *,
    count: int = 999,
) -> Null:
    """Exchange whole curves between runs that were trained alike. Large statistics count as extreme.

    What depends on the step alone is the same under the null; only what a run's own curve says is lost. With r runs
    there are r! arrangements, so that no p-value is smaller than 1/r!; all are taken if they are no more than `count`.

    Args:
        statistic: of the curves, rows in the order of the runs.
        curves: one a run, at the same steps.
        count: exchanges.
    """
    name, seen, runs = "curves exchanged between runs", statistic(curves), len(curves)
    if factorial(runs) <= count:
        every = np.array([statistic(curves[list(order)]) for order in permutations_of(range(runs))])
        return Null(name, float(np.mean(every >= seen - _ROUNDING)), float(np.median(every)))
    drawn = np.array([statistic(curves[rng.permutation(runs)]) for _ in range(count)])
    return simulated(name, seen, drawn)


def simulated(name: str, seen: float, drawn: Float[np.ndarray, " count"]) -> Null:
    """Values of a statistic that were drawn under the null. Large ones count as extreme.

    Args:
        name: what varied between the draws, in words.
        seen: the value observed. Of a maximum over several places, `drawn` must be the same maximum of each draw.
        drawn: values under the null.
    """
    return Null(name, _share(drawn >= seen - _ROUNDING), float(np.median(drawn)))


def even_odds(count: int, size: int) -> Null:
    """Each of `size` units shows the effect with probability one half: the chance that `count` or more do."""
    return Null("even odds for each", float(binom.sf(count - 1, size, 0.5)), size / 2)


def bootstrapped(resampled: Float[np.ndarray, " count"], least: float = 0.0) -> Null:
    """The true value is at most `least`: the share of bootstrap values that are."""
    return Null("bootstrap over probes", _share(np.asarray(resampled) <= least))


def gaussian_error(value: float, error: float) -> Null:
    """Only a Gaussian error of known size: the chance of a value as large."""
    return Null("its own error", float(norm.sf(value / error)))


def either(*nulls: Null) -> Null:
    """Any of several nulls may hold: the largest of their p-values, all of which a claim must beat."""
    worst = max(nulls, key=lambda null: null.p_value)
    return Null(" or ".join(null.name for null in nulls), worst.p_value, worst.typical)


def holm(p_values: Sequence[float] | np.ndarray) -> list[float]:
    """Holm's step-down correction: sorted p times the number of hypotheses left, made monotone, at most 1."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    stepped = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(stepped[np.flatnonzero(order == place)[0]]) for place in range(len(p_values))]


def _share(hits: np.ndarray) -> float:
    """The share under a simulated null, counting the observation itself, so that it is never 0."""
    return float((np.sum(hits) + 1) / (len(hits) + 1))
