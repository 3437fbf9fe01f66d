"""A chain that leaves the finite numbers is an outcome that says which and when; the other chains lose nothing."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

import ontogeny as og
from ontogeny.core.losses import LossFn
from ontogeny.stores import ZarrSink, read_tree
from ontogeny.testing import Point

ROUNDING = 1e-5  # relative, in single precision over the steps of a run; other draws differ by tenths
NUM_CHAINS, NUM_WARMUP, NUM_DRAWS, THINNING = 4, 10, 30, 2
VECTORIZED = pytest.mark.parametrize("vectorized", [True, False], ids=["vectorized", "one by one"])


def bowl(model: Point, batch: Tensor) -> Tensor:
    return 0.5 * (model.w**2).sum().expand(batch.shape[0])


def bowl_within(radius: float) -> LossFn:
    """NaN beyond the radius, with a gradient that stays finite: a chain that went there may well come back."""

    def loss(model: Point, batch: Tensor) -> Tensor:
        inside = bowl(model, batch)
        return torch.where(model.w.detach().norm() > radius, torch.full_like(inside, torch.nan), inside)

    return loss


def run(
    loss: LossFn, vectorized: bool, thinning: int = 1, step_size: float = 0.05, sink: ZarrSink | None = None
) -> xr.DataTree:
    posterior = og.LocalPosterior(Point(3), torch.zeros(4), loss, nbeta=10.0, localization=1.0)
    steps = {"num_warmup": NUM_WARMUP // thinning, "num_draws": NUM_DRAWS // thinning, "thinning": thinning}
    kernel = og.SGLD(step_size)
    return og.sample(posterior, kernel, num_chains=NUM_CHAINS, vectorized=vectorized, sink=sink, **steps)


NOW_AND_THEN = {"heat", "half_loss", "heat_along", "heat_held", "half_virial"}  # not measured at every draw


def distances(draws: xr.DataTree) -> np.ndarray:
    groups = [np.asarray(draws[group]["distance"]) for group in ("warmup_sample_stats", "sample_stats")]
    return np.concatenate(groups, axis=1)


def excursion(vectorized: bool) -> tuple[xr.DataTree, float, int, int]:
    """An undisturbed run, a radius that one chain alone passes, that chain, and its first step beyond."""
    healthy = run(bowl, vectorized)
    farthest = distances(healthy).max(axis=1)
    chain = int(farthest.argmax())
    radius = float(np.sort(farthest)[-2:].mean())
    step = int(np.argmax(distances(healthy)[chain] > radius))
    assert 0 < step < NUM_WARMUP + NUM_DRAWS - 1
    assert (distances(healthy)[chain, step + 1 :] < radius).any()  # it would have come back
    return healthy, radius, chain, step


@VECTORIZED
def test_one_chain_fails_and_the_others_keep_their_draws(vectorized: bool) -> None:
    healthy, radius, chain, step = excursion(vectorized)
    draws = run(bowl_within(radius), vectorized)
    failed_at = np.asarray(draws["sample_stats"]["failed_at"])
    assert failed_at[chain] == step
    assert np.isnan(np.delete(failed_at, chain)).all()
    others = np.arange(NUM_CHAINS) != chain
    np.testing.assert_allclose(distances(draws)[others], distances(healthy)[others], rtol=ROUNDING)
    np.testing.assert_allclose(distances(draws)[chain, :step], distances(healthy)[chain, :step], rtol=ROUNDING)
    for group in ("posterior", "sample_stats"):
        for name in {str(name) for name in draws[group].data_vars} - {"failed_at", *NOW_AND_THEN}:
            values = np.concatenate([draws[f"warmup_{group}"][name], draws[group][name]], axis=1)
            assert np.isnan(values[chain, step:]).all()
            assert np.isfinite(values[others]).all()


@VECTORIZED
def test_the_estimate_is_that_of_the_other_chains_and_says_so(vectorized: bool) -> None:
    healthy, radius, chain, step = excursion(vectorized)
    estimate = og.llc(run(bowl_within(radius), vectorized))
    assert estimate.outcome is og.Outcome.DIVERGED
    assert f"chain {chain} at step {step}" in estimate.advice
    assert "divide step_size by ten" in estimate.advice
    assert "the other 3 chains" in estimate.advice
    others = np.arange(NUM_CHAINS) != chain
    trace = 10.0 * np.asarray(healthy["posterior"]["loss_difference"]).astype(float)
    added = np.asarray(healthy["sample_stats"]["inflation"]).astype(float)[others].mean()
    assert estimate.value == pytest.approx(trace[others].mean() - added, rel=1e-5)
    assert 0 < estimate.mcse < estimate.value


@VECTORIZED
def test_a_failure_between_two_recorded_draws_is_seen(vectorized: bool) -> None:
    _, radius, chain, step = excursion(vectorized)
    thinning = next(number for number in (2, 5, 3) if step % number)
    failed_at = np.asarray(run(bowl_within(radius), vectorized, thinning)["sample_stats"]["failed_at"])
    assert failed_at[chain] == step


@VECTORIZED
def test_a_step_that_is_far_too_large_ends_every_chain_without_an_error(vectorized: bool) -> None:
    draws = run(bowl, vectorized, step_size=1e6)
    estimate = og.llc(draws)
    assert estimate.outcome is og.Outcome.DIVERGED
    assert np.isnan([estimate.value, estimate.mcse, estimate.rhat, estimate.ess]).all()
    assert re.findall(r"chain (\d) at step \d+", estimate.advice) == ["0", "1", "2", "3"]
    assert "diverged" in str(estimate)
    assert draws["sample_stats"]["failed_at"].notnull().all()
    assert estimate.settings is not None
    assert estimate.settings.gradient_evaluations < NUM_CHAINS * (NUM_WARMUP + NUM_DRAWS) * 4  # it stops there


def test_a_loss_that_is_nan_at_the_center_is_an_outcome_too() -> None:
    estimate = og.llc(run(bowl_within(-1.0), vectorized=True))
    assert estimate.outcome is og.Outcome.DIVERGED
    assert "samples 0, 1, 2, 3 (4 of 4)" in estimate.advice


@pytest.mark.slow
def test_failures_are_on_disk_as_they_are_in_memory(tmp_path: Path) -> None:
    _, radius, _, _ = excursion(vectorized=True)
    in_memory = run(bowl_within(radius), vectorized=True)
    run(bowl_within(radius), vectorized=True, sink=ZarrSink(tmp_path / "draws"))
    xr.testing.assert_allclose(read_tree(tmp_path / "draws"), in_memory, rtol=ROUNDING, atol=0)


def test_strict_raises_with_the_estimate_attached() -> None:
    def cliff(model: Point, batch: Tensor) -> Tensor:
        return torch.where(model.w.detach().norm() > 0.05, torch.nan, 1.0) * bowl(model, batch)

    with pytest.raises(og.EstimateNotTrusted, match=r"diverged.*divide step_size by ten") as caught:
        og.estimate_llc(Point(3), torch.zeros(8), cliff, budget=4 * 8 * 20, strict=True)
    assert isinstance(caught.value.estimate, og.Estimate)
    assert caught.value.estimate.outcome is og.Outcome.DIVERGED
    relaxed = og.estimate_llc(Point(3), torch.zeros(8), cliff, budget=4 * 8 * 20)
    assert relaxed.outcome is og.Outcome.DIVERGED


def test_a_loss_without_a_lower_bound_diverges() -> None:
    """Chains run down it, and the noise of its gradients is no number."""
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    model = torch.nn.Linear(2, 1)

    def loss(model: torch.nn.Module, batch: Tensor) -> Tensor:
        return -model(batch)[:, 0].square()

    for budget in (8000, 60_000):
        estimate = og.estimate_llc(model, x, loss, budget=budget)
        assert estimate.outcome is estimate.sampled is og.Outcome.DIVERGED


def test_weights_that_are_not_finite_are_said_to_be() -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight[0, 1] = torch.nan
    x = torch.randn(50, 2)
    estimate = og.estimate_llc(model, (x, x[:, :1]), og.losses.mse, budget=8000)
    assert estimate.outcome is og.Outcome.DIVERGED
    assert "1 of 2 weights" in estimate.advice
