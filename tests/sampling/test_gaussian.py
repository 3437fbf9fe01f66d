"""On a Gaussian posterior SGLD has an exact answer at every temperature, localization and step."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import ontogeny as og
from ontogeny.core.draws import settings_of
from ontogeny.testing import Gaussian

NUM_CHAINS = 128


@dataclasses.dataclass(frozen=True)
class Case:
    """A Gaussian posterior, and an SGLD step for it."""

    target: Gaussian
    nbeta: float
    localization: float
    step_size: float

    @property
    def exact(self) -> float:
        return self.target.llc(self.nbeta, self.localization)

    @property
    def inflated(self) -> float:
        """What SGLD at this step converges to, before its bias is taken off."""
        return self.target.llc(self.nbeta, self.localization, self.step_size)

    def draws(self, seed: int = 0, heat: float = 1.0) -> xr.DataTree:
        """Draws that say they were made at `nbeta`, from a sampler that runs at `heat` times that."""
        target = self.target
        posterior = og.LocalPosterior(target.model(), torch.zeros(4), target.loss, self.nbeta * heat, self.localization)
        relaxation = 1 / (self.step_size * (self.nbeta * min(target.curvatures) + self.localization))  # of the slowest
        thinning = math.ceil(relaxation / 8)
        lengths = {"num_chains": NUM_CHAINS, "num_warmup": 48, "num_draws": 32, "thinning": thinning}
        draws = og.sample(posterior, og.SGLD(self.step_size), seed=seed, **lengths)
        draws.attrs["settings"] = dataclasses.replace(settings_of(draws), nbeta=self.nbeta).to_json()
        return draws


def make_case(condition: float, size: int, scale: float, hold: float, speed: float, seed: int) -> Case:
    """A spectrum of `condition`, γ = `hold` · nβ · h_min and εc_max = `speed`."""
    inside = np.random.default_rng(seed).uniform(size=size - 2)
    h = scale * condition ** np.concatenate([[0, 1], inside])
    nbeta = 200.0
    localization = hold * nbeta * scale
    return Case(Gaussian(tuple(h)), nbeta, localization, speed / float(nbeta * h.max() + localization))


# Arguments of `make_case`, which the tests call: run-time type checks draw random numbers, and a strategy must not.
CASES = st.fixed_dictionaries(
    {
        "condition": st.floats(1, 100),
        "size": st.integers(64, 128),
        "scale": st.floats(0.01, 10),
        "hold": st.floats(0.001, 0.1),
        "speed": st.floats(0.3, 0.5),
        "seed": st.integers(0, 2**20),
    }
)
TYPICAL = make_case(condition=10, size=64, scale=1.0, hold=0.1, speed=0.4, seed=0)


def error_in_mcse(case: Case, draws: xr.DataTree) -> float:
    """(estimate - truth) / MCSE, the MCSE being below one per cent."""
    estimate = og.llc(draws)
    assert estimate.diagnostics is not None
    error = estimate.diagnostics.monte_carlo_error
    assert error < 0.01 * estimate.value
    return (estimate.value - case.exact) / error


@pytest.mark.slow
@settings(max_examples=3)
@given(CASES)
def test_sgld_agrees_with_the_exact_value(spectrum: dict[str, Any]) -> None:
    case = make_case(**spectrum)
    assert abs(error_in_mcse(case, case.draws())) < 4


@pytest.mark.slow
@settings(max_examples=15)
@given(CASES)
def test_sgld_agrees_with_the_exact_value_on_many_spectra(spectrum: dict[str, Any]) -> None:
    case = make_case(**spectrum)
    assert abs(error_in_mcse(case, case.draws())) < 4


@pytest.mark.parametrize("heat", [0.8, 1.2])
def test_a_sampler_at_another_temperature_does_not_agree(heat: float) -> None:
    assert abs(error_in_mcse(TYPICAL, TYPICAL.draws(heat=heat))) > 4


def test_what_the_step_adds_is_taken_off() -> None:
    """Negative control of the correction: without it the posterior's own value is missed by far."""
    estimate = og.llc(TYPICAL.draws())
    assert estimate.diagnostics is not None
    assert estimate.draws is not None
    raw = TYPICAL.nbeta * float(estimate.draws["posterior"]["loss_difference"].mean())
    error = estimate.diagnostics.monte_carlo_error
    assert abs(raw - TYPICAL.inflated) < 4 * error
    assert abs(raw - TYPICAL.exact) > 4 * error


def test_the_bias_is_that_of_theory_and_shrinks_with_the_step() -> None:
    """64 directions of one curvature are 64 times the quadratic in one dimension: 1/(1 - εc/4) of it."""
    for speed in (0.2, 1.0, 2.0):
        case = make_case(condition=1.0, size=64, scale=1.0, hold=0.1, speed=speed, seed=0)
        assert case.inflated == pytest.approx(32 / 1.1 / (1 - speed / 4))
        draws = case.draws()
        assert abs(error_in_mcse(case, draws)) < 4
        found = og.llc(draws).diagnostics
        assert found is not None
        assert found.inflation == pytest.approx(speed / 4, rel=0.05)


@pytest.mark.slow
def test_the_monte_carlo_error_is_neither_too_small_nor_too_large() -> None:
    errors = [error_in_mcse(TYPICAL, TYPICAL.draws(seed)) for seed in range(30)]
    assert 0.7 < math.sqrt(np.mean(np.square(errors))) < 1.3
    assert abs(np.mean(errors)) < 4 / math.sqrt(30)
