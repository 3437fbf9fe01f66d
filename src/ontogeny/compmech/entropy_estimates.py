"""Entropies estimated from counts, with corrections for the bias of the plug-in estimate."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.special import digamma

from ontogeny.compmech import symbols
from ontogeny.compmech.bits import entropy
from ontogeny.compmech.symbols import Sequences
from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument


def plug_in_entropy(counts: Numbers) -> float:
    """-Σ (nᵢ/n) log₂ (nᵢ/n), in bits; biased by about -(K - 1)/(2n ln 2) for K outcomes."""
    given = _counts(counts)
    return float(entropy(given / given.sum()))


def miller_madow_entropy(counts: Numbers) -> float:
    """The plug-in entropy + (K - 1)/(2n ln 2), in bits, with K the number of outcomes that were seen.

    When not to trust it: with many outcomes seen once or twice K is too small, and so is the correction.

    Source: Miller, Note on the bias of information estimates (1955).
    """
    given = _counts(counts)
    return plug_in_entropy(given) + ((given > 0).sum() - 1) / (2 * given.sum() * math.log(2))


def grassberger_entropy(counts: Numbers) -> float:
    """log₂ n - (1/n) Σ nᵢ G(nᵢ)/ln 2, in bits; the bias falls off much faster than 1/n.

    G(n) = ψ(n) + (-1)ⁿ/2 · (ψ((n + 1)/2) - ψ(n/2)).

    Source: Grassberger, Entropy estimates from insufficient samplings (arXiv physics/0307138).
    """
    given = _counts(counts)
    seen = given[given > 0].astype(np.float64)
    sign = np.where(seen % 2 == 0, 1.0, -1.0)
    terms = digamma(seen) + sign / 2 * (digamma((seen + 1) / 2) - digamma(seen / 2))
    return float((math.log(given.sum()) - seen @ terms / given.sum()) / math.log(2))


_ESTIMATORS: dict[str, Callable[[Numbers], float]] = {
    "plug_in": plug_in_entropy,
    "miller_madow": miller_madow_entropy,
    "grassberger": grassberger_entropy,
}


def estimate_block_entropies(
    sequence: Sequences, length: int, estimator: str = "grassberger"
) -> Float[np.ndarray, " length_1"]:
    """H(L) for L = 0 … length from the words of the data, in bits; differences are the rates of Markov order L - 1.

    Args:
        sequence: symbols, one sequence or many, as `reconstruct` takes them; words do not reach across sequences.
        length: longest word.
        estimator: "grassberger", "miller_madow" or "plug_in".

    Raises:
        InvalidArgument: for an unknown estimator, what is no sequence of symbols, or sequences shorter than the words.

    When not to trust it: words overlap, so that their counts are not independent and the corrections, made for
    independent samples, are approximate; where the number of possible words nears n, H(L) is log₂ n whatever the
    process is.
    """
    estimate = _ESTIMATORS[arguments.choice("estimator", estimator, _ESTIMATORS)]
    data = symbols.read(sequence)
    longest = int(data.left.max())
    if arguments.whole_number("length", length) > longest:
        expected = f"from 0 to {longest}, the longest sequence's length"
        raise InvalidArgument("length", expected=expected, found=f"{length}")
    words = data.words_by_length(length)
    return np.array([0.0, *(estimate(np.bincount(numbers)) for _, numbers in words)])


def _counts(counts: Numbers) -> Int[np.ndarray, " outcome"]:
    expected = "whole numbers from 0 to 2**53, not all 0, shape (outcome,)"
    given = arguments.real_array("counts", counts, expected)
    if given.ndim != 1 or (given != given.round()).any() or (given < 0).any() or not 0 < given.sum() <= 2**53:
        raise InvalidArgument("counts", expected=expected, found=arguments.show(counts))
    return given.astype(np.int64)
