"""Bounds for processes whose mixed states are not finite, by words as long as memory allows."""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ontogeny.compmech.bits import entropy
from ontogeny.compmech.epsilon_machines import reduce_futures
from ontogeny.compmech.hmm import GHMM, HMM
from ontogeny.compmech.levels import affordable

_WIDTH = 60_000
_NUMBERS = 4_000_000  # of one level, so that presentations of many states do not take all memory
_CLOSE = 1e-10
_SETTLED = 1e-9
_LONGEST = 400


class Bracket(NamedTuple):
    """h(1) … h(n); a lower bound of h; and I[S₀; S_{n-1} | X₁…X_{n-1}], which bounds what is left of E there."""

    upper: list[float]
    lower: float
    memory: float


@lru_cache(maxsize=16)  # several measures of one process ask for the same
def bracket(process: GHMM) -> Bracket:
    """Follow words of growing length until the bounds of h are 1e-10 apart or a level exceeds 60,000 beliefs.

    Of an HMM the joint law of S₀ and S_n given a word is itself the belief of an HMM, whose states are pairs (S₀, S)
    of which the first never changes: from it come H[X_{n+1} | word], H[X_{n+1} | word, S₀] and I[S₀; S_n | word].
    """
    if not isinstance(process, HMM):
        within = affordable(process, _width(process), _LONGEST)
        rates = (float(level.probabilities @ entropy(level.beliefs @ process.readout)) for level in within)
        return Bracket(_until_flat(rates), 0.0, math.inf)
    size = process.num_states
    matrices = np.stack([np.kron(np.eye(size), labelled) for labelled in process.transition_matrices])
    paired = HMM(matrices, np.diag(process.initial).ravel())
    upper, lower, memory = [], 0.0, math.inf
    for level in affordable(paired, _width(paired), _LONGEST):
        joint = level.beliefs.reshape(-1, size, size)
        first, last = entropy(joint.sum(axis=2)), entropy(joint.sum(axis=1))
        with_first = entropy((joint @ process.readout).reshape(len(joint), -1))
        upper.append(float(level.probabilities @ entropy(joint.sum(axis=1) @ process.readout)))
        lower = float(level.probabilities @ (with_first - first))
        memory = float(level.probabilities @ (first + last - entropy(level.beliefs)))
        if upper[-1] - lower < _CLOSE:
            break
    return Bracket(upper, lower, memory)


def _until_flat(values: Iterable[float]) -> list[float]:
    """h(1), h(2), … until four in a row differ by less than 1e-10."""
    found: list[float] = []
    for value in values:
        found.append(value)
        if len(found) > 3 and found[-4] - found[-1] < _CLOSE:
            break
    return found


def converged_complexity(process: GHMM) -> tuple[float, int]:
    """The entropy of the predictive states after n tokens, where it settles, else `inf`; and n."""
    reduced = reduce_futures(process)
    last, calm, depth = math.nan, 0, 0
    for depth, level in enumerate(affordable(reduced, _width(reduced), _LONGEST)):
        value = float(entropy(level.probabilities))
        calm = calm + 1 if abs(value - last) < _SETTLED else 0
        if calm == 3:
            return value, depth
        last = value
    return math.inf, depth


def _width(process: GHMM) -> int:
    return min(_WIDTH, _NUMBERS // process.num_states)
