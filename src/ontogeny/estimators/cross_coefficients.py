"""Cross-coefficients: how far the loss on one dataset rises over the posterior of another, times nβ."""

import numpy as np
import xarray as xr

from ontogeny.core.draws import settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.estimators.diagnostics import diagnose
from ontogeny.estimators.quantity import (
    Quantity,
    Trace,
    at_center,
    finite,
    loss_differences,
    mean_of,
    per_sample,
)


def cross_llc(draws: xr.DataTree, dataset: str, corrected: bool = True, *, nbeta: float | None = None) -> Quantity:
    """λ̂(q→q') = nβ E_q[L'(w) - L'(w*) - g·(w - w*)]: the posterior of the sampled data q, read on other data q'.

    L' is the mean loss on q' and g its gradient at w*, which need not vanish. To leading order it is
    ½ nβ tr(H' A⁻¹), with H' the Hessian on q' and A = nβH + γ that of the sampled posterior. For q' = q at a minimum it
    is the learning coefficient. Without the correction, nβ E_q[L'(w) - L'(w*)], the skewness of the posterior adds
    -½ (nβ)² gᵀA⁻¹(T:A⁻¹), with T the third derivative on q, which does not fall as nβ grows.

    Args:
        draws: from the posterior of q, of the whole network or a part, with samples of q' as an observable.
        dataset: name of the observable.
        corrected: whether to subtract g·(w - w*).
        nbeta: the factor; default nβ of the draws. For draws of `weight_noise`, the nβ of the posterior they control.

    Returns:
        λ̂(q→q'), dimensionless. Its error includes the Monte Carlo error and, as a share of the value, the bias that
        finite steps and minibatches add to the coefficient of the same draws.

    Raises:
        InvalidArgument: for an observable that the draws do not contain, and for a correction of draws that were saved
            before slopes were recorded.

    When not to trust it: if the outcome is not converged. `not_a_minimum` says that w* is no minimum for q: the chains
        then descend, and L' moves with them. A small value says that the trusted data constrain this behaviour, or
        that its loss is saturated (confident answers have flat losses). A large one is unusual only if it exceeds that
        of weight noise at the same distance (`weight_noise`), and that of harmless data which are equally rare.
        `og.estimate_llc` on q' itself is another number: away from a minimum on q' it contains the descent
        ½ (nβ)² Σ g² (nβh+2γ)/(nβh+γ)², which grows with nβ and is no complexity. Read its `complexity`.
    """
    factor = settings_of(draws).nbeta if nbeta is None else nbeta
    rise = factor * _rise(draws, dataset, corrected)
    bias = abs(diagnose(draws).inflation) * abs(float(rise.mean())) if factor and rise.size else 0.0
    return mean_of(f"λ({dataset})", rise, draws, float(np.nan_to_num(bias)))


def cross_llc_derivative(
    draws: xr.DataTree, dataset: str, base: str | None = None, corrected: bool = True, *, towards: str | None = None
) -> Quantity:
    """d/dh λ̂(q_h→q') at h = 0 with q_h = (1-h) q + h q'': -(nβ)² Cov(φ', L'' - L), φ' the rise of the loss on q'.

    φ' = L'(w) - L'(w*), minus g·(w - w*) if corrected. With `dataset` = `base` it is (nβ)² times the susceptibility.

    Args:
        draws, corrected: as for `cross_llc`.
        dataset: the observable with samples of q'.
        base: the observable with samples of q; default the losses of the chains' own minibatches, which are noisier.
        towards: the observable with samples of q''; default q'' = q'.

    Returns:
        The derivative, dimensionless. It is negative if more of q'' in the data lowers the coefficient.

    Raises:
        InvalidArgument: as `cross_llc`.

    When not to trust it: as `cross_llc`. It is the slope at h = 0 alone: q_h at h = 1 may be another phase.

    References:
        Baker et al., "Structural Inference: Interpreting Small Language Models with Susceptibilities", 2504.18274.
    """
    nbeta = settings_of(draws).nbeta
    first, noiseless = loss_differences(draws, base)  # noise of a minibatch is independent of φ'
    own = first if noiseless is None else noiseless
    rise = _rise(draws, dataset, corrected)
    change = _rise(draws, dataset if towards is None else towards, corrected=False) - own
    correction = rise.size / max(rise.size - 1, 1)
    trace = -(nbeta**2) * (rise - rise.mean()) * (change - change.mean()) * correction if rise.size else rise
    return mean_of(f"dλ({dataset})/dh", trace, draws)


def _rise(draws: xr.DataTree, dataset: str, corrected: bool) -> Trace:
    """L'(w) - L'(w*), minus its first order in w - w* if corrected, at each draw of the finite chains."""
    center = at_center(draws, dataset)
    rise = (per_sample(draws, dataset) - center).mean(axis=-1)
    if not corrected:
        return rise
    slope = f"{dataset}_slope"
    if slope not in draws["sample_stats"]:
        raise InvalidArgument(
            "corrected",
            expected="draws with the slope of the observable",
            found="draws that were made before slopes were recorded",
            instead="corrected=False, or og.sample(...) again",
        )
    return rise - finite(draws, f"sample_stats/{slope}")
