"""Importance reweighting of draws from one temperature to a neighbouring one."""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from ontogeny.core.draws import settings_of
from ontogeny.estimators.quantity import loss_differences
from ontogeny.estimators.summary import summarize


@dataclass(frozen=True)
class Reweighted:
    """nβ' E[L(w) - L(w*)] at nβ' from draws at nβ.

    Attributes:
        nbeta: nβ', the target.
        value: with self-normalized weights; NaN if a minibatch was recorded only once.
        mcse: Monte Carlo standard error of `value`, to first order in the fluctuation of the weights.
        overlap: Kish's effective share of the draws, (Σ weight)² / (N Σ weight²), between 1/N and 1.
    """

    nbeta: float
    value: float
    mcse: float
    overlap: float


def reweight(draws: xr.DataTree, nbeta: float, observable: str | None = None) -> Reweighted:
    """Reweight draws to another temperature, with weights ∝ exp(-(nβ' - nβ) (L(w) - L(w*))).

    Reweight towards lower temperatures, nβ' > nβ. If nβ L is distributed as Gamma(λ), the overlap is ((2r - 1)/r²)^λ
    with r = nβ'/nβ: 0.44 per decade at λ = 1/2, but 0.06 for r = 2 at λ = 10. Towards higher temperatures, from r ≤ 1/2
    on, the variance of the weights is infinite, and the value must not be trusted whatever the overlap.

    Args:
        draws: from `ontogeny.sample`.
        nbeta: nβ' > 0.
        observable: name of an observable of all samples, whose losses are used as L. Without it minibatch noise lowers
            the overlap, and the value is NaN unless two minibatches were recorded.

    Raises:
        InvalidArgument: for an observable that the draws do not hold.

    When not to trust it: if the overlap leaves few effective draws, say below 20, or if the draws have not reached the
        region that dominates at the lower temperature. The bias of finite steps is not subtracted.

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
