"""Tails of known laws: exponential, Gaussian, heavier."""

import numpy as np
import pytest
from scipy.stats import kstest

from ontogeny.circuits import across_range, tail_of


@pytest.mark.parametrize(("law", "shape"), [("exponential", 1.0), ("weibull", 0.5)])
def test_the_shape_of_a_known_tail(law: str, shape: float) -> None:
    source = np.random.default_rng(0)
    values = 3 * (source.exponential(size=40_000) if law == "exponential" else source.weibull(shape, 40_000))
    found = tail_of(values)
    low, high = found.interval
    assert low < shape < high
    assert high - low < 0.25
    assert found.best == law
    assert (found.p_exponential > 0.01) == (law == "exponential")


def test_a_gaussian_is_told_from_an_exponential() -> None:
    values = np.random.default_rng(1).standard_normal(40_000)
    found = tail_of(values)
    assert found.best == "gaussian"
    assert found.log_likelihood["gaussian"] > found.log_likelihood["exponential"] + 20
    assert found.p_exponential < 1e-6


def test_likelihoods_do_not_depend_on_the_unit() -> None:
    values = np.random.default_rng(2).exponential(size=2000)
    one, other = tail_of(values), tail_of(100 * values)
    assert one.shape == pytest.approx(other.shape)
    for name, value in one.log_likelihood.items():
        assert other.log_likelihood[name] == pytest.approx(value - one.num_values * np.log(100))


def test_the_likelihood_ratio_is_uniform_under_an_exponential() -> None:
    found = [tail_of(np.random.default_rng(seed).exponential(size=3000)).p_exponential for seed in range(80)]
    assert kstest(found, "uniform").pvalue > 0.01


def test_examples_come_from_all_of_the_range() -> None:
    values = np.random.default_rng(0).exponential(size=500)
    bins = across_range(values, num_bins=5, each=3)
    edges = np.linspace(values.min(), values.max(), 6)
    for number, some in enumerate(bins):
        assert len(some) <= 3
        assert ((values[some] >= edges[number] - 1e-12) & (values[some] <= edges[number + 1] + 1e-12)).all()
    assert len(bins[0]) == 3
