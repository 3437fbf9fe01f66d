"""Cross-coefficients against closed forms: quadratics by Monte Carlo, and a skewed posterior by quadrature."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import ontogeny as og
from ontogeny.estimators import loss_kernel
from ontogeny.testing import Point

Maker = Callable[..., xr.DataTree]
NBETA, LOCALIZATION, SIZE = 30.0, 5.0, 6
HESSIAN = np.diag([3.0, 2.0, 1.5, 1.0, 0.7, 0.4])
_random = np.random.default_rng(0)
_factor = _random.normal(size=(SIZE, SIZE))
OTHER = 2 * _factor @ _factor.T / SIZE
GRADIENT = 0.25 * _random.normal(size=SIZE)
COVARIANCE = np.linalg.inv(NBETA * HESSIAN + LOCALIZATION * np.eye(SIZE))
TRUTH = 0.5 * NBETA * np.trace(OTHER @ COVARIANCE)


def quadratic(w: np.ndarray, hessian: np.ndarray, gradient: np.ndarray | None = None) -> np.ndarray:
    bent = np.einsum("...i,ij,...j->...", w, hessian, w) / 2
    return bent if gradient is None else bent + w @ gradient


def gaussian(shape: tuple[int, int] = (4, 30_000), scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(1).normal(size=(*shape, SIZE)) @ np.linalg.cholesky(COVARIANCE).T


def observed(make_tree: Maker, w: np.ndarray, **changes: Any) -> xr.DataTree:
    """Draws of q, with L = ½ w'Hw, and the observables `suspect` ½ w'H'w + g·w and `base`, q itself."""
    own, other = quadratic(w, HESSIAN), quadratic(w, OTHER, GRADIENT)
    observables = {"suspect": (other[..., None] + 2.0, np.full(1, 2.0)), "base": (own[..., None], np.zeros(1))}
    slopes = {"suspect": w @ GRADIENT, "base": np.zeros(w.shape[:2])}
    return make_tree(NBETA, own, observables=observables, slopes=slopes, localization=LOCALIZATION, **changes)


@pytest.mark.parametrize("corrected", [True, False])
def test_quadratics_have_their_trace(make_tree: Maker, corrected: bool) -> None:
    found = og.cross_llc(observed(make_tree, gaussian()), "suspect", corrected)
    assert abs(found.value - TRUTH) < 4 * found.error
    assert found.error < 0.02 * TRUTH
    assert found.interval[0] < found.value < found.interval[1]
    assert found.outcome is og.Outcome.CONVERGED


def test_draws_of_another_temperature_have_another_coefficient(make_tree: Maker) -> None:
    found = og.cross_llc(observed(make_tree, gaussian(scale=1.05)), "suspect")
    assert abs(found.value - TRUTH) > 4 * found.error


def test_the_correction_takes_the_noise_of_the_slope_away(make_tree: Maker) -> None:
    draws = observed(make_tree, gaussian(shape=(4, 2000)))
    assert og.cross_llc(draws, "suspect").error < 0.6 * og.cross_llc(draws, "suspect", corrected=False).error


def test_of_the_sampled_data_it_is_the_learning_coefficient(make_tree: Maker) -> None:
    draws = observed(make_tree, gaussian(shape=(4, 2000)))
    assert og.cross_llc(draws, "base").value == pytest.approx(og.llc(draws).value, rel=1e-6)


