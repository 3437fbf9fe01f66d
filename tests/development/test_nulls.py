"""p-values are uniform where the null holds, and small where it does not."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kstest

from ontogeny.development import curves, nulls
from ontogeny.development.nulls import Null

CASES = 300


def nearest(changes: np.ndarray, length: float) -> Callable[[np.ndarray], float]:
    def distance(places: np.ndarray) -> float:
        apart = np.abs(changes[:, None] - places)
        return float(np.median(np.minimum(apart, length - apart).min(axis=1)))

    return distance


def shifts(rng: np.random.Generator) -> Null:
    """Boundaries somewhere on the circle, changes elsewhere."""
    places = (np.array([0.0, 0.7, 1.1, 2.0]) + rng.uniform(0, 3.5)) % 3.5
    return nulls.circular_shifts(nearest(np.array([0.4, 1.3, 1.9, 2.8, 3.1]), 3.5), places, 0.0, 3.5, count=100)


def anywhere(rng: np.random.Generator) -> Null:
    """The other change near an end, where half of its neighbourhood is missing."""
    return nulls.anywhere_in_log_step(10 ** rng.uniform(2, 4), 5000, 100, 10_000)


def together(rng: np.random.Generator) -> Null:
    return nulls.all_within(10 ** rng.uniform(2, 4, 3), 100, 10_000)


def mean_difference(values: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda chosen: float(values[chosen].mean() - values[~chosen].mean())


def permuted(rng: np.random.Generator) -> Null:
    labels = np.arange(16) < 5
    return nulls.permutations(mean_difference(rng.standard_normal(16)), labels, rng, count=99)


def permuted_in_groups(rng: np.random.Generator) -> Null:
    """Groups differ much, and labels are not spread evenly over them: only a permutation within them is fair."""
    groups = np.repeat([0, 1], 8)
    labels = np.array([rng.permutation(8) < count for count in (1, 5)]).ravel()
    values = rng.standard_normal(16) + 10 * groups
    return nulls.permutations(mean_difference(values), labels, rng, within=groups, two_sided=True, count=99)


def odds(rng: np.random.Generator) -> Null:
    return nulls.even_odds(int(rng.binomial(10_000, 0.5)), 10_000)


def resampled(rng: np.random.Generator) -> Null:
    values = 0.1 + rng.standard_normal(200)
    means = curves.bootstrap(lambda chosen: float(values[chosen].mean()), 200, 99, rng)
    return nulls.bootstrapped(means, least=0.1)


def error_alone(rng: np.random.Generator) -> Null:
    return nulls.gaussian_error(float(3 * rng.standard_normal()), 3.0)


def exchanged(rng: np.random.Generator) -> Null:
    """Curves of twelve runs that share their course, beside another quantity that shares it too."""
    course = np.linspace(0, 3, 8)
    own, other = course + rng.standard_normal((2, 12, 1)) + 0.1 * rng.standard_normal((2, 12, 8))
    return nulls.exchanged(lambda each: float(np.corrcoef(each.ravel(), other.ravel())[0, 1]), own, rng, count=99)


EVERY = [shifts, anywhere, together, permuted, permuted_in_groups, odds, resampled, error_alone, exchanged]


@pytest.mark.parametrize("case", EVERY)
def test_p_values_are_uniform_under_the_null(case: Callable[[np.random.Generator], Null]) -> None:
    rng = np.random.default_rng(0)
    p_values = np.array([case(rng).p_value for _ in range(CASES)])
    p_values += rng.uniform(-0.5, 0.5, CASES) / 100  # simulated ones are multiples of 1/100
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_groups_that_differ_would_fail_a_plain_permutation() -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat([0, 1], 8)
    labels = np.array([np.arange(8) < count for count in (1, 5)]).ravel()
    difference = mean_difference(rng.standard_normal(16) + 10 * groups)
    assert nulls.permutations(difference, labels, rng, count=499).p_value < 0.1
    assert nulls.permutations(difference, labels, rng, within=groups, count=499).p_value > 0.1


def test_a_shared_course_alone_is_not_beyond_the_exchange_of_curves() -> None:
    rng, course = np.random.default_rng(0), np.linspace(0, 3, 8)
    own, other = course + rng.standard_normal((2, 8, 1)) / 2

    def correlation(each: np.ndarray) -> float:
        return float(np.corrcoef(each.ravel(), other.ravel())[0, 1])

    assert correlation(own) > 0.7
    assert nulls.exchanged(correlation, own, rng).p_value > 0.05
    assert nulls.exchanged(correlation, other + 0.1 * own, rng).p_value < 0.01
    own = np.repeat(np.arange(4.0)[:, None], 8, axis=1)
    few = nulls.exchanged(lambda each: float(np.corrcoef(each.ravel(), own.ravel())[0, 1]), own, rng)
    assert few.p_value == pytest.approx(1 / 24)  # every arrangement, once


def test_what_is_beyond_chance_has_a_small_p_value() -> None:
    rng, places = np.random.default_rng(0), np.array([0.5, 1.2, 2.7])
    assert nulls.circular_shifts(nearest(places + 0.01, 3.5), places, 0.0, 3.5).p_value < 0.05
    assert nulls.anywhere_in_log_step(1010, 1000, 100, 10_000).p_value < 0.01
    assert nulls.all_within(np.array([1000, 1100, 1050]), 100, 10_000).p_value < 0.01
    labels = np.arange(16) < 8
    assert nulls.permutations(mean_difference(3.0 * labels + rng.standard_normal(16)), labels, rng).p_value < 0.01
    assert nulls.permutations(mean_difference(-3.0 * labels + rng.standard_normal(16)), labels, rng).p_value > 0.9
    assert nulls.even_odds(15, 16).p_value == pytest.approx(17 / 2**16)
    assert nulls.bootstrapped(np.full(99, 0.2), least=0.1).p_value == 0.01
    assert nulls.gaussian_error(1.96, 1.0).p_value == pytest.approx(0.025, abs=1e-3)


def test_a_claim_that_must_beat_two_nulls_has_the_larger_p_value() -> None:
    found = nulls.either(Null("a", 0.01, 1.0), Null("b", 0.2, 2.0))
    assert found == Null("a or b", 0.2, 2.0)
