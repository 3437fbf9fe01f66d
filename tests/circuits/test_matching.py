"""Pairings one to one, and what pairing yields where nothing corresponds."""

import numpy as np
import pytest
from scipy.stats import kstest

from ontogeny.circuits import best_matching, match_units


def test_permuted_units_find_their_partners() -> None:
    source = np.random.default_rng(0)
    first, order = source.standard_normal((200, 9)), source.permutation(9)
    second = -2 * first[:, order] + 0.3 * source.standard_normal((200, 9))
    found = match_units(first, second)
    assert (order[found.partner] == np.arange(9)).all()
    assert found.mean > 0.95
    assert found.p_value == pytest.approx(0.01)
    assert found.by_chance.max() < 0.4


def test_units_left_over_have_no_partner() -> None:
    found = best_matching(np.array([[1.0, 0], [0, 1], [0.5, 0.6]]))
    assert found.partner.tolist() == [0, 1, -1]
    assert np.isnan(found.value[2])
    assert found.mean == 1
    assert np.isnan(found.p_value)


def test_p_values_are_uniform_where_nothing_corresponds() -> None:
    found = []
    for seed in range(150):
        one, other = np.random.default_rng(seed).standard_normal((2, 30, 4))
        found.append(match_units(one, other, count=39, seed=seed).p_value)
    assert kstest(np.array(found) - np.random.default_rng(0).uniform(0, 1 / 40, 150), "uniform").pvalue > 0.01
