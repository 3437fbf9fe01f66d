"""The asymptote of nβ E[L(w) - L(w*)] as nβ grows, fitted with the forms that singular learning theory predicts."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import comb, logsumexp, polygamma
from scipy.stats import chi2

Rungs = Float[np.ndarray, " rung"]
Points = Float[np.ndarray, " point"]
Curves = Float[np.ndarray, "point rung"]

MAX_MULTIPLICITY = 4
MIN_RUNGS = 6  # two or three unknowns, and degrees of freedom left to test the fit
MIN_P_VALUE = 1e-3  # below it, no form fits the curve
_CLEAN_P_VALUE = 0.05  # p-value that inflated errors give, from the hottest rung at which a form fits this well

# Leaving out a rung costs this much log probability. With the 1 of Jay and Neil, forms of higher multiplicity fit the
# cold half of any curve. With 2 they are told apart on exact curves, and rungs where further poles show are still left
# out.
_COST = 2.0

# Each further multiplicity needs one more coincidence of poles, so its prior is a third of the one before.
_PRIOR_ODDS = 1 / 3
_CONSTANT_SHARE = 0.5  # of the prior of multiplicity 1: the constant form, in which the curve has already settled

# Model error: the polynomials come from one kind of singularity, and poles beyond the second are ignored. Measured as
# about these shares of the extrapolated part, and of λ.
_FORM_ERROR_BEYOND, _FORM_ERROR = 0.1, 0.005

# The grid on which forms are evaluated. Shifts: log nβ + constant at the hottest rung. Gaps: distance between the
# poles, in units of the smaller of λ and 1/2. Strengths: what the second pole adds to Z at the hottest rung.
_SHIFTS = np.geomspace(1, 40, 120)
_GAPS = np.geomspace(0.7, 4, 20)
_STRENGTHS = np.exp(-np.geomspace(0.1, 7, 48))


@dataclass(frozen=True)
class Asymptote:
    """The limit of a curve, with its uncertainty.

    Attributes:
        value: λ, averaged over the forms by their posterior probability.
        error: standard error of `value`: within the fit, between the forms, and model error.
        probabilities: posterior probability of multiplicity 1, 2, ….
        fitted: the mean fitted curve from `first` on; NaN before it.
        first: the hottest rung used: a form fits from there on.
        p_value: χ² p-value of the best form from there on. Errors are inflated where χ² exceeds its degrees of freedom.
    """

    value: float
    error: float
    probabilities: Float[np.ndarray, " multiplicity"]
    fitted: Rungs
    first: int
    p_value: float


class _Form(NamedTuple):
    """Curves λ - D of one multiplicity: the prior of each grid point, and D there as a function of λ."""

    multiplicity: int
    log_prior: Points
    deficit: Callable[[Points], Curves]
    implicit: bool  # whether D depends on λ


class _Fit(NamedTuple):
    """All grid points of all forms, fitted from one rung on. λ has a single error, set by the rungs' weights."""

    multiplicity: Int[np.ndarray, " point"]
    log_prior: Points
    coefficient: Points
    error: float
    chi_squared: Points
    curves: Curves
    freedom: int
    p_value: float  # of the best point


