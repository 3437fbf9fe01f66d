"""Susceptibilities and influence against the closed forms of Gaussian posteriors, and against finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import ontogeny as og
from ontogeny.estimators import influence, loss_kernel, susceptibilities, susceptibility

Maker = Callable[..., xr.DataTree]
NBETA, LOCALIZATION, SIZE = 40.0, 5.0, 3
HESSIAN = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]])
OTHER = np.array([[0.3, 0.2, 0.1], [0.2, 1.5, 0.0], [0.1, 0.0, 0.8]])
GRADIENTS = np.random.default_rng(3).normal(size=(6, SIZE))
COVARIANCE = np.linalg.inv(NBETA * HESSIAN + LOCALIZATION * np.eye(SIZE))


def weights(hessian: np.ndarray = HESSIAN, seed: int = 0, shape: tuple[int, int] = (4, 20_000)) -> np.ndarray:
    """Independent draws of exp(-nβ w'Hw/2 - γ|w|²/2)."""
    factor = np.linalg.cholesky(np.linalg.inv(NBETA * hessian + LOCALIZATION * np.eye(SIZE)))
    return np.random.default_rng(seed).normal(size=(*shape, SIZE)) @ factor.T


def quadratic(w: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    return np.einsum("...i,ij,...j->...", w, hessian, w) / 2


def draws_of(make_tree: Maker, w: np.ndarray, **changes: Any) -> xr.DataTree:
    """Draws whose data have the loss w'Hw/2; observables `linear` gᵢ·w, `other` w'Aw/2, `base` the data's own."""
    observed = {
        "linear": (w @ GRADIENTS.T + 1.0, np.ones(len(GRADIENTS))),
        "other": (quadratic(w, OTHER)[..., None] + 3.0, np.full(1, 3.0)),
        "base": (quadratic(w, HESSIAN)[..., None], np.zeros(1)),
    }
    return make_tree(NBETA, quadratic(w, HESSIAN), observables=observed, localization=LOCALIZATION, **changes)


def test_influence_of_linear_losses_is_the_damped_influence_function(make_tree: Maker) -> None:
    found = influence(draws_of(make_tree, weights()), "linear")
    exact = -GRADIENTS @ COVARIANCE @ GRADIENTS.T
    assert found["influence"].dims == ("linear_sample", "other_sample")
    assert (abs(found["influence"].values - exact) < 4 * found["mcse"].values).all()
    assert found["mcse"].values.max() < 0.02 * np.abs(exact).max()
    scale = np.sqrt(np.diag(-exact))
    assert np.abs(found["correlation"].values + exact / np.outer(scale, scale)).max() < 0.02


def test_the_loss_kernel_is_its_negative(make_tree: Maker) -> None:
    draws = draws_of(make_tree, weights(shape=(4, 400)))
    np.testing.assert_array_equal(
        loss_kernel(draws, "linear", "other")["covariance"], -influence(draws, "linear", "other")["influence"]
    )
    assert loss_kernel(draws, "linear", "other")["covariance"].dims == ("linear_sample", "other_sample")


def test_susceptibility_of_quadratic_losses(make_tree: Maker) -> None:
    """Cov(w'Aw, w'Bw) = 2 tr(A S B S) for w ~ N(0, S)."""
    found = susceptibility(draws_of(make_tree, weights()), "other", "base")
    exact = -0.5 * np.trace(HESSIAN @ COVARIANCE @ (OTHER - HESSIAN) @ COVARIANCE)
    assert abs(found.value - exact) < 4 * found.error
    assert found.error < 0.05 * abs(exact)
    assert found.outcome is og.Outcome.CONVERGED


def test_a_finite_step_in_the_data_agrees(make_tree: Maker) -> None:
    """(E_h[φ] - E_-h[φ]) / 2h nβ by exact draws of the reweighted posteriors."""
    step = 0.1
    moved = [quadratic(weights(HESSIAN + sign * step * (OTHER - HESSIAN), seed=1), HESSIAN).mean() for sign in (1, -1)]
    slope = (moved[0] - moved[1]) / (2 * step * NBETA)
    found = susceptibility(draws_of(make_tree, weights()), "other", "base")
    spread = quadratic(weights(), HESSIAN).std() / np.sqrt(80_000) / (2**0.5 * step * NBETA)
    assert abs(found.value - slope) < 4 * np.hypot(found.error, spread)
    assert spread < 0.15 * abs(slope)


def test_draws_of_another_temperature_have_another_susceptibility(make_tree: Maker) -> None:
    found = susceptibility(draws_of(make_tree, 1.1 * weights()), "other", "base")
    exact = -0.5 * np.trace(HESSIAN @ COVARIANCE @ (OTHER - HESSIAN) @ COVARIANCE)
    assert abs(found.value - exact) > 4 * found.error


def test_samples_add_up_to_their_dataset(make_tree: Maker) -> None:
    draws = draws_of(make_tree, weights(shape=(4, 1000)))
    each, whole = susceptibilities(draws, "linear", "base"), susceptibility(draws, "linear", "base")
    assert float(each["susceptibility"].mean()) == pytest.approx(whole.value, rel=1e-6)
    assert each["mcse"].dims == ("linear_sample",)


def test_against_draws_of_all_weights(make_tree: Maker) -> None:
    """-(E_C[φ ΔL] - E_C[φ] E_full[ΔL]) with a component whose posterior is narrower than that of all weights."""
    narrow, wide = 0.5 * weights(seed=0), weights(seed=1)
    found = susceptibility(draws_of(make_tree, narrow), "other", "base", full=draws_of(make_tree, wide))
    part, change = COVARIANCE / 4, OTHER - HESSIAN
    traces = [np.trace(matrix @ part) / 2 for matrix in (HESSIAN, change)]
    product = traces[0] * traces[1] + np.trace(HESSIAN @ part @ change @ part) / 2
    exact = -(product - traces[0] * np.trace(change @ COVARIANCE) / 2)
    assert abs(found.value - exact) < 4 * found.error < 0.2 * abs(exact)


def test_minibatch_noise_is_not_multiplied_by_itself(make_tree: Maker) -> None:
    w = weights()
    noise = np.random.default_rng(5).normal(0, 0.2, w.shape[:2])
    observed = {name: (quadratic(w, matrix)[..., None], np.zeros(1)) for name, matrix in (("b", HESSIAN), ("o", OTHER))}
    draws = make_tree(NBETA, quadratic(w, HESSIAN) + noise, observables=observed, num_samples=100)
    exact = -0.5 * np.trace(HESSIAN @ COVARIANCE @ (OTHER - HESSIAN) @ COVARIANCE)
    found = susceptibility(draws, "o", "b")
    assert abs(found.value - exact) < 4 * found.error
    with pytest.raises(og.InvalidArgument, match="base"):
        susceptibility(draws, "o")


def test_the_memory_of_a_chain_is_in_the_error(make_tree: Maker) -> None:
    """Draws repeated ten times hold no more than they did once."""
    once = weights(shape=(4, 400))
    short = influence(draws_of(make_tree, once), "linear")["mcse"].values
    repeated = influence(draws_of(make_tree, np.repeat(once, 10, axis=1)), "linear")["mcse"].values
    independent = influence(draws_of(make_tree, weights(shape=(4, 4000))), "linear")["mcse"].values
    assert 0.7 < np.median(repeated / short) < 1.4
    assert np.median(repeated / independent) > 2


def test_chains_that_failed_and_too_few_draws(make_tree: Maker) -> None:
    w = weights(shape=(4, 400))
    broken = w.copy()
    broken[2] = np.nan
    failed = np.array([np.nan, np.nan, 3.0, np.nan])
    found = influence(draws_of(make_tree, broken, failed_at=failed), "linear")
    assert np.isfinite(found["influence"]).all()
    with pytest.raises(og.InvalidArgument, match="at least"):
        influence(draws_of(make_tree, w[:, :12]), "linear")
    with pytest.raises(og.InvalidArgument, match="an observable of the draws"):
        influence(draws_of(make_tree, w), "code")


def test_at_no_temperature_the_draws_are_weight_noise() -> None:
    """nβ = 0: w ~ N(w*, 1/γ), so linear losses covary by their gradients alone, whatever the data."""
    torch.manual_seed(0)
    model, x = nn.Linear(3, 1, bias=False), torch.randn(50, 3)
    posterior = og.LocalPosterior(model, x, lambda m, batch: m(batch)[:, 0], nbeta=0.0, localization=4.0)
    draws = og.sample(posterior, og.HMC(0.4, 3), num_draws=300, num_warmup=20, observables={"x": x[:5]})
    found = influence(draws, "x")
    exact = -(x[:5] @ x[:5].T / 4).numpy()
    assert (abs(found["influence"].values - exact) < 4 * found["mcse"].values).all()
    assert found["mcse"].values.max() < 0.15 * np.abs(exact).max()
