"""Entropies estimated from counts, with corrections for the bias of the plug-in estimate."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import digamma

from ontogeny.compmech.bits import entropy
from ontogeny.core.errors import InvalidArgument


def plug_in_entropy(counts: ArrayLike) -> float:
    """-Σ (nᵢ/n) log₂ (nᵢ/n), in bits; biased by about -(K - 1)/(2n ln 2) for K outcomes."""
    given = _counts(counts)
    return float(entropy(given / given.sum()))


def miller_madow_entropy(counts: ArrayLike) -> float:
    """The plug-in entropy + (K - 1)/(2n ln 2), in bits, with K the number of outcomes that were seen.

    When not to trust it: with many outcomes seen once or twice K is too small, and so is the correction.

    Source: Miller, Note on the bias of information estimates (1955).
    """
    given = _counts(counts)
    return plug_in_entropy(given) + ((given > 0).sum() - 1) / (2 * given.sum() * math.log(2))


def grassberger_entropy(counts: ArrayLike) -> float:
    """log₂ n - (1/n) Σ nᵢ G(nᵢ)/ln 2, in bits; the bias falls off much faster than 1/n.

    G(n) = ψ(n) + (-1)ⁿ/2 · (ψ((n + 1)/2) - ψ(n/2)).

    Source: Grassberger, Entropy estimates from insufficient samplings (arXiv physics/0307138).
    """
    given = _counts(counts)
    seen = given[given > 0].astype(np.float64)
    sign = np.where(seen % 2 == 0, 1.0, -1.0)
    terms = digamma(seen) + sign / 2 * (digamma((seen + 1) / 2) - digamma(seen / 2))
    return float((math.log(given.sum()) - seen @ terms / given.sum()) / math.log(2))


_ESTIMATORS: dict[str, Callable[[ArrayLike], float]] = {
    "plug_in": plug_in_entropy,
    "miller_madow": miller_madow_entropy,
    "grassberger": grassberger_entropy,
}


def estimate_block_entropies(
    sequence: ArrayLike, length: int, estimator: str = "grassberger"
) -> Float[np.ndarray, " length_1"]:
    """H(L) for L = 0 … length from the words of one sequence, in bits; differences are the rates of Markov order L - 1.

    Args:
        sequence: tokens, shape (n,), integers from 0.
        length: longest word.
        estimator: "grassberger", "miller_madow" or "plug_in".

    Raises:
        InvalidArgument: for an unknown estimator, or a sequence shorter than the words.

    When not to trust it: words overlap, so that their counts are not independent and the corrections, made for
    independent samples, are approximate; where the number of possible words nears n, H(L) is log₂ n whatever the
    process is.
    """
    if estimator not in _ESTIMATORS:
        raise InvalidArgument("estimator", expected=f"one of {', '.join(_ESTIMATORS)}", found=repr(estimator))
    tokens = as_sequence(sequence)
    if not 0 <= length <= len(tokens):
        raise InvalidArgument("length", expected=f"from 0 to {len(tokens)}, the sequence's length", found=f"{length}")
    words = np.zeros(len(tokens) + 1, np.int64)
    found = [0.0]
    for size in range(1, length + 1):
        # Words by their rank among those that occur, which does not overflow however long they are.
        _, words = np.unique(words[:-1] * (tokens.max() + 1) + tokens[size - 1 :], return_inverse=True)
        found.append(_ESTIMATORS[estimator](np.bincount(words)))
    return np.array(found)


def as_sequence(sequence: ArrayLike) -> Int[np.ndarray, " position"]:
    """One sequence of tokens as integers, refused where it is something else."""
    tokens = np.asarray(sequence)
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer) or not len(tokens) or tokens.min() < 0:
        raise InvalidArgument(
            "sequence", expected="tokens: integers ≥ 0, shape (n,)", found=f"{tokens.dtype} of shape {tokens.shape}"
        )
    return tokens.astype(np.int64)


def _counts(counts: ArrayLike) -> Int[np.ndarray, " outcome"]:
    given = np.asarray(counts)
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer) or (given < 0).any() or not given.sum():
        raise InvalidArgument("counts", expected="whole numbers ≥ 0, not all 0, shape (outcome,)", found=f"{given}")
    return given
