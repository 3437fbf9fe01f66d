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


def linear_network(noise: float = 0.1, num_samples: int = 2000) -> tuple[nn.Module, Data]:
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


def test_a_gaussian_of_wide_spectrum_is_right_without_a_setting() -> None:
    curvatures = tuple(np.geomspace(1e-2, 1e3, 40).tolist())
    target = Gaussian(curvatures)
    estimate = og.estimate_llc(target.model(), torch.zeros(1000), target.loss)
    exact = target.llc(1000 / np.log(1000), 1.0)
    assert estimate.outcome is og.Outcome.CONVERGED
    assert estimate.mcse < 0.025 * exact
    assert abs(estimate.value - exact) < 4 * estimate.mcse


def test_it_is_the_same_for_a_seed_and_another_for_another() -> None:
    model, data = linear_network()
    posterior = og.LocalPosterior(model, data, mse, batch_size=64)
    first, again, other = (og.calibrate(posterior, seed) for seed in (0, 0, 1))
    assert first.kernel.step_size == again.kernel.step_size != other.kernel.step_size
    assert torch.equal(first.positions, again.positions)
    xr.testing.assert_identical(first.evidence, again.evidence)


def test_temperature_and_localisation_are_the_callers() -> None:
    model, data = linear_network()
    estimate = og.estimate_llc(model, data, mse, nbeta=50.0, localization=7.0, budget=300_000)
    assert estimate.settings is not None
    assert (estimate.settings.nbeta, estimate.settings.localization) == (50.0, 7.0)


def test_more_noise_in_the_labels_asks_for_larger_batches() -> None:
    sizes = []
    for noise in (0.0, 1.0):
        model, data = linear_network(noise, num_samples=20_000)
        sizes.append(og.calibrate(og.LocalPosterior(model, data, mse, batch_size=512)).batch_size)
    assert sizes[0] * 4 <= sizes[1]


def test_a_batch_that_is_given_is_kept_and_steps_make_up_for_it() -> None:
    model, data = linear_network(1.0, num_samples=20_000)
    posterior = og.LocalPosterior(model, data, mse, batch_size=128)
    free, fixed = og.calibrate(posterior), og.calibrate(posterior, fixed_batch=True)
    assert fixed.batch_size == 128 < free.batch_size
    assert fixed.kernel.step_size < free.kernel.step_size
    assert fixed.kernel.friction >= free.kernel.friction


def test_a_budget_is_kept() -> None:
    model, data = linear_network()
    unbounded = og.estimate_llc(model, data, mse)
    assert unbounded.settings is not None
    budget = unbounded.settings.gradient_evaluations // 2
    bounded = og.estimate_llc(model, data, mse, budget=budget)
    assert bounded.settings is not None
    assert bounded.settings.gradient_evaluations <= budget
    assert bounded.mcse > unbounded.mcse


def test_an_untrained_center_is_said_to_be_no_minimum() -> None:
    model, data = classification()
    estimate = og.estimate_llc(model, data, cross_entropy)
    assert estimate.outcome is og.Outcome.NOT_A_MINIMUM
    assert estimate.settings is not None
    assert estimate.settings.decrease is not None
    assert estimate.settings.decrease > 10


def test_a_step_away_from_a_minimum_is_said_to_be_none() -> None:
    model, data = linear_network(num_samples=1000)
    good = og.estimate_llc(model, data, mse, budget=8_000_000)
    assert good.outcome is not og.Outcome.NOT_A_MINIMUM
    (mse(model, data).mean() * 3.0).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.sign(parameter)  # one step far too large
    bad = og.estimate_llc(model, data, mse, budget=8_000_000)
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