def test_the_coefficient_of_suspect_data_themselves_is_complexity_less_an_artefact_of_descent() -> None:
    """λ̂ of q' itself = ½ Σ nβh/(nβh+γ) - ½ (nβ)² Σ g² (nβh+2γ)/(nβh+γ)²: the second term outweighs the first."""
    curvatures, slopes = torch.linspace(0.5, 3.0, SIZE), torch.full((SIZE,), 0.35)

    def loss(model: Point, batch: Tensor) -> Tensor:
        return (0.5 * curvatures * model.w**2 + slopes * model.w).sum().expand(len(batch))

    posterior = og.LocalPosterior(Point(SIZE), torch.zeros(16), loss, NBETA, LOCALIZATION)
    fixed = og.Fixed(kernel=og.SGHMC(0.07, friction=0.5), num_chains=32, num_draws=150, num_warmup=20, thinning=4)
    found = og.llc(og.sample(posterior, fixed))
    held = NBETA * curvatures.double()
    complexity = float((held / (held + LOCALIZATION)).sum() / 2)
    descent = float((0.35**2 * (held + 2 * LOCALIZATION) / (held + LOCALIZATION) ** 2).sum() * NBETA**2 / 2)
    assert descent > 2 * complexity
    for value, error, truth in (
        (found.value, found.mcse, complexity - descent),
        (found.complexity, found.complexity_mcse, complexity),
        (found.descent, found.descent_mcse, descent),
    ):
        assert abs(value - truth) < 4 * error
        assert error < 0.02 * abs(truth)
    assert found.outcome is og.Outcome.NOT_A_MINIMUM


def skewed(nbeta: float, curvature: float, skew: float, quartic: float) -> tuple[np.ndarray, np.ndarray]:
    """A grid, and the probabilities on it, of exp(-nβ (λ x²/2 + α x³/6 + γ x⁴/24))."""
    x = np.linspace(-12, 12, 200_001) / np.sqrt(nbeta * curvature)
    log = -nbeta * (curvature * x**2 / 2 + skew * x**3 / 6 + quartic * x**4 / 24)
    weights = np.exp(log - log.max())
    return x, weights / weights.sum()


