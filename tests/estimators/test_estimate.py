"""The learning coefficient from synthetic traces whose mean, error and verdict are known."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from hypothesis import given, settings
from hypothesis import strategies as st

import ontogeny as og
from ontogeny.core.draws import SamplingSettings, as_tree

SETTINGS = SamplingSettings(
    **{"nbeta": 32.0, "localization": 2.0, "kernel": "SGLD", "step_size": 1e-4, "num_chains": 4, "num_draws": 500},
    **{"num_warmup": 7, "thinning": 1, "batch_size": 16, "seed": 0, "num_samples": 100, "restriction": "all"},
    **{"num_parameters": 10, "gradient_evaluations": 32448},
)


def draws_of(
    llc_trace: np.ndarray,
    failed_at: list[float] | None = None,
    warmup: float = 0.0,
    nbeta: float = 32.0,
    **changes: Any,
) -> xr.DataTree:
    """Draws whose nβ (L(w) - L(w*)) is this trace `(chain, draw)`; `warmup` stands in the warm-up."""
    chains, draws = llc_trace.shape
    trace, failures = ("chain", "draw"), np.full(chains, np.nan) if failed_at is None else np.array(failed_at)
    arrays = {
        "posterior/loss_difference": (trace, llc_trace / nbeta),
        "sample_stats/failed_at": (("chain",), failures),
        "warmup_posterior/loss_difference": (trace, np.full((chains, 7), warmup)),
    }
    layout = {name: (name.split("/")[0], dims, array.shape) for name, (dims, array) in arrays.items()}
    settings = dataclasses.replace(SETTINGS, nbeta=nbeta, num_chains=chains, num_draws=draws, **changes)
    return as_tree(layout, {name: array for name, (_, array) in arrays.items()}, {"settings": settings.to_json()})


def assert_equal(one: og.Estimate, other: og.Estimate) -> None:
    """Equal in every compared attribute, where NaN is itself."""
    for field in dataclasses.fields(og.Estimate):
        if field.compare:
            first, second = getattr(one, field.name), getattr(other, field.name)
            assert first == second or (first != first and second != second), field.name


def autoregression(correlation: float, chains: int, draws: int, seed: int = 0) -> np.ndarray:
    """Chains of mean 0 and variance 1, at their stationary law from the first draw."""
    noise = np.random.default_rng(seed).normal(size=(draws, chains))
    rows = [noise[0]]
    for row in noise[1:]:
        rows.append(correlation * rows[-1] + math.sqrt(1 - correlation**2) * row)
    return np.stack(rows, axis=1)


def test_value_error_and_size_are_those_of_the_process() -> None:
    """The mean of N draws of an autoregression has variance (1 + ρ) / (1 - ρ) / N."""
    for correlation in (0.0, 0.5, 0.9):
        estimate = og.llc(draws_of(20 + 3 * autoregression(correlation, 4, 2000)))
        inflation = (1 + correlation) / (1 - correlation)
        assert estimate.mcse == pytest.approx(3 * math.sqrt(inflation / 8000), rel=0.2)
        assert estimate.ess == pytest.approx(8000 / inflation, rel=0.35)
        assert abs(estimate.value - 20) < 4 * estimate.mcse
        assert estimate.rhat == pytest.approx(1.0, abs=0.02)
        assert estimate.outcome is og.Outcome.CONVERGED


def swinging(seed: int, chains: int = 4, draws: int = 400) -> np.ndarray:
    """The energy of 93 damped oscillators in a heat bath, as underdamped kernels make it: a swing over a slow decay."""
    rng, turn = np.random.default_rng(seed), np.exp(-0.0125 + 0.157j)
    state, rows = rng.normal(size=(chains, 93, 2)) @ [1, 1j], []
    for _ in range(draws):
        rows.append(0.5 * (state.real**2).sum(axis=1))
        state = turn * state + math.sqrt(1 - abs(turn) ** 2) * (rng.normal(size=(chains, 93, 2)) @ [1, 1j])
    return np.stack(rows, axis=1)


@pytest.mark.slow
def test_swings_do_not_hide_the_memory_of_a_chain() -> None:
    """Sums over the autocorrelation end at its first trough: by them alone the error is a quarter too small."""
    traces = [swinging(seed) for seed in range(100)]
    spread = np.std([trace.mean() for trace in traces], ddof=1)
    by_draws = [array_stats.mcse(trace, chain_axis=0, draw_axis=1, method="mean") for trace in traces]
    found = [og.llc(draws_of(trace)).mcse for trace in traces]
    assert math.sqrt(np.mean(np.square(by_draws))) < 0.85 * spread
    assert math.sqrt(np.mean(np.square(found))) > 0.8 * spread  # the spread of 100 is known to 7 %
    assert np.mean(found) > 1.15 * np.mean(by_draws)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    estimates = [og.llc(draws_of(5 + autoregression(0.6, 4, 250, seed))) for seed in range(100)]
    inside = np.mean([low < 5 < high for low, high in (estimate.interval for estimate in estimates)])
    assert 0.89 < inside < 0.995


def test_warm_up_is_not_read() -> None:
    trace = 5 + autoregression(0.2, 4, 200)
    assert_equal(og.llc(draws_of(trace)), og.llc(draws_of(trace, warmup=1e6)))


@settings(max_examples=10)
@given(st.permutations(range(4)), st.sampled_from([1.0, 4.0, 1024.0]))
def test_neither_the_order_of_chains_nor_the_scale_of_the_loss_matters(order: list[int], nbeta: float) -> None:
    trace = 5 + autoregression(0.5, 4, 100)
    one, other = og.llc(draws_of(trace)), og.llc(draws_of(trace[order], nbeta=nbeta))
    for name in ("value", "mcse", "rhat", "ess"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6)


@pytest.mark.parametrize(
    ("trace", "outcome", "advice"),
    [
        (10 + autoregression(0.3, 4, 400), og.Outcome.CONVERGED, ""),
        (10 + autoregression(0.0, 4, 400) + np.arange(4)[:, None], og.Outcome.NOT_CONVERGED, "num_warmup"),
        (10 + autoregression(0.0, 4, 400) + np.linspace(0, 4, 400), og.Outcome.NOT_CONVERGED, "num_warmup"),
        (autoregression(0.3, 4, 400) - 10, og.Outcome.NOT_A_MINIMUM, "not a minimum"),
        (autoregression(0.3, 4, 400) - 10 + 9 * np.arange(4)[:, None] / 3, og.Outcome.NOT_A_MINIMUM, "not a minimum"),
        (np.full((4, 100), 3.0), og.Outcome.TOO_FEW_DRAWS, "num_draws"),
        (10 + autoregression(0.0, 4, 3), og.Outcome.TOO_FEW_DRAWS, "num_draws"),
        (10 + autoregression(0.0, 1, 400), og.Outcome.TOO_FEW_DRAWS, "num_chains"),
        (10 + autoregression(0.0, 4, 12, seed=0), og.Outcome.TOO_FEW_DRAWS, "num_draws"),
    ],
)
def test_verdicts(trace: np.ndarray, outcome: og.Outcome, advice: str) -> None:
    estimate = og.llc(draws_of(trace))
    assert estimate.outcome is outcome
    assert advice in estimate.advice
    assert bool(estimate.advice) == (outcome is not og.Outcome.CONVERGED)
    assert estimate.value == pytest.approx(trace.mean())


def test_a_value_within_its_error_of_zero_is_not_said_to_be_below_the_center() -> None:
    estimate = og.llc(draws_of(autoregression(0.0, 4, 400) - 0.01))
    assert estimate.interval[0] < 0 < estimate.interval[1]
    assert estimate.outcome is og.Outcome.CONVERGED


def test_chains_that_failed_are_left_out_and_named() -> None:
    trace = 10 + autoregression(0.3, 4, 400)
    trace[2, 150:] = np.nan
    estimate = og.llc(draws_of(trace, failed_at=[np.nan, np.nan, 157, np.nan]))
    healthy = og.llc(draws_of(trace[[0, 1, 3]]))
    assert estimate.outcome is og.Outcome.DIVERGED
    assert "chain 2 at step 157" in estimate.advice
    assert (estimate.value, estimate.mcse, estimate.rhat) == (healthy.value, healthy.mcse, healthy.rhat)


def test_no_chain_left_is_no_number() -> None:
    estimate = og.llc(draws_of(np.full((2, 50), np.nan), failed_at=[3, 4]))
    assert np.isnan([estimate.value, estimate.mcse, estimate.rhat, estimate.ess, *estimate.interval]).all()
    assert estimate.outcome is og.Outcome.DIVERGED


def test_a_difference_has_both_errors_and_the_worse_verdict() -> None:
    one, other = (
        og.llc(draws_of(10 + autoregression(0.0, 4, 400))),
        og.llc(draws_of(7 + autoregression(0.5, 4, 400, 1), seed=1)),
    )
    difference = one - other
    assert difference.value == one.value - other.value
    assert difference.mcse == math.hypot(one.mcse, other.mcse)
    assert (difference.rhat, difference.ess) == (max(one.rhat, other.rhat), min(one.ess, other.ess))
    assert difference.outcome is og.Outcome.CONVERGED
    gone = og.llc(draws_of(np.full((2, 50), np.nan), failed_at=[3, 4]))
    for worse in (one - gone, gone - one):
        assert worse.outcome is og.Outcome.DIVERGED
        assert worse.advice == gone.advice
        assert np.isnan([worse.value, worse.mcse, worse.rhat, worse.ess]).all()
    with pytest.raises(ValueError, match="save both estimates"):
        difference.save("nowhere")


def test_errors_of_one_seed_add_up() -> None:
    """The noise of the chains is shared, so that nothing is known of how errors cancel."""
    one, other = (
        og.llc(draws_of(value + autoregression(0.3, 4, 400), descent=1.0, descent_error=0.2)) for value in (9, 5)
    )
    difference = one - other
    assert difference.mcse == one.mcse + other.mcse
    assert difference.complexity_mcse == one.complexity_mcse + other.complexity_mcse
    assert difference.descent_mcse == pytest.approx(0.4)
    assert (difference.complexity, difference.descent) == (one.complexity - other.complexity, 0.0)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"nbeta": 16.0}, "nβ 32 and 16"),
        ({"localization": 1.0}, "γ 2 and 1"),
        ({"num_samples": 200}, "n 100 and 200"),
        ({"nbeta": 16.0, "num_samples": 50}, "nβ 32 and 16, n 100 and 50"),
    ],
)
def test_values_at_other_settings_are_not_subtracted(changes: dict[str, Any], found: str) -> None:
    trace = 10 + autoregression(0.3, 4, 400)
    with pytest.raises(og.InvalidArgument, match=found):
        og.llc(draws_of(trace)) - og.llc(draws_of(trace, **changes))
    same = og.llc(draws_of(trace)) - og.llc(draws_of(trace, kernel="SGHMC", step_size=0.5))
    assert same.value == 0


def test_an_estimate_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    trace = (10 + autoregression(0.3, 4, 400)).astype(np.float32)
    for number, estimate in enumerate(
        (og.llc(draws_of(trace)), og.llc(draws_of(trace, failed_at=[np.nan, 3, np.nan, np.nan])))
    ):
        path = estimate.save(tmp_path / str(number))
        back = og.load(path)
        assert_equal(back, estimate)
        assert (str(back), back.advice) == (str(estimate), estimate.advice)
        assert estimate.draws is not None
        assert back.draws is not None
        xr.testing.assert_identical(back.draws, estimate.draws)
        estimate.save(path)  # over itself
        assert_equal(og.load(path), estimate)


def test_what_is_no_saved_estimate_is_named(tmp_path: Path) -> None:
    with pytest.raises(og.CorruptFile, match="absent"):
        og.load(tmp_path / "absent")


def test_a_frame_has_one_row_with_everything_that_was_set() -> None:
    estimate = og.llc(draws_of(10 + autoregression(0.3, 4, 400)))
    frame = estimate.to_frame()
    assert len(frame) == 1
    row = frame.iloc[0]
    assert (row["value"], row["mcse"], row["outcome"]) == (estimate.value, estimate.mcse, "converged")
    assert (row["low"], row["high"]) == estimate.interval
    assert {field.name for field in dataclasses.fields(SamplingSettings)} < set(frame.columns)
    assert len((estimate - estimate).to_frame()) == 1


def test_it_prints_its_verdict_and_the_settings_it_depends_on() -> None:
    text = str(og.llc(draws_of(10 + autoregression(0.3, 4, 400))))
    for part in (
        "LLC 9.9",
        "±",
        "(95%), converged: R-hat 1.00",
        "nβ 32",
        "γ 2",
        "ε 0.0001",
        "n 100",
        "10 free weights",
    ):
        assert part in text
    assert "not converged" in str(og.llc(draws_of(10 + autoregression(0.0, 4, 400) + np.arange(4)[:, None])))
