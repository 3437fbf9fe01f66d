"""Curves with known half-times, slopes and falls."""

import numpy as np
import pytest

from ontogeny.development import curves

STEPS = np.unique(np.geomspace(1, 4000, 45).round().astype(int))


def rise(at: float, width: float = 0.08) -> np.ndarray:
    return 1 / (1 + np.exp(-(np.log10(STEPS) - np.log10(at)) / width))


def test_half_time_is_interpolated_in_log_step() -> None:
    assert curves.half_time(np.array([1, 10, 100]), np.array([0.0, 0.0, 1.0])) == pytest.approx(10**1.5)


def test_steepest_ignores_steps_before_the_first() -> None:
    curve = 5 * rise(5) + rise(1500)
    assert curves.steepest(STEPS, curve, first_step=100) == pytest.approx(1500, rel=0.1)
    assert curves.steepest(STEPS, curve) == pytest.approx(5, rel=0.2)


def test_falls_are_relative_to_the_peak() -> None:
    values = np.array([[1.0, 4.0, 3.0], [1.0, 2.0, 4.0], [np.nan, np.nan, 1.0], [1.0, 2.0, np.nan]])
    fall, error = curves.falls(values, np.full((4, 3), 0.3))
    np.testing.assert_allclose(fall, [0.25, 0, np.nan, np.nan])
    np.testing.assert_allclose(error, [np.hypot(0.3, 0.3) / 4, 0, np.nan, np.nan])


def test_a_bootstrap_has_the_spread_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(400)
    found = curves.bootstrap(lambda chosen: float(values[chosen].mean()), 400, 2000, rng)
    assert found.std() == pytest.approx(values.std() / 20, rel=0.1)
    low, high = curves.interval(found)
    assert high - low == pytest.approx(3.92 * values.std() / 20, rel=0.1)


def test_steps_are_chosen_evenly_in_log() -> None:
    assert curves.spaced_in_log([0, 1, 2, 9, 40, 110, 900, 1000], 4) == [1, 9, 110, 1000]
    assert curves.spaced_in_log([0, 7], 5) == [7]