def drawn(x: np.ndarray, weights: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Independent draws from the grid by its distribution function."""
    return np.interp(np.random.default_rng(2).uniform(size=shape), np.cumsum(weights), x)


def expected(nbeta: float, slope: float, curvature: float) -> tuple[float, float]:
    """The plain and the corrected form by quadrature."""
    x, weights = skewed(nbeta, 2.0, 1.0, 1.0)
    bent = nbeta * float(weights @ (curvature * x**2 / 2))
    return bent + nbeta * slope * float(weights @ x), bent


def test_skewness_is_in_the_plain_form_and_not_in_the_corrected_one(make_tree: Maker) -> None:
    """λ 2, α 1, g 0.7, h' 1.5: ½ h'/λ = 0.375 corrected, and 0.375 - g α / 2λ² = 0.2875 plain, at any large nβ."""
    nbeta, slope, curvature = 30.0, 0.7, 1.5
    for large in (1e3, 1e4):
        assert expected(large, slope, curvature) == pytest.approx((0.2875, 0.375), abs=1e-3)
    x, weights = skewed(nbeta, 2.0, 1.0, 1.0)
    plain, corrected = expected(nbeta, slope, curvature)
    w = drawn(x, weights, (4, 70_000))
    own = 2.0 * w**2 / 2 + w**3 / 6 + w**4 / 24
    losses = slope * w + curvature * w**2 / 2
    tree = make_tree(nbeta, own, observables={"q": (losses[..., None], np.zeros(1))}, slopes={"q": slope * w})
    for form, truth, other in ((False, plain, corrected), (True, corrected, plain)):
        found = og.cross_llc(tree, "q", corrected=form)
        assert abs(found.value - truth) < 4 * found.error < 0.08 * truth
        assert abs(found.value - other) > 4 * found.error


def test_a_covariance_of_third_order_is_missed_by_a_gaussian_sampler(make_tree: Maker) -> None:
    """nβ² Cov(x², x) → -2α/λ³ for L = λ x²/2 + α x³/6 + γ x⁴/24."""

    def covariance(x: np.ndarray, weights: np.ndarray) -> float:
        return float(weights @ (x**3)) - float(weights @ x**2) * float(weights @ x)

    assert 1e6 * covariance(*skewed(1e3, 2.0, 0.5, 1.0)) == pytest.approx(-0.12493, abs=1e-5)
    nbeta = 20.0
    x, weights = skewed(nbeta, 2.0, 0.5, 1.0)
    truth, spread = covariance(x, weights), float(np.sqrt(weights @ x**2))
    exact, normal = drawn(x, weights, (4, 300_000)), np.random.default_rng(3).normal(0, spread, (4, 300_000))
    found = [third_order(make_tree, nbeta, w) for w in (exact, normal)]
    assert abs(float(found[0]["covariance"]) - truth) < 4 * float(found[0]["mcse"])
    assert abs(float(found[1]["covariance"]) - truth) > 4 * float(found[1]["mcse"])
    assert all(float(each["mcse"]) < 0.06 * abs(truth) for each in found)


def third_order(make_tree: Maker, nbeta: float, w: np.ndarray) -> xr.Dataset:
    """Cov(x², x) as an estimator reads it off draws."""
    observables = {"square": (w[..., None] ** 2, np.zeros(1)), "linear": (w[..., None], np.zeros(1))}
    return loss_kernel(make_tree(nbeta, w**2, observables=observables), "square", "linear").squeeze()


@pytest.mark.parametrize("corrected", [True, False])
def test_the_derivative_along_a_mixture_of_data(make_tree: Maker, corrected: bool) -> None:
    """-(nβ)² Cov(φ', L' - L) of Gaussians, and for the corrected form a finite difference of the closed form."""
    found = og.cross_llc_derivative(observed(make_tree, gaussian()), "suspect", "base", corrected)
    truth = -0.5 * NBETA**2 * np.trace(OTHER @ COVARIANCE @ (OTHER - HESSIAN) @ COVARIANCE)
    if corrected:
        moved = [
            np.linalg.inv(NBETA * ((1 - h) * HESSIAN + h * OTHER) + LOCALIZATION * np.eye(SIZE)) for h in (1e-4, -1e-4)
        ]
        step = 0.5 * NBETA * np.trace(OTHER @ (moved[0] - moved[1])) / 2e-4
        assert step == pytest.approx(truth, rel=1e-5)
    else:
        truth -= NBETA**2 * GRADIENT @ COVARIANCE @ GRADIENT
    assert abs(found.value - truth) < 4 * found.error
    assert found.error < 0.05 * abs(truth)


def test_the_derivative_of_the_sampled_data_is_the_susceptibility(make_tree: Maker) -> None:
    draws = observed(make_tree, gaussian(shape=(4, 1000)))
    along = og.cross_llc_derivative(draws, "base", "base", towards="suspect")
    assert along.value == pytest.approx(NBETA**2 * og.susceptibility(draws, "suspect", "base").value, rel=1e-6)


def test_noise_of_minibatches_is_not_in_the_derivative(make_tree: Maker) -> None:
    w = gaussian()
    draws = observed(make_tree, w, num_samples=100)
    noise = np.random.default_rng(5).normal(0, 0.05, w.shape[:2])
    draws["posterior"]["loss_difference"] = draws["posterior"]["loss_difference"] + noise
    found = og.cross_llc_derivative(draws, "suspect")
    truth = -0.5 * NBETA**2 * np.trace(OTHER @ COVARIANCE @ (OTHER - HESSIAN) @ COVARIANCE)
    assert abs(found.value - truth) < 4 * found.error < 0.4 * abs(truth)


class Both(nn.Module):
    """Two parts, of two and of four weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(4))


def kinds(model: Both, batch: Tensor) -> Tensor:
    """The loss on q for samples 0 and on q' for samples 1."""
    w = torch.cat([model.a, model.b])
    own, other, slope = (torch.tensor(each, dtype=w.dtype) for each in (HESSIAN, OTHER, GRADIENT))
    losses = torch.stack([0.5 * w @ own @ w, 0.5 * w @ other @ w + slope @ w])
    return losses[batch]