def extrapolate(nbeta: Rungs, value: Rungs, error: Rungs) -> Asymptote:
    """Estimate λ and its multiplicity m from values of nβ E[ΔL] at rising nβ with independent errors.

    Z(nβ) = ∫ exp(-nβ ΔL(w)) φ(w) dw is a sum over poles of (nβ)^-λ Q(log nβ), and nβ E[ΔL] = -d log Z / d log nβ. With
    x the logarithm of nβ above the hottest rung, the forms are

    - m = 1: λ, or λ - δ a e^(-δx) / (1 - a e^(-δx)) with a second pole at λ + δ, weaker by a;
    - m > 1: λ - Q'(x + c) / Q(x + c), Q of degree m - 1. c absorbs one of its lower coefficients. The others are those
      of a product of m equal powers under a Gaussian localization. For m = 2 there are none; for m = 3 they change λ by
      a few per cent.

    Each form is evaluated on a grid of (δ, a) or c. At every point λ is fitted by weighted least squares, on all rungs
    and after leaving out up to half of them, the hottest first. The results are averaged, weighted by prior and
    likelihood.

    Args:
        nbeta: in rising order, at least `MIN_RUNGS` values.
        value: nβ E[ΔL].
        error: standard errors of `value`, > 0.

    Returns:
        The limit. If no form has a positive λ, its numbers are NaN and its p-value is 0.

    When not to trust it: a pole within 0.7 min(λ, 1/2) of the first, or a second pole that is itself multiple, looks
        like multiplicity, with λ up to 17 % too high (w₁⁴w₂⁶; w₁²w₂²w₃⁴). Curves with 1 % errors cannot distinguish the
        two.

    References:
        Watanabe, Algebraic Geometry and Statistical Learning Theory (2009), chapter 4, for the poles; Jay and Neil,
        Phys. Rev. D 103, 114502 (2021), for averaging over forms.
    """
    fits = [
        _fit(nbeta[first:], value[first:], error[first:])
        for first in range(min(len(nbeta) - MIN_RUNGS, len(nbeta) // 2) + 1)
    ]
    clean = [first for first, fit in enumerate(fits) if fit.p_value > _CLEAN_P_VALUE]
    first = clean[0] if clean else max(range(len(fits)), key=lambda first: fits[first].p_value)
    fitted = np.full(len(nbeta), math.nan)
    if not len(fits[first].coefficient):
        return Asymptote(math.nan, math.nan, np.full(MAX_MULTIPLICITY, math.nan), fitted, first, 0.0)
    inflation = max(1.0, fits[first].chi_squared.min() / fits[first].freedom)
    logs = [fit.log_prior - fit.chi_squared / (2 * inflation) - _COST * cut for cut, fit in enumerate(fits)]
    total = logsumexp(np.concatenate(logs))
    weights = [np.exp(log - total) for log in logs]
    mean = float(sum(weight @ fit.coefficient for weight, fit in zip(weights, fits, strict=True)))
    variance = (_FORM_ERROR_BEYOND * (mean - value[-1])) ** 2 + (_FORM_ERROR * mean) ** 2
    probabilities = np.zeros(MAX_MULTIPLICITY)
    for weight, fit in zip(weights, fits, strict=True):
        variance += weight @ (inflation * fit.error**2 + (fit.coefficient - mean) ** 2)
        probabilities += np.bincount(fit.multiplicity - 1, weight, MAX_MULTIPLICITY)
    fitted[first:] = weights[first] @ fits[first].curves / weights[first].sum()
    return Asymptote(mean, math.sqrt(variance), probabilities, fitted, first, fits[first].p_value)


def _fit(nbeta: Rungs, value: Rungs, error: Rungs) -> _Fit:
    x, precision, parts = np.log(nbeta / nbeta[0]), error**-2, []
    for form in _forms(x, min(abs(float(value[-1])), 0.5)):
        with np.errstate(all="ignore"):  # grid points without a solution are dropped here
            coefficient, deficit, settled = _solve(form, value, precision)
            curves = coefficient[:, None] - deficit
            chi_squared = ((value - curves) ** 2) @ precision
        sound = settled & np.isfinite(chi_squared) & (coefficient > 0)
        if form.multiplicity > 1:
            sound &= (deficit > 0).all(axis=1)  # beyond the roots of Q
        multiplicity = np.full(len(sound), form.multiplicity)
        parts.append([item[sound] for item in (multiplicity, form.log_prior, coefficient, chi_squared, curves)])
    multiplicity, log_prior, coefficient, chi_squared, curves = map(np.concatenate, zip(*parts, strict=True))
    freedom = len(x) - 2
    p_value = float(chi2.sf(chi_squared.min(initial=math.inf), freedom))
    return _Fit(multiplicity, log_prior, coefficient, precision.sum() ** -0.5, chi_squared, curves, freedom, p_value)


def _solve(form: _Form, value: Rungs, precision: Rungs) -> tuple[Points, Curves, Bool[np.ndarray, " point"]]:
    """Least-squares λ at every point, D there, and where λ = mean(value + D(λ)) was solved."""
    weight = precision / precision.sum()
    coefficient = np.full(len(form.log_prior), value[-1])
    deficit = form.deficit(coefficient)
    solution = (value + deficit) @ weight
    if not form.implicit:
        return solution, deficit, np.full(len(solution), True)
    for _ in range(20):  # D depends on λ weakly, and half steps converge
        coefficient = (coefficient + solution) / 2
        deficit = form.deficit(coefficient)
        solution = (value + deficit) @ weight
    return solution, deficit, np.abs(solution - coefficient) < 1e-4 * coefficient


def _forms(x: Rungs, unit: float) -> Iterator[_Form]:
    """All forms for a curve with min(λ, 1/2) about `unit`."""
    prior = _PRIOR_ODDS ** np.arange(MAX_MULTIPLICITY)
    log_prior = np.log(prior / prior.sum())
    grid = np.meshgrid(_GAPS * unit, np.r_[_STRENGTHS, -_STRENGTHS])
    gap, strength = np.r_[grid[0].ravel(), unit], np.r_[grid[1].ravel(), 0]  # the last is the constant form
    share = np.r_[np.full(len(gap) - 1, (1 - _CONSTANT_SHARE) / (len(gap) - 1)), _CONSTANT_SHARE]
    rest = strength[:, None] * np.exp(-gap[:, None] * x)
    second_pole = gap[:, None] * rest / (1 - rest)
    yield _Form(1, log_prior[0] + np.log(share), lambda _: second_pole, implicit=False)
    position = x + _SHIFTS[:, None]
    for m in range(2, MAX_MULTIPLICITY + 1):
        multiple_pole = partial(_log_derivative, position, m)
        even = np.full(len(_SHIFTS), log_prior[m - 1] - math.log(len(_SHIFTS)))
        yield _Form(m, even, multiple_pole, implicit=m > 2)


def _log_derivative(position: Curves, multiplicity: int, coefficient: Points) -> Curves:
    """Q'/Q for the residue of Γ(z) Γ(1/2 - kz)^m e^(-z·position) at its pole z = λ of order m, k = 1 / (2 min(λ, 1/2)).

    The residue is the (m-1)-th Taylor coefficient of exp(-ε·position + κ₂ε²/2 + …) in ε = z - λ, where κ are the
    derivatives of the logarithm of the regular part. The position absorbs κ₁.
    """
    coefficient = coefficient[:, None]
    k = 1 / (2 * np.minimum(coefficient, 0.5))
    bell, slope = [np.ones_like(position), -position], [np.zeros_like(position), -np.ones_like(position)]
    for n in range(1, multiplicity - 1):
        value, derivative = -position * bell[n], -position * slope[n] - bell[n]
        for i in range(1, n + 1):
            cumulant = polygamma(i, coefficient) + multiplicity * (-k) ** (i + 1) * polygamma(i, 1.0)
            value = value + comb(n, i) * cumulant * bell[n - i]
            derivative = derivative + comb(n, i) * cumulant * slope[n - i]
        bell.append(value)
        slope.append(derivative)
    return slope[multiplicity - 1] / bell[multiplicity - 1]
