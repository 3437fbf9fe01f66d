"""How many dimensions a table of counts shows: a test of the rank of the probabilities behind it."""

import numpy as np
from scipy.stats import chi2

from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument

# Where words are forbidden some directions have no noise at first order. What is seen there is the square of the noise
# of the singular vectors, which the χ² does not know; measured on processes of known rank, it passed for a dimension.
_LEAST_NOISE = 1e-2


def table_rank(counts: Numbers, level: float = 0.01) -> int:
    """The least r for which "the joint law of row and column has rank r" is not rejected.

    With P the table of shares, U and V spanning the directions that its r largest singular values leave over, and Σ
    the multinomial covariance of the shares, n · vec(UᵀPV)ᵀ [(V⊗U)ᵀ Σ (V⊗U)]⁺ vec(UᵀPV) is χ² under rank r, with as
    many degrees of freedom as the bracket has rank. Ranks 1, 2, … are tested in turn.

    Args:
        counts: numbers of independent observations, shape (row, column).
        level: of each test. A rank too high is found with at most this probability, one too low whenever a dimension
            is weak and n small.

    Raises:
        InvalidArgument: for what are no counts, and a level outside (0, 1).

    Source: Kleibergen and Paap, Generalized reduced rank tests using the singular value decomposition (2006).
    """
    level = arguments.between_0_and_1("level", level)
    expected = "numbers of observations ≥ 0, not all 0, shape (row, column)"
    given = arguments.real_array("counts", counts, expected)
    if given.ndim != 2 or (given < 0).any() or not given.any():
        raise InvalidArgument("counts", expected=expected, found=arguments.show(counts))
    kept = given[given.sum(axis=1) > 0][:, given.sum(axis=0) > 0]
    total = int(kept.sum())
    # Standardised by the margins, directions are weighed by what their noise is.
    scale = np.sqrt(np.outer(kept.sum(axis=1), kept.sum(axis=0))) / total
    shares = kept / total
    left, _, right = np.linalg.svd(shares / scale)
    smallest = min(shares.shape)
    for rank in range(1, smallest):
        u, v = left[:, rank:], right[rank:].T
        basis = np.einsum("ia,jb->ijab", u, v) / scale[:, :, None, None]
        basis = basis.reshape(shares.size, -1)
        flat = shares.ravel()
        mean = flat @ basis
        covariance = basis.T @ (flat[:, None] * basis) - np.outer(mean, mean)
        values, vectors = np.linalg.eigh(covariance)
        used = values > _LEAST_NOISE * values.max(initial=0)
        statistic = total * ((mean @ vectors[:, used]) ** 2 / values[used]).sum()
        if chi2.sf(statistic, used.sum()) > level:
            return rank
    return smallest
