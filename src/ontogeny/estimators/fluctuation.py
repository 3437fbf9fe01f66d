"""Free energy and fluctuation: WBIC, functional variance, singular fluctuation and WAIC from the draws of one
temperature.
"""

import math

import numpy as np
import xarray as xr

from ontogeny.core.draws import settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.outcome import Outcome
from ontogeny.estimators.quantity import Quantity, finite, mean_of, per_sample

_WBIC_TOLERANCE = 0.01


def wbic(draws: xr.DataTree) -> Quantity:
    """WBIC = n E[L(w)] at nβ = n / log n: the free energy -log ∫ exp(-n L(w)) φ(w) dw up to O(√log n).

    L is the mean negative log-likelihood in nats, φ the localizing Gaussian. It includes n L(w*), so two networks
    trained on the same data are compared by their difference.

    Args:
        draws: from `ontogeny.sample` at its default nβ.

    Returns:
        WBIC in nats with its Monte Carlo error, including that of L(w*) on the minibatches.

    Raises:
        InvalidArgument: for draws at another nβ, where n E[L] is not a free energy.

    When not to trust it: if λ̂ from the same draws still depends on γ, then so does WBIC, through φ. L must be a
        log-likelihood: a squared error without the factor 1/(2σ²) is not.

    References:
        Watanabe, "A Widely Applicable Bayesian Information Criterion", JMLR 14 (2013) 867-897.
    """
    settings = settings_of(draws)
    wanted = settings.num_samples / math.log(settings.num_samples)
    if abs(settings.nbeta / wanted - 1) > _WBIC_TOLERANCE:
        raise InvalidArgument(
            "draws",
            expected=f"draws at nβ = n / log n = {wanted:.4g}",
            found=f"nβ = {settings.nbeta:.4g}",
            instead="LocalPosterior(…, nbeta=None)",
        )
    return mean_of("WBIC", settings.num_samples * finite(draws, "sample_stats/loss"), draws)


def free_energy(loss: float, learning_coefficient: float, num_samples: int, multiplicity: int = 1) -> float:
    """F = n L(w*) + λ log n - (m - 1) log log n, in nats: the asymptote of the local free energy, up to O(1).

    Args:
        loss: L(w*), the mean negative log-likelihood over the n samples.
        learning_coefficient: λ.
        num_samples: n ≥ 3.
        multiplicity: m ≥ 1.

    Raises:
        InvalidArgument: for n < 3 or m < 1.

    References:
        Watanabe, Algebraic Geometry and Statistical Learning Theory (2009), chapter 6; Lau et al., arXiv 2308.12108.
    """
    if num_samples < 3 or multiplicity < 1:
        found = f"num_samples={num_samples}, multiplicity={multiplicity}"
        raise InvalidArgument("num_samples, multiplicity", expected="n ≥ 3 and m ≥ 1", found=found)
    logarithm = math.log(num_samples)
    return num_samples * loss + learning_coefficient * logarithm - (multiplicity - 1) * math.log(logarithm)


def functional_variance(draws: xr.DataTree, observable: str) -> Quantity:
    """V = (1/n) Σᵢ Var_w[log p(xᵢ|w)], from per-sample losses recorded at every draw.

    Args:
        draws: from `ontogeny.sample` with an observable of the posterior's own samples, or a random subset of them, and
            a loss that is a negative log-likelihood in nats.
        observable: its name.

    Returns:
        V, with its Monte Carlo error and, for a subset of m samples, the sampling error of the subset.

    Raises:
        InvalidArgument: for an observable that the draws do not hold.

    When not to trust it: variances over few correlated draws are too low, by one over the effective sample size.
        Samples other than those of the posterior give a different quantity.

    References:
        Watanabe, Algebraic Geometry and Statistical Learning Theory (2009), chapter 6.
    """
    losses = per_sample(draws, observable)
    pooled = losses.reshape(-1, losses.shape[-1])
    if len(pooled) < 2:
        return Quantity("V", math.nan, math.nan, Outcome.TOO_FEW_DRAWS, Outcome.TOO_FEW_DRAWS.advice)
    squares = (losses - pooled.mean(axis=0)) ** 2 * (len(pooled) / (len(pooled) - 1))
    num_samples, part = settings_of(draws).num_samples, losses.shape[-1]
    part_error = 0.0
    if 1 < part < num_samples:
        part_error = float(np.std(pooled.var(axis=0), ddof=1)) * math.sqrt((1 - part / num_samples) / part)
    return mean_of("V", squares.mean(axis=-1), draws, part_error)


def singular_fluctuation(draws: xr.DataTree, observable: str) -> Quantity:
    """ν = (nβ/2) V, V the functional variance: how much a model gains in fit to its own samples by fluctuating.

    With λ it gives the excess errors of the posterior predictive over the truth. At β = 1 the mean generalization error
    is λ/n, and the mean training error (λ - 2ν)/n. For a regular model λ = ν = d/2 at β = 1.

    Args:
        draws, observable: as for `functional_variance`.

    Returns:
        ν, dimensionless, with its error.

    Raises:
        InvalidArgument: for an observable that the draws do not hold.

    When not to trust it: as `functional_variance`. Unlike λ, ν depends on β: at nβ = n / log n it belongs to the
        tempered posterior.

    References:
        Watanabe, Algebraic Geometry and Statistical Learning Theory (2009), chapter 6.
    """
    variance = functional_variance(draws, observable)
    scale = settings_of(draws).nbeta / 2
    return Quantity("ν", scale * variance.value, scale * variance.error, variance.outcome, variance.advice)


def waic(draws: xr.DataTree, observable: str) -> Quantity:
    """WAIC = T + β V: the expected loss of the tempered posterior predictive on new samples, in nats per sample.

    T = -(1/n) Σᵢ log E_w[p(xᵢ|w)] is the training loss of the posterior predictive, and V the functional variance (a
    mean over samples).

    Args:
        draws, observable: as for `functional_variance`.

    Returns:
        WAIC, with its Monte Carlo error and the error of a subset of the samples in V.

    Raises:
        InvalidArgument: for an observable that the draws do not hold.

    When not to trust it: as `functional_variance`; E_w[p(xᵢ|w)] is dominated by a few draws if a sample's loss varies
        by more than about a nat. The errors of T and V are added as if independent.

    References:
        Watanabe, "Asymptotic Equivalence of Bayes Cross Validation and Widely Applicable Information Criterion in
        Singular Learning Theory", JMLR 11 (2010) 3571-3594.
    """
    settings, variance = settings_of(draws), functional_variance(draws, observable)
    losses = per_sample(draws, observable)
    if losses.size == 0:
        return Quantity("WAIC", math.nan, math.nan, variance.outcome, variance.advice)
    pooled = losses.reshape(-1, losses.shape[-1])
    least = pooled.min(axis=0)
    mean = np.exp(least - pooled).mean(axis=0)
    training = float((least - np.log(mean)).mean())
    # to first order T varies with Σᵢ p(xᵢ|w) / E_w[p(xᵢ|w)]
    moves = mean_of("T", -(np.exp(least - losses) / mean).mean(axis=-1), draws)
    beta = settings.nbeta / settings.num_samples
    error = math.hypot(moves.error, beta * variance.error)
    return Quantity("WAIC", training + beta * variance.value, error, variance.outcome, variance.advice)
