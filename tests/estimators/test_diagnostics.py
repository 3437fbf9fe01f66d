"""What an error counts besides the spread of draws, each part from made-up draws that call for it."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.core.draws import SamplingSettings, as_tree
from ontogeny.estimators.diagnostics import Diagnostics, diagnose

SIZE, VALUE = 40, 10.0
SETTINGS = SamplingSettings(
    **{"nbeta": 32.0, "localization": 1.0, "kernel": "SGHMC", "step_size": 0.5, "num_chains": 4, "num_draws": 400},
    **{"num_warmup": 200, "thinning": 1, "batch_size": 100, "seed": 0, "num_samples": 100, "restriction": "all"},
    **{"num_parameters": SIZE, "gradient_evaluations": 0, "descent": 0.0},
)


def draws_of(
    virial: float = 1.0,
    loss_virial: float = 2 * VALUE,
    added: float = 0.0,
    drift: float = 0.0,
    slope: float = 0.0,
    **settings: Any,
) -> xr.DataTree:
    """Independent draws of mean value 10 over what steps add, by default of a quadratic that has mixed.

    Args:
        virial: (w - ŵ)·∇U/P; loss_virial: (w - ŵ)·nβ∇L.
        added: to the value by steps and minibatches.
        drift: of the value in an e-fold of time.
        slope: standard deviation of γ (ŵ - w*)·(w - ŵ), which the slope at ŵ takes from the value; its mean is 1.
    """
    noise = np.random.default_rng(0).normal(size=(4, 600))
    noise -= noise.mean()
    time = np.log(np.arange(600) + 1.0)
    tilt = slope * np.random.default_rng(1).normal(size=(4, 600)) + (slope > 0)
    energy = VALUE + added + noise + drift * (time - time[200:].mean()) - tilt
    arrays = {
        "posterior/loss_difference": energy[:, 200:] / SETTINGS.nbeta,
        "warmup_posterior/loss_difference": energy[:, :200] / SETTINGS.nbeta,
    }
    parts = {"virial": virial, "pull": virial * SIZE - loss_virial, "inflation": added, "excess": 0.0}
    arrays |= {f"sample_stats/{name}": np.full((4, 400), value) for name, value in parts.items()}
    arrays["sample_stats/shift"] = tilt[:, 200:]
    arrays["sample_stats/failed_at"] = np.full(4, np.nan)
    dims = ("chain", "draw")
    layout = {name: (name.split("/")[0], dims[: array.ndim], array.shape) for name, array in arrays.items()}
    attributes = {"settings": dataclasses.replace(SETTINGS, **settings).to_json()}
    return as_tree(layout, arrays, attributes)


def besides(found: Diagnostics) -> float:
    """What the error holds besides that of the draws."""
    return math.sqrt(max(found.mcse**2 - found.monte_carlo_error**2, 0.0))


def test_draws_with_nothing_against_them_have_their_own_error_alone() -> None:
    found = diagnose(draws_of())
    assert found.value == pytest.approx(VALUE, abs=0.02)
    assert found.degree == pytest.approx(2, rel=0.01)
    assert besides(found) < 0.1 * found.monte_carlo_error
    assert og.llc(draws_of()).outcome is og.Outcome.CONVERGED


@pytest.mark.parametrize("added", [0.5, 2.0])
def test_what_is_taken_off_is_doubted_by_a_quarter(added: float) -> None:
    found = diagnose(draws_of(added=added))
    assert found.value == pytest.approx(VALUE, abs=0.02)
    assert besides(found) == pytest.approx(added / 4, rel=0.01)


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_noise_that_few_draws_measured_counts_with_its_error(spread: float) -> None:
    draws = draws_of(added=1.0)
    times = np.arange(400) % 80 == 0
    held = spread * np.random.default_rng(2).normal(size=(4, 400)) / SIZE * 2
    stats = {"heat": np.full((4, 400), 0.1), "heat_held": held, "heat_along": np.zeros((4, 400))}
    columns = {name: xr.Variable(("chain", "draw"), np.where(times, values, np.nan)) for name, values in stats.items()}
    draws["sample_stats"] = draws["sample_stats"].assign(columns)
    measured = held[:, times] * SIZE / 2
    taken = 1.0 - max(float(measured.mean()), 0.0)
    error = math.hypot(0.25 * taken, float(measured.std()) / math.sqrt(measured.size))
    assert besides(diagnose(draws)) == pytest.approx(error)


def test_finite_steps_count_as_the_settings_say() -> None:
    assert besides(diagnose(draws_of(step_error=0.02))) == pytest.approx(0.02 * VALUE, rel=0.01)


@pytest.mark.parametrize("degree", [4.0, 8.0])
def test_directions_that_have_not_mixed_count_where_the_loss_is_no_quadratic(degree: float) -> None:
    """A twentieth of the value for each degree pair above 2, times the share of directions."""
    found = diagnose(draws_of(virial=0.7, loss_virial=degree * VALUE))
    assert found.degree == pytest.approx(degree, rel=0.01)
    assert besides(found) == pytest.approx(0.05 * 0.3 * (degree / 2 - 1) * VALUE, rel=0.02)
    assert besides(diagnose(draws_of(virial=0.7))) < 0.1 * found.monte_carlo_error
    assert besides(diagnose(draws_of(virial=1.02, loss_virial=degree * VALUE))) < 0.1 * found.monte_carlo_error


def test_a_drift_beyond_twice_its_error_counts() -> None:
    found = diagnose(draws_of(drift=2.0))
    assert found.drift == pytest.approx(2.0 / VALUE, abs=0.03)
    assert besides(found) == pytest.approx(abs(found.drift) * VALUE - 2 * found.drift_error * VALUE, rel=0.01)
    assert besides(found) > 0.2


def test_descent_is_what_complexity_has_more() -> None:
    found = diagnose(draws_of(descent=3.0, descent_error=0.4))
    assert (found.descent, found.descent_mcse) == (3.0, 0.4)
    assert found.complexity == found.value + 3.0
    assert found.complexity_mcse == pytest.approx(math.hypot(found.mcse, 0.4))


def test_the_slope_at_the_minimum_moves_value_and_descent_and_not_the_complexity() -> None:
    found, level = diagnose(draws_of(slope=20.0, descent=3.0)), diagnose(draws_of(descent=3.0))
    assert found.complexity == pytest.approx(level.complexity, rel=1e-6)
    assert found.complexity_mcse == pytest.approx(level.complexity_mcse, rel=0.01)
    assert found.mcse > 10 * found.complexity_mcse
    assert found.descent_mcse > 10 * found.complexity_mcse
    assert found.value == pytest.approx(found.complexity - found.descent)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"descent": 12.0}, og.Outcome.NOT_A_MINIMUM),  # more than half of a complexity of 22
        ({"descent": 9.0}, og.Outcome.CONVERGED),
        ({"descent": 12.0, "descent_error": 1.0}, og.Outcome.CONVERGED),  # within twice its error of half
        ({"descent": 3.0, "descent_error": 2.0}, og.Outcome.TOO_FEW_DRAWS),  # an error above a tenth
        ({"added": 6.0}, og.Outcome.STEP_TOO_LARGE),
        ({"virial": 1.1}, og.Outcome.STEP_TOO_LARGE),
        ({"drift": 1.0}, og.Outcome.NOT_CONVERGED),
    ],
)
def test_verdicts(changes: dict[str, float], outcome: og.Outcome) -> None:
    assert og.llc(draws_of(**changes)).outcome is outcome


def test_what_localization_takes_stands_beside_the_value() -> None:
    """It is no verdict: -∂ln λ̂/∂ln γ = E[V]/2λ̂ where losses and gradients do not covary."""
    found = og.llc(draws_of(virial=1.0, loss_virial=0.5 * VALUE))
    assert found.withheld == pytest.approx(0.25, rel=0.01)
    assert found.outcome is og.Outcome.CONVERGED
    assert "γ takes 25% or more" in str(found)
    assert "γ takes" not in str(og.llc(draws_of(virial=1.0, loss_virial=0.04 * VALUE)))


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_spectrum_that_gives_the_value_is_believed(share: float) -> None:
    """If it is complete, else where it says more than the draws, whose 0.25 is noisy where they are few."""
    known = {"loss_virial": 0.5 * VALUE, "withheld": share}
    near, far = (diagnose(draws_of(quadratic=value, complete=True, **known)) for value in (9.0, 5.0))
    assert (near.withheld, near.withheld_mcse) == (share, 0.0)
    assert far.withheld == pytest.approx(0.25, rel=0.01)
    assert diagnose(draws_of(quadratic=9.0, **known)).withheld == pytest.approx(max(share, 0.25), rel=0.01)


def test_equipartition_is_exceeded_only_by_more_than_its_error() -> None:
    draws = draws_of(virial=1.12)
    assert og.llc(draws).outcome is og.Outcome.STEP_TOO_LARGE
    noise = np.random.default_rng(2).normal(size=(4, 400))
    draws["sample_stats/virial"] = draws["sample_stats/virial"] + 4 * (noise - noise.mean())
    found = diagnose(draws)
    assert found.equipartition == pytest.approx(1.12)
    assert found.equipartition_error == pytest.approx(0.1, rel=0.2)
    assert not found.heated


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        ({"added": 6.0}, og.Outcome.STEP_TOO_LARGE),
        ({"drift": 1.0}, og.Outcome.NOT_CONVERGED),
        ({"descent_error": 1.5}, og.Outcome.TOO_FEW_DRAWS),
    ],
    ids=["noise", "drift", "descent"],
)
def test_below_the_resolution_biases_are_shares_of_it(trouble: dict[str, float], outcome: og.Outcome) -> None:
    """What is too much for a value of 10 is little beside one of 40."""
    alone, beside = (og.llc(draws_of(**trouble, resolution=resolution)) for resolution in (0.0, 40.0))
    assert alone.outcome is outcome
    assert beside.outcome is og.Outcome.CONVERGED
    assert beside.value == alone.value
    assert beside.complexity_mcse == alone.complexity_mcse  # the error stays that of the value
