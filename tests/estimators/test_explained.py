"""The share of a loss that other losses explain over the posterior, for losses that are linear in Gaussian weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import kstest

import ontogeny as og
from ontogeny.estimators import unexplained
from ontogeny.measurement.anomalies import _p_values

Maker = Callable[..., xr.DataTree]


def linear(make_tree: Maker, by: np.ndarray, scored: np.ndarray, seed: int = 0, draws: int = 500, **more: Any) -> Any:
    """Draws of standard normal weights, and losses gᵢ·w + 3 of the observables `by` and `scored`."""
    w = np.random.default_rng(seed).normal(size=(4, draws, by.shape[1]))
    observables = {name: (w @ g.T + 3.0, np.full(len(g), 3.0)) for name, g in (("by", by), ("scored", scored))}
    return make_tree(30.0, (w**2).sum(-1), observables=observables, **more)


def test_the_share_outside_the_span_of_the_others_is_unexplained(make_tree: Maker) -> None:
    """Correlation ρ of Gaussians is (6/π) asin(ρ/2) of their ranks."""
    by = np.eye(3)[:2]
    shares = np.array([0.0, 0.5, 1.0])
    scored = np.stack([np.array([np.sqrt(1 - share), 0, np.sqrt(share)]) for share in shares])
    found = unexplained(linear(make_tree, by, scored), "scored", "by")
    assert found.dims == ("scored_sample",)
    expected = 1 - (6 / np.pi * np.arcsin(np.sqrt(1 - shares) / 2)) ** 2
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_monotone_transform_of_the_losses_changes_nothing(make_tree: Maker) -> None:
    random = np.random.default_rng(1)
    draws = linear(make_tree, random.normal(size=(8, 4)), random.normal(size=(5, 4)))
    before = unexplained(draws, "scored", "by")
    for name in ("by", "scored"):
        draws["posterior"][name] = np.exp(draws["posterior"][name])
        draws["constant_data"][f"{name}_at_center"] = np.exp(draws["constant_data"][f"{name}_at_center"])
    np.testing.assert_allclose(unexplained(draws, "scored", "by"), before, rtol=1e-10)


def test_what_does_not_vary_needs_no_explanation_and_explains_nothing(make_tree: Maker) -> None:
    zero, one = np.zeros((2, 3)), np.eye(3)
    assert (unexplained(linear(make_tree, one, zero), "scored", "by") == 0).all()
    np.testing.assert_allclose(unexplained(linear(make_tree, zero, one), "scored", "by"), 1.0, atol=0.02)


def test_chains_that_diverged_are_left_out(make_tree: Maker) -> None:
    by, scored = np.eye(3)[:2], np.eye(3)
    for number, failed in ((3, [np.nan, np.nan, np.nan, 3.0]), (1, [1.0, 2.0, 3.0, np.nan])):
        found = unexplained(linear(make_tree, by, scored, failed_at=np.array(failed)), "scored", "by")
        assert np.isfinite(found).all() == (number > 1)
    with pytest.raises(og.InvalidArgument, match="an observable of the draws"):
        unexplained(linear(make_tree, by, scored), "other", "by")


@pytest.mark.parametrize("rare", [False, True])
def test_p_values_are_uniform_on_samples_of_the_same_kind_alone(make_tree: Maker, rare: bool) -> None:
    """200 networks with one suspect each. A rare one is moved by weights of its own as well."""
    found = []
    for seed in range(200):
        random = np.random.default_rng([7, seed])
        loads = random.normal(size=(40, 7)) * np.array([1, 1, 1, 0.5, 0.5, 0.5, 0.0])
        loads[-1, -1] = 2.0 * rare
        draws = linear(make_tree, loads[:20], loads[20:], seed, draws=50)
        scores = unexplained(draws, "scored", "by").values
        found.append(float(_p_values(scores[-1:], scores[:-1])[0]))
    spread = np.random.default_rng(0).uniform(0, 1 / 20, len(found))  # p is a multiple of 1/20
    assert (kstest(np.array(found) - spread, "uniform").pvalue > 0.01) != rare
    assert not rare or np.mean(np.array(found) <= 0.05) > 0.5
