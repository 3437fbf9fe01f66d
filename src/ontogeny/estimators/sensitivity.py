"""Sensitivity of the learning coefficient to its settings: derivatives as covariances of the draws."""

import numpy as np
import xarray as xr

from ontogeny.core.draws import settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.estimators.quantity import Quantity, Trace, finite, loss_differences, mean_of


def localization_sensitivity(draws: xr.DataTree, observable: str | None = None) -> Quantity:
    """∂λ̂/∂γ = -nβ Cov(L(w) - L(w*), |w - w*|²/2), of λ̂ = nβ E[L(w) - L(w*)].

    Compare γ ∂λ̂/∂γ with λ̂. If it is not small, the localization, not the loss, decides the estimate.

    Args:
        draws: from `ontogeny.sample`.
        observable: name of an observable whose losses are used as L; default the recorded minibatches, whose noise
            affects only the error.

    Returns:
        The derivative, in units of 1/γ, with its Monte Carlo error.

    Raises:
        InvalidArgument: for an observable that the draws do not hold.

    When not to trust it: the bias of finite steps in both factors is not subtracted. Covariances of few effective draws
        are too low, by one over their number. `Diagnostics.withheld` is less noisy, if the chains recorded their
        gradients.
    """
    first, second = loss_differences(draws, observable)
    half_square = finite(draws, "sample_stats/distance") ** 2 / 2
    product = _covariance(first if second is None else (first + second) / 2, half_square)
    return mean_of("∂LLC/∂γ", -settings_of(draws).nbeta * product, draws)


def temperature_sensitivity(draws: xr.DataTree, observable: str | None = None) -> Quantity:
    """∂λ̂/∂(nβ) = E[L(w) - L(w*)] - nβ Var(L(w) - L(w*)), of λ̂ = nβ E[L(w) - L(w*)].

    nβ ∂λ̂/∂(nβ), the slope of λ̂ against log nβ, is 0 if the estimate has settled, and about 1 / log² nβ at a
    singularity of multiplicity 2.

    Args:
        draws: from `ontogeny.sample`.
        observable: name of an observable whose losses are used as L.

    Returns:
        The derivative, in units of 1/nβ, with its Monte Carlo error.

    Raises:
        InvalidArgument: if each draw recorded a single minibatch smaller than the data, because the variance of its
            losses contains its own noise. Also for an observable that the draws do not contain.

    When not to trust it: as `localization_sensitivity`. An observable of a subset of the samples gives the variance
        averaged over subsets, and the error does not include the spread between subsets.
    """
    first, second = loss_differences(draws, observable)
    if second is None:
        raise InvalidArgument(
            "draws",
            expected="losses without minibatch noise, or from two minibatches",
            found=f"one minibatch of {settings_of(draws).batch_size} of {settings_of(draws).num_samples} samples",
            instead='sample(…, observables={"data": data}) and observable="data", or batch_size=len(data)',
        )
    trace = (first + second) / 2 - settings_of(draws).nbeta * _covariance(first, second)
    return mean_of("∂LLC/∂nβ", trace, draws)


def _covariance(one: Trace, other: Trace) -> Trace:
    """A trace whose mean is the covariance over all chains and draws."""
    correction = one.size / max(one.size - 1, 1)
    return (one - one.mean()) * (other - other.mean()) * correction if one.size else np.empty_like(one)
