"""Draws of one temperature read at a neighbouring one by importance weights."""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from ontogeny.core.draws import settings_of
from ontogeny.estimators.diagnostics import summarize
from ontogeny.estimators.quantity import loss_differences


@dataclass(frozen=True)
class Reweighted:
    """nβ' E[L(w) - L(w*)] at nβ' from draws at nβ.

    Attributes:
        nbeta: nβ', the temperature it was read at.
        value: by weights that are normalized to sum to one; NaN where a minibatch was recorded once.
        mcse: Monte Carlo standard error of `value`, to first order in the fluctuation of the weights.
        overlap: Kish's effective share of the draws, (Σ weight)² / (N Σ weight²), between 1/N and 1.
    """

    nbeta: float
    value: float
    mcse: float
    overlap: float


def reweight(draws: xr.DataTree, nbeta: float, observable: str | None = None) -> Reweighted:
    """The draws read at another temperature, by weights ∝ exp(-(nβ' - nβ) (L(w) - L(w*))).

    Read towards lower temperatures, nβ' > nβ. Where nβ L has the law Gamma(λ), the overlap is ((2r - 1)/r²)^λ with
    r = nβ'/nβ: 0.44 a decade at λ = 1/2, but 0.06 for r = 2 at λ = 10. Towards higher temperatures the weights have
    no variance from r ≤ 1/2 on, and the value must not be trusted whatever the overlap says.

    Args:
        draws: from `ontogeny.sample`.
        nbeta: nβ' > 0.
        observable: name of an observable of all samples, whose losses then stand for L. Without it minibatch noise
            lowers the overlap, and the value is NaN unless two minibatches were recorded.

    Raises:
        InvalidArgument: for an observable that the draws do not hold.

    When not to trust it: an overlap of few draws, say below 20 of them; draws that have not found the region that the
    lower temperature weighs. What finite steps add to the losses is not taken off.

    References:
        Watanabe, "A Widely Applicable Bayesian Information Criterion", JMLR 14 (2013) 867-897, for temperatures;
        Kish, Survey Sampling (1965), for the effective share.
    """
    first, second = loss_differences(draws, observable)
    if first.size == 0:
        return Reweighted(nbeta, math.nan, math.nan, math.nan)
    log_weight = -(nbeta - settings_of(draws).nbeta) * first
    share = np.exp(log_weight - logsumexp(log_weight)) * log_weight.size  # of mean one
    overlap = float(1 / np.mean(share**2))
    if second is None:
        return Reweighted(nbeta, math.nan, math.nan, overlap)
    value = float(np.mean(share * second))
    mcse = summarize(share * (second - value), shared=settings_of(draws).control_variate)[1]
    return Reweighted(nbeta, nbeta * value, nbeta * mcse, overlap)
