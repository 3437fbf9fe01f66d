"""Away from a minimum the value is complexity less descent, each with its closed form for a quadratic loss."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

import ontogeny as og
from ontogeny.core.seeds import generator
from ontogeny.sampling.curvature import Curvature
from ontogeny.sampling.descent import descend
from ontogeny.testing import Point
from ontogeny.testing.cases import CASES

NUM_SAMPLES = 16  # all of them in every gradient, so that only the chains' own noise is left
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Slope:
    """K(w) = Σᵢ ½ hᵢ wᵢ² + gᵢ wᵢ, at w* = 0, where its gradient is g."""

    curvatures: np.ndarray
    gradients: np.ndarray

    def loss(self, model: Point, batch: Tensor) -> Tensor:
        h, g = torch.tensor(self.curvatures).float(), torch.tensor(self.gradients).float()
        return (0.5 * h * model.w**2 + g * model.w).sum().expand(batch.shape[0])

    def posterior(self, nbeta: float, localization: float) -> og.LocalPosterior:
        data = torch.zeros(NUM_SAMPLES)
        return og.LocalPosterior(Point(len(self.curvatures)), data, self.loss, nbeta, localization)

    def complexity(self, nbeta: float, localization: float) -> float:
        held = nbeta * self.curvatures
        return float((0.5 * held / (held + localization)).sum())

    def descent(self, nbeta: float, localization: float) -> float:
        held = nbeta * self.curvatures
        each = self.gradients**2 * (held + 2 * localization) / (held + localization) ** 2
        return float(0.5 * nbeta**2 * each.sum())

    def withheld(self, nbeta: float, localization: float) -> float:
        """-∂ln C/∂ln γ of the complexity C."""
        held = nbeta * self.curvatures
        slope = (0.5 * held * localization / (held + localization) ** 2).sum()
        return float(slope / self.complexity(nbeta, localization))


def make_slope(condition: float, scale: float, steepness: float, seed: int) -> Slope:
    """400 curvatures from `scale` to `condition` times that, and gradients that give a descent of order `steepness`."""
    random = np.random.default_rng(seed)
    h = scale * condition ** np.concatenate([[0, 1], random.uniform(size=398)])
    return Slope(h, steepness * np.sqrt(h / 800.0) * random.normal(size=400))


# Arguments of `make_slope`, which the tests call: run-time type checks draw random numbers, and a strategy must not.
SLOPES = st.fixed_dictionaries(
    {
        "condition": st.floats(1, 1000),
        "scale": st.floats(0.01, 1),
        "steepness": st.floats(0.1, 2),
        "seed": st.integers(0, 2**20),
    }
)


@settings(max_examples=2, phases=[Phase.generate])  # shrinking would take minutes
@given(SLOPES, st.sampled_from([10.0, 100.0]), st.sampled_from([0.5, 5.0]))
def test_complexity_and_descent_have_their_closed_forms(
    drawn: dict[str, Any], nbeta: float, localization: float
) -> None:
    target = make_slope(**drawn)
    found = og.llc(og.Calibrated(num_chains=8, error=0.04).draw(target.posterior(nbeta, localization)))
    complexity, descent = target.complexity(nbeta, localization), target.descent(nbeta, localization)
    assert found.complexity_mcse < 0.02 * complexity
    assert abs(found.complexity - complexity) < 4 * found.complexity_mcse
    assert abs(found.descent - descent) < 4 * found.descent_mcse + ROUNDING * descent
    assert found.descent_mcse < 0.02 * complexity
    assert found.value == pytest.approx(found.complexity - found.descent, abs=1e-9 * complexity)


@pytest.mark.slow
def test_a_slope_that_descends_further_than_the_complexity_is_no_minimum() -> None:
    target = make_slope(condition=10.0, scale=1.0, steepness=3.0, seed=0)
    found = og.llc(og.Calibrated(budget=300_000).draw(target.posterior(100.0, 1.0)))
    assert target.descent(100.0, 1.0) > target.complexity(100.0, 1.0)
    assert found.outcome is og.Outcome.NOT_A_MINIMUM
    assert "less descent" in str(found)


def test_a_gradient_at_the_center_is_not_part_of_the_complexity() -> None:
    """Negative control: the value alone misses the complexity by far."""
    target = make_slope(condition=10.0, scale=1.0, steepness=1.0, seed=0)
    found = og.llc(og.Calibrated(budget=300_000).draw(target.posterior(100.0, 1.0)))
    assert abs(found.value - target.complexity(100.0, 1.0)) > 10 * found.mcse
    assert abs(found.complexity - target.complexity(100.0, 1.0)) < 4 * found.complexity_mcse


@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(og.Calibrated(budget=400_000, num_chains=8), id="calibrated", marks=pytest.mark.slow),
        pytest.param(
            og.Fixed(kernel=og.SGHMC(0.06, friction=0.2), num_chains=8, num_draws=600, num_warmup=200), id="fixed"
        ),
    ],
)
def test_what_localization_takes_is_the_derivative_of_the_complexity(sampler: og.sampling.Sampler) -> None:
    """Neither takes the spectrum, under a budget and of itself, so that the draws alone say it."""
    target = make_slope(condition=100.0, scale=0.02, steepness=3.0, seed=1)
    found = og.llc(sampler.draw(target.posterior(100.0, 10.0)))
    assert found.settings is not None
    assert found.settings.quadratic is None
    exact = target.withheld(100.0, 10.0)
    assert exact > 0.2
    assert abs(found.withheld - exact) < 4 * found.withheld_mcse
    assert found.withheld_mcse < 0.15 * exact
    assert abs(found.descent - target.descent(100.0, 10.0)) < 4 * found.descent_mcse + ROUNDING * found.descent


@pytest.mark.slow
def test_the_spectrum_says_what_a_thousandth_of_the_localization_would_leave() -> None:
    target = make_slope(condition=100.0, scale=0.02, steepness=1.0, seed=1)
    found = og.llc(og.Calibrated(num_chains=8, error=0.05).draw(target.posterior(100.0, 10.0)))
    exact = 1 - target.complexity(100.0, 10.0) / target.complexity(100.0, 0.01)
    assert found.withheld == pytest.approx(exact, abs=1e-3)
    assert found.withheld_mcse == 0
    assert f"γ takes {exact:.0%} or more" in str(found)


def test_descent_that_follows_the_noise_of_a_batch_is_made_again_on_all_samples() -> None:
    """Labels of much noise: on 64 samples the corrected loss falls without end along flat directions."""
    model, data, loss = next(case for case in CASES if case.name == "linear-10x5x10-generic-n1e4-noise1").build()
    posterior = og.LocalPosterior(model, data, loss)
    posterior.center_gradient()
    scale = Curvature(posterior, generator(0, "curvature"), 256).diagonal(probes=8).rsqrt()
    exact = descend(posterior.at(batch_size=posterior.samples.stored), scale, seed=0)
    few = posterior.at(batch_size=64)
    found, unknown = descend(few, scale, seed=0, whole=16), descend(few, scale, seed=0)
    assert found.value == pytest.approx(exact.value, abs=0.05)
    assert found.error < 0.05
    torch.testing.assert_close(found.position, exact.position, atol=0.01, rtol=0)
    assert torch.equal(unknown.position, posterior.center)  # all that is known is the slope there
    assert unknown.residual is not None
    for slope in unknown.residual:
        torch.testing.assert_close(slope, posterior.center_gradient(), rtol=1e-3, atol=1e-2)


def test_what_a_descent_on_few_samples_misses_is_measured_on_others() -> None:
    """Without it, noise of 100 samples' labels leaves a descent of 0 with an error of the size of the complexity."""
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(8_000, 1000, generator=random) * (30.0 / torch.arange(1.0, 1001) ** 1.3).sqrt()
    truth, off = torch.randn(2, 1000, generator=random) / 1000**0.5
    targets = inputs @ truth + torch.randn(8_000, generator=random)
    model = torch.nn.Linear(1000, 1, bias=False)
    model.weight.data.copy_(truth + off)
    curvatures, directions = np.linalg.eigh((inputs.T @ inputs / 8_000).double().numpy())
    gradient = (inputs.T @ (inputs @ (truth + off) - targets) / 8_000).double().numpy() @ directions
    exact = Slope(curvatures, gradient)
    found = og.estimate_llc(
        model,
        (inputs, targets),
        lambda model, batch: 0.5 * (model(batch[0])[:, 0] - batch[1]) ** 2,
        nbeta=100.0,
        localization=300.0,
        sampler=og.Calibrated(error=0.05, budget=25_000),
    )
    complexity, descent = exact.complexity(100.0, 300.0), exact.descent(100.0, 300.0)
    assert found.complexity_mcse < 0.2 * complexity
    assert abs(found.complexity - complexity) < 4 * found.complexity_mcse
    assert abs(found.descent - descent) < 4 * found.descent_mcse
