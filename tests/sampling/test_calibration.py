"""The default call sets itself: right on known truths, repeatable, within its budget, honest at a bad center."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import ontogeny as og
from ontogeny.core.losses import cross_entropy, mse
from ontogeny.testing import Gaussian
from ontogeny.testing.linear_networks import DeepLinear

Data = tuple[torch.Tensor, torch.Tensor]


def linear_network(noise: float = 0.1, num_samples: int = 600) -> tuple[nn.Module, Data]:
    target = DeepLinear((5, 6, 5), None, num_samples, noise)
    inputs, targets = target.data()
    return target.model(), (inputs, targets)


def classification() -> tuple[nn.Module, Data]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(400, 6, generator=generator)
    labels = (inputs[:, :2].sum(1) + 0.5 * torch.randn(400, generator=generator) > 0).long()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 2)), (inputs, labels)


def off(estimate: og.Estimate, exact: float) -> float:
    return abs(estimate.value / exact - 1)


@pytest.fixture(scope="module")
def posterior() -> og.LocalPosterior:
    model, data = linear_network()
    return og.LocalPosterior(model, data, mse, batch_size=64)


@pytest.fixture(scope="module")
def calibration(posterior: og.LocalPosterior) -> og.sampling.Calibration:
    return og.calibrate(posterior)


@pytest.fixture(scope="module")
def estimate(posterior: og.LocalPosterior, calibration: og.sampling.Calibration) -> og.Estimate:
    return og.llc(og.sampling.sample_until(posterior, calibration, error=0.03))


@pytest.mark.slow
def test_a_gaussian_of_wide_spectrum_is_right_without_a_setting() -> None:
    curvatures = tuple(np.geomspace(1e-2, 1e3, 40).tolist())
    target = Gaussian(curvatures)
    estimate = og.estimate_llc(target.model(), torch.zeros(1000), target.loss)
    exact = target.llc(1000 / np.log(1000), 1.0)
    assert estimate.outcome is og.Outcome.CONVERGED
    assert estimate.mcse < 0.025 * exact
    assert abs(estimate.value - exact) < 4 * estimate.mcse


def test_it_is_the_same_for_a_seed_and_another_for_another(
    posterior: og.LocalPosterior, calibration: og.sampling.Calibration
) -> None:
    again, other = (og.calibrate(posterior, seed) for seed in (0, 1))
    assert calibration.kernel.step_size == again.kernel.step_size != other.kernel.step_size
    assert torch.equal(calibration.positions, again.positions)
    xr.testing.assert_identical(calibration.trace, again.trace)


@pytest.mark.slow
def test_a_mass_handed_on_saves_gradients_and_gives_the_same(
    posterior: og.LocalPosterior, calibration: og.sampling.Calibration, estimate: og.Estimate
) -> None:
    next_one = og.calibrate(posterior, 1, start=calibration.mass)
    assert next_one.gradient_evaluations < 0.8 * calibration.gradient_evaluations
    found = og.llc(og.sampling.sample_until(posterior, next_one, error=0.03, seed=1))
    assert found.outcome is og.Outcome.CONVERGED
    assert found.mcse < 0.04 * found.value
    assert abs(found.value - estimate.value) < 4 * (found - estimate).mcse


@pytest.mark.slow
def test_a_mass_is_handed_on_to_a_part(posterior: og.LocalPosterior, calibration: og.sampling.Calibration) -> None:
    part = posterior.restricted("0.weight")
    alone, sliced = og.calibrate(part), og.calibrate(part, 1, start=calibration.mass)
    assert sliced.gradient_evaluations < 0.8 * alone.gradient_evaluations
    one, other = (
        og.llc(og.sampling.sample_until(part, each, error=0.05, seed=s)) for s, each in enumerate((alone, sliced))
    )
    assert abs(one.value - other.value) < 4 * (one - other).mcse
    assert (one - other).mcse < 0.12 * one.value


def test_a_mass_of_a_part_does_not_serve_the_whole(posterior: og.LocalPosterior) -> None:
    part = og.calibrate(posterior.restricted("0.weight"), budget=20_000)
    with pytest.raises(og.InvalidArgument, match=r"does not cover '1\.weight'"):
        og.calibrate(posterior, start=part.mass)


@pytest.mark.slow
def test_temperature_and_localisation_are_the_callers_and_the_call_is_its_two_halves() -> None:
    model, data = linear_network()
    settings = {"nbeta": 50.0, "localization": 7.0}
    whole = og.estimate_llc(model, data, mse, **settings, budget=100_000)
    posterior = og.LocalPosterior(model, data, mse, **settings)
    calibration = og.calibrate(posterior, budget=100_000)
    halves = og.llc(og.sampling.sample_until(posterior, calibration, budget=100_000))
    assert halves.settings is not None
    assert (halves.settings.nbeta, halves.settings.localization) == (50.0, 7.0)
    assert (whole.value, whole.mcse, whole.descent) == (halves.value, halves.mcse, halves.descent)


@pytest.fixture(scope="module")
def noisy() -> og.LocalPosterior:
    model, data = linear_network(1.0, num_samples=20_000)
    return og.LocalPosterior(model, data, mse, batch_size=128)


@pytest.fixture(scope="module")
def of_noisy(noisy: og.LocalPosterior) -> og.sampling.Calibration:
    return og.calibrate(noisy)


@pytest.mark.slow
def test_more_noise_in_the_labels_asks_for_larger_batches(of_noisy: og.sampling.Calibration) -> None:
    model, data = linear_network(0.0, num_samples=20_000)
    quiet = og.calibrate(og.LocalPosterior(model, data, mse, batch_size=512))
    assert quiet.batch_size * 4 <= of_noisy.batch_size


def test_noise_does_not_lead_the_descent_astray(of_noisy: og.sampling.Calibration) -> None:
    """Corrected to first order, a batch has a minimum thousands below w*, far along the rescalings of both layers."""
    assert 0 < of_noisy.descent.value < 5
    assert of_noisy.descent.error < 0.1


def test_a_batch_that_is_given_is_kept_and_steps_make_up_for_it(
    noisy: og.LocalPosterior, of_noisy: og.sampling.Calibration
) -> None:
    fixed = og.calibrate(noisy, fixed_batch=True)
    assert fixed.batch_size == 128 < of_noisy.batch_size
    assert fixed.kernel.step_size < of_noisy.kernel.step_size
    assert fixed.kernel.friction >= of_noisy.kernel.friction


def test_a_budget_is_kept() -> None:
    budget = 30_000
    model, data = linear_network()
    bounded = og.estimate_llc(model, data, mse, budget=budget)
    assert bounded.settings is not None
    assert bounded.settings.gradient_evaluations <= budget
    assert bounded.settings.gradient_evaluations > 0.3 * budget


@pytest.mark.slow
def test_an_untrained_center_is_said_to_be_no_minimum() -> None:
    model, data = classification()
    estimate = og.estimate_llc(model, data, cross_entropy, budget=400_000)
    assert estimate.outcome is og.Outcome.NOT_A_MINIMUM
    assert estimate.descent > 10


@pytest.mark.slow
def test_a_step_away_from_a_minimum_is_said_to_be_none(estimate: og.Estimate) -> None:
    assert estimate.outcome is og.Outcome.CONVERGED
    model, data = linear_network(num_samples=1000)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.sign(parameter)  # one step far too large
    bad = og.estimate_llc(model, data, mse, budget=400_000)
    assert bad.outcome is og.Outcome.NOT_A_MINIMUM


@pytest.mark.slow
@pytest.mark.parametrize("activation", [nn.Identity, nn.ReLU])
def test_a_rescaled_network_has_the_same_value(activation: type[nn.Module]) -> None:
    """The sampler is not told the factor; a γ far below every curvature leaves the posterior's value the same."""
    target = DeepLinear((6, 8, 6), None, 5000, 0.1)
    inputs, _ = target.data()
    values = []
    for factor in (0.3, 1.0, 3.0):
        first, last = target.model()
        with torch.no_grad():
            next(first.parameters()).mul_(factor)
            next(last.parameters()).div_(factor)
            model = nn.Sequential(first, activation(), last)
            data = inputs, model(inputs) + 0.1 * torch.randn(5000, 6, generator=torch.Generator().manual_seed(0))
        estimate = og.estimate_llc(model, data, mse, localization=1.0)
        assert estimate.outcome is og.Outcome.CONVERGED
        values.append(estimate.value)
    assert np.ptp(values) < 0.1 * np.mean(values)
    assert max(abs(value / values[1] - 1) for value in values) < 0.05


@pytest.mark.slow
def test_results_that_are_far_off_are_flagged() -> None:
    """Provoked by steps over six decades, too few draws, and no warm-up."""
    target = DeepLinear((7, 7, 7), 1, 10_000, 0.1)
    model, data = target.model(), target.data()
    exact = 19.66
    posterior = og.LocalPosterior(model, data, mse, batch_size=256)
    trusted, far = [], 0
    for step in 10.0 ** np.arange(-9, -2.9):
        for num_draws, num_warmup in ((300, 300), (50, 50), (400, 0)):
            draws = og.sample(posterior, og.SGLD(float(step)), num_draws=num_draws, num_warmup=num_warmup, seed=1)
            estimate = og.llc(draws)
            if not off(estimate, exact) < 0.2:
                far += 1
                trusted += [(step, num_draws)] if estimate.outcome is og.Outcome.CONVERGED else []
    assert far > 10
    assert trusted == []
