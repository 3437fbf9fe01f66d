"""Correlations that hold other quantities fixed."""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from ontogeny.core.errors import InvalidArgument


def partial_correlation(
    x: Float[np.ndarray, " unit"], y: Float[np.ndarray, " unit"], given: Float[np.ndarray, "unit control"]
) -> float:
    """The correlation of x and y beyond what is linear in the controls.

    It is Pearson's correlation of the residuals of x and of y, after least squares on the controls and a constant:
    (r_xy - r_xz r_yz) / √((1 - r_xz²)(1 - r_yz²)) for one control z.

    Args:
        x, y: one value a unit.
        given: the controls, a column each.

    Returns:
        In [-1, 1]; NaN where x or y has no residuals.

    Raises:
        InvalidArgument: for fewer units than controls and three more.

    When not to trust it: values along one training run depend on each other, so that neither the usual p-value nor the
    usual interval holds. Compare with a null that keeps curves whole (`nulls.exchanged`). What is not linear in a
    control remains; take logarithms where a power is expected.
    """
    controls = np.column_stack([np.ones(len(x)), given])
    if len(x) < controls.shape[1] + 2:
        expected = f"at least {controls.shape[1] + 2} units for {controls.shape[1] - 1} controls"
        raise InvalidArgument("x", expected=expected, found=f"{len(x)} units", instead="more units or fewer controls")
    residuals = [each - controls @ np.linalg.lstsq(controls, each, rcond=None)[0] for each in (x, y)]
    sizes = [float(np.linalg.norm(each)) for each in residuals]
    spreads = [float(np.linalg.norm(each - each.mean())) for each in (x, y)]
    if any(size <= 1e-10 * spread for size, spread in zip(sizes, spreads, strict=True)):
        return float("nan")
    return float(residuals[0] @ residuals[1] / (sizes[0] * sizes[1]))


def rank_correlation(
    x: Float[np.ndarray, " unit"],
    y: Float[np.ndarray, " unit"],
    given: Float[np.ndarray, " unit"] | Float[np.ndarray, "unit control"] | None = None,
) -> float:
    """Spearman's rank correlation, beyond what is linear in the ranks of the controls if there are any.

    Args:
        x, y: one value a unit; equal ones share their mean rank.
        given: the control, or several, a column each.

    Returns:
        In [-1, 1]; NaN where all x or all y are equal, or nothing is left beyond the controls.
    """
    ranks = [rankdata(each) for each in (x, y)]
    if not all(np.ptp(each) for each in ranks):
        return float("nan")
    if given is not None:
        return partial_correlation(ranks[0], ranks[1], rankdata(given.reshape(len(x), -1), axis=0))
    return float(np.corrcoef(*ranks)[0, 1])