@pytest.mark.parametrize("part", [pytest.param(None, marks=pytest.mark.slow), "b"])
def test_slopes_are_recorded_for_the_whole_network_and_for_parts(part: str | None) -> None:
    posterior = og.LocalPosterior(Both(), torch.zeros(16, dtype=torch.long), kinds, NBETA, LOCALIZATION, part)
    suspect = {"suspect": torch.ones(3, dtype=torch.long)}
    fixed = og.Fixed(kernel=og.SGHMC(0.07, friction=0.5), num_chains=32, num_draws=120, num_warmup=20, thinning=5)
    draws = og.sample(posterior, fixed, observables=suspect)
    found = og.cross_llc(draws, "suspect")
    index = slice(2, 6) if part else slice(0, 6)
    other = OTHER[index, index]
    moved = np.linalg.inv(NBETA * HESSIAN[index, index] + LOCALIZATION * np.eye(len(other)))
    truth = 0.5 * NBETA * np.trace(other @ moved)
    assert abs(found.value - truth) < 4 * found.error
    assert found.error < 0.02 * truth
    plain = og.cross_llc(draws, "suspect", corrected=False)
    assert abs(plain.value - truth) < 4 * plain.error
    assert plain.error > 1.5 * found.error
    # the control: as far, in all directions alike
    noise = og.cross_llc(og.weight_noise(posterior, draws, observables=suspect, seed=1), "suspect", nbeta=NBETA)
    even = 0.5 * NBETA * np.trace(other) * np.trace(moved) / len(other)
    assert abs(noise.value - even) < 4 * noise.error + 0.02 * even  # the distance is that of the draws
    assert noise.error < 0.02 * even


def test_where_the_sampled_data_have_no_minimum_the_outcome_says_so() -> None:
    """The posterior of q' itself descends, and what it reads on q is not about q."""
    posterior = og.LocalPosterior(Both(), torch.ones(16, dtype=torch.long), kinds, 20 * NBETA, LOCALIZATION)
    base = {"base": torch.zeros(3, dtype=torch.long)}
    fixed = og.Fixed(kernel=og.SGHMC(0.02, friction=0.5), num_chains=4, num_draws=200, num_warmup=100, thinning=3)
    assert og.cross_llc(og.sample(posterior, fixed, observables=base), "base").outcome is og.Outcome.NOT_A_MINIMUM


@pytest.mark.slow
def test_the_sampler_sees_the_third_order() -> None:
    """On a skewed loss, both forms and Cov(x², x) from one run, by quadrature; a Gaussian misses two of the three."""
    nbeta, curvature, skew, quartic, slope, bend = 5.0, 2.0, 2.0, 4.0, 0.7, 1.5

    def loss(model: Point, batch: Tensor) -> Tensor:
        x = model.w[0]
        own = curvature * x**2 / 2 + skew * x**3 / 6 + quartic * x**4 / 24
        return torch.stack([own, slope * x + bend * x**2 / 2, x**2, x])[batch]

    def kind(number: int) -> Tensor:
        return torch.full((3,), number)

    posterior = og.LocalPosterior(Point(1), kind(0), loss, nbeta, localization=0.0)
    observed = {"suspect": kind(1), "square": kind(2)[:1], "linear": kind(3)[:1]}
    fixed = og.Fixed(kernel=og.HMC(0.4, 3), num_chains=32, num_draws=400, num_warmup=10)
    draws = og.sample(posterior, fixed, observables=observed)
    x, weights = skewed(nbeta, curvature, skew, quartic)
    bent = nbeta * float(weights @ (bend * x**2 / 2))
    truth = bent + nbeta * slope * float(weights @ x)
    plain, corrected = (og.cross_llc(draws, "suspect", form) for form in (False, True))
    assert abs(plain.value - truth) < 4 * plain.error < 0.5 * (bent - truth)
    assert abs(corrected.value - bent) < 4 * corrected.error < 0.1 * bent
    third = float(weights @ (x**3)) - float(weights @ x**2) * float(weights @ x)
    found = loss_kernel(draws, "square", "linear").squeeze()
    assert abs(float(found["covariance"]) - third) < 4 * float(found["mcse"])
    assert 4 * float(found["mcse"]) < 0.5 * abs(third)  # a Gaussian has neither a covariance nor a difference of forms
