"""Partial and rank correlations, where the answer is known."""

import numpy as np
import pytest

from ontogeny.development.correlations import partial_correlation, rank_correlation


def test_with_one_control_it_is_the_formula_of_three_correlations() -> None:
    x, y, z = np.random.default_rng(0).standard_normal((3, 50))
    y, x = y + z, x - 2 * z
    xy, xz, yz = (np.corrcoef(a, b)[0, 1] for a, b in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_correlation(x, y, z[:, None]) == pytest.approx(expected)


def test_what_the_controls_explain_is_gone_and_the_rest_remains() -> None:
    rng = np.random.default_rng(1)
    given, own = rng.standard_normal((400, 2)), rng.standard_normal(400)
    x, y = given @ [3.0, 1.0] + rng.standard_normal(400), given @ [2.0, -5.0] + rng.standard_normal(400)
    assert abs(partial_correlation(x, y, given)) < 0.15
    assert abs(partial_correlation(x, y, given[:, :1])) > 0.4  # without the other control
    assert partial_correlation(x + 3 * own, y + 3 * own, given) == pytest.approx(0.9, abs=0.03)
    assert np.isnan(partial_correlation(given @ [1.0, 2.0], y, given))


def test_ranks_alone_count_and_a_control_that_explains_all_leaves_nothing() -> None:
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(2, 400))
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)
    y = x + other
    plain, beyond = rank_correlation(x, y), rank_correlation(x, y, x + 0.01 * rng.normal(size=400))
    assert plain > 0.6
    assert abs(beyond) < 0.2
    assert np.isnan(rank_correlation(x, np.ones(400)))
