"""Beliefs after all words of one length with their probabilities, length after length."""

import sys
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ontogeny.compmech.dedup import Index
from ontogeny.compmech.filtering import successors
from ontogeny.compmech.hmm import GHMM
from ontogeny.core.errors import InvalidArgument

MAX_WIDTH = 400_000


class Level(NamedTuple):
    """The distinct beliefs after words of one length, and the probability of the words that lead to each."""

    beliefs: Float[np.ndarray, "belief state"]
    probabilities: Float[np.ndarray, " belief"]


def levels(process: GHMM, max_states: int = MAX_WIDTH) -> Iterator[Level]:
    """Levels 0, 1, 2, …: the initial state, then every possible token from every belief, equal beliefs merged.

    Only one level is held at a time, so that the memory for a finite presentation does not grow with the length.

    Raises:
        InvalidArgument: when a level would need more than `max_states` products of belief and token.
    """
    level = Level(process.initial[None], np.ones(1))
    length = 0
    while True:
        yield level
        if len(level.beliefs) * process.num_tokens > max_states:
            raise InvalidArgument(
                "max_states",
                expected=f"levels of at most {max_states} beliefs",
                found=f"{len(level.beliefs)} after {length} tokens, each with {process.num_tokens} successors",
                instead=f"length={length}, or a larger max_states.",
            )
        level = _next(process, level)
        length += 1


def affordable(process: GHMM, max_states: int, longest: int) -> Iterator[Level]:
    """Levels up to the first that has more than `max_states` products of belief and token, `longest` at most."""
    for level in islice(levels(process, sys.maxsize), longest):
        yield level
        if len(level.beliefs) * process.num_tokens > max_states:
            return


def _next(process: GHMM, level: Level) -> Level:
    probability, possible, beliefs = successors(process, level.beliefs)
    index = Index(process.num_states)
    places = index.add(beliefs)
    weights = (level.probabilities[:, None] * probability)[possible]
    return Level(index.vectors, np.bincount(places, weights, minlength=len(index)))
