"""Derivatives of the learning coefficient by temperature and localization, against those of a Gaussian."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.estimators.sensitivity import localization_sensitivity, temperature_sensitivity
from ontogeny.testing import Gaussian

Maker = Callable[..., xr.DataTree]
CURVATURES, NBETA, LOCALIZATION = np.array([0.2, 1.0, 5.0]), 30.0, 10.0
TARGET = Gaussian(tuple(CURVATURES))


def weights(shape: tuple[int, ...] = (4, 20_000), seed: int = 0) -> np.ndarray:
    """Independent draws of the posterior itself."""
    scale = (NBETA * CURVATURES + LOCALIZATION) ** -0.5
    return np.random.default_rng(seed).normal(size=(*shape, len(CURVATURES))) * scale


def loss(w: np.ndarray) -> np.ndarray:
    return (w**2 @ CURVATURES) / 2


def gaussian(make_tree: Maker, difference: np.ndarray | None = None, **changes: Any) -> xr.DataTree:
    """Draws whose losses are exact, or others of the same weights."""
    w = weights()
    settings = {"localization": LOCALIZATION, "distance": np.linalg.norm(w, axis=-1)} | changes
    return make_tree(NBETA, loss(w) if difference is None else difference, **settings)


def by_localization() -> float:
    return float((TARGET.llc(NBETA, LOCALIZATION + 1e-4) - TARGET.llc(NBETA, LOCALIZATION - 1e-4)) / 2e-4)


def by_temperature() -> float:
    return float((TARGET.llc(NBETA + 1e-4, LOCALIZATION) - TARGET.llc(NBETA - 1e-4, LOCALIZATION)) / 2e-4)


def test_by_localization(make_tree: Maker) -> None:
    found = localization_sensitivity(gaussian(make_tree))
    assert abs(found.value - by_localization()) < 4 * found.error
    assert found.error < 0.05 * abs(by_localization())
    assert found.outcome is og.Outcome.CONVERGED
    assert str(found).startswith("∂LLC/∂γ -0.0")


def test_by_temperature(make_tree: Maker) -> None:
    found = temperature_sensitivity(gaussian(make_tree))
    assert abs(found.value - by_temperature()) < 4 * found.error
    assert found.error < 0.1 * by_temperature()
    assert found.outcome is og.Outcome.CONVERGED


@pytest.mark.parametrize("derivative", [localization_sensitivity, temperature_sensitivity])
def test_draws_of_another_temperature_have_other_derivatives(make_tree: Maker, derivative: Callable) -> None:
    w = weights() * 1.1
    found = derivative(make_tree(NBETA, loss(w), distance=np.linalg.norm(w, axis=-1)))
    exact = by_localization() if derivative is localization_sensitivity else by_temperature()
    assert abs(found.value - exact) > 4 * found.error


def test_minibatch_noise_is_kept_out_of_the_variance(make_tree: Maker) -> None:
    """Two minibatches a draw give the right value; one that is passed off as all samples does not."""
    exact, random = by_temperature(), np.random.default_rng(1)
    one, other = (loss(weights()) + random.normal(0, 0.04, (4, 20_000)) for _ in range(2))
    found = temperature_sensitivity(gaussian(make_tree, num_samples=100, difference=one, again=other))
    assert abs(found.value - exact) < 4 * found.error < 1.5 * exact
    wrong = temperature_sensitivity(gaussian(make_tree, difference=one))
    assert abs(wrong.value - exact) > 10 * wrong.error
    with pytest.raises(og.InvalidArgument, match="one minibatch of 8 of 100 samples"):
        temperature_sensitivity(gaussian(make_tree, num_samples=100, difference=one))


def test_minibatch_noise_enters_the_covariance_with_the_distance_only_as_error(make_tree: Maker) -> None:
    noisy = loss(weights()) + np.random.default_rng(1).normal(0, 0.04, (4, 20_000))
    found = localization_sensitivity(gaussian(make_tree, num_samples=100, difference=noisy))
    assert abs(found.value - by_localization()) < 4 * found.error
    assert found.error < 0.1 * abs(by_localization())


def test_an_observable_of_all_samples_stands_for_the_loss(make_tree: Maker) -> None:
    """Sample i has loss (1 + cᵢ) L, the cᵢ of mean 0, and 3 at the center; the minibatches are noise."""
    share = 1 + np.linspace(-1, 1, 8)
    samples = loss(weights())[..., None] * share + 3
    noise = np.random.default_rng(1).normal(0, 1, (4, 20_000))
    draws = gaussian(make_tree, noise, batch_size=2, observables={"all": (samples, np.full(8, 3.0))})
    found = temperature_sensitivity(draws, "all")
    assert found.value == pytest.approx(temperature_sensitivity(gaussian(make_tree)).value, rel=1e-6)
    with pytest.raises(og.InvalidArgument, match="the draws contain all"):
        temperature_sensitivity(draws, "none")


def test_a_part_of_the_samples_is_a_second_minibatch(make_tree: Maker) -> None:
    part = (loss(weights())[..., None] * np.array([0.9, 1.1]), np.zeros(2))
    noisy = loss(weights()) + np.random.default_rng(1).normal(0, 0.04, (4, 20_000))
    draws = gaussian(make_tree, num_samples=100, difference=noisy, observables={"part": part})
    found = temperature_sensitivity(draws, "part")
    assert abs(found.value - by_temperature()) < 4 * found.error < by_temperature()


def test_chains_that_disagree_about_the_distance_alone(make_tree: Maker) -> None:
    """In two of four, far from the center is where the loss is low, and in the others where it is high."""
    excess = loss(weights()) - loss(weights()).mean()
    excess[2:] *= -1
    draws = gaussian(make_tree, distance=(1 + excess) ** 0.5)
    assert og.llc(draws).outcome is og.Outcome.CONVERGED
    assert localization_sensitivity(draws).outcome is og.Outcome.NOT_CONVERGED
    assert temperature_sensitivity(draws).outcome is og.Outcome.CONVERGED


def test_chains_that_failed_are_left_out(make_tree: Maker) -> None:
    w = weights()
    difference = loss(w)
    difference[1, 100:] = np.nan
    failed_at = np.array([np.nan, 100.0, np.nan, np.nan])
    found = temperature_sensitivity(gaussian(make_tree, difference=difference, failed_at=failed_at))
    assert found.outcome is og.Outcome.DIVERGED
    assert abs(found.value - by_temperature()) < 4 * found.error
    nothing = temperature_sensitivity(gaussian(make_tree, failed_at=np.zeros(4)))
    assert np.isnan([nothing.value, nothing.error]).all()
    assert nothing.outcome is og.Outcome.DIVERGED
