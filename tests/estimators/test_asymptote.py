"""The limit of exact curves, with and without noise, against the learning coefficients of theory."""

import math
from typing import Any

import numpy as np
import pytest

from ontogeny.estimators import asymptote
from ontogeny.estimators.asymptote import MAX_MULTIPLICITY, MIN_P_VALUE, Asymptote, extrapolate
from ontogeny.testing import Gaussian, NormalCrossing

NBETA = np.geomspace(1e2, 1e8, 12)
# exponents, λ, m
SINGULARITIES: list[tuple[tuple[int, ...], float, int]] = [
    ((1,), 1 / 2, 1),
    ((3,), 1 / 6, 1),
    ((1, 2), 1 / 4, 1),
    ((1, 1), 1 / 2, 2),
    ((2, 2), 1 / 4, 2),
    ((1, 1, 1), 1 / 2, 3),
    ((2, 2, 2), 1 / 4, 3),
]


def limit(values: np.ndarray, noise: float, seed: int | None = None, nbeta: np.ndarray = NBETA) -> Asymptote:
    """Of a curve that is said to have relative errors `noise`, and has them where there is a seed."""
    errors = noise * values
    if seed is not None:
        values = values + errors * np.random.default_rng(seed).normal(size=len(values))
    return extrapolate(nbeta, values, errors)


def curve(crossing: Any, *exponents: int, box: bool = False) -> np.ndarray:
    known = crossing(*exponents, box=box)
    return np.array([known.llc(nbeta) for nbeta in NBETA])


@pytest.mark.parametrize("exponents", [(1,), (3,), (1, 2), (2, 2)])
def test_the_curves_are_those_of_quadrature(crossing: Any, exponents: tuple[int, ...]) -> None:
    exact = [NormalCrossing(exponents).llc(nbeta, 1.0) for nbeta in NBETA]
    np.testing.assert_allclose(curve(crossing, *exponents), exact, rtol=1e-6)


@pytest.mark.parametrize(("exponents", "coefficient", "multiplicity"), SINGULARITIES)
def test_an_exact_curve_has_its_limit(
    crossing: Any, exponents: tuple[int, ...], coefficient: float, multiplicity: int
) -> None:
    found = limit(curve(crossing, *exponents), 0.003)
    assert abs(found.value - coefficient) < 0.02 * coefficient
    assert abs(found.value - coefficient) < 2 * found.error < 0.1 * coefficient
    assert found.probabilities.argmax() + 1 == multiplicity
    assert found.probabilities[multiplicity - 1] > 0.8
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.p_value > 0.05


@pytest.mark.parametrize(("exponents", "coefficient", "multiplicity"), SINGULARITIES[3:6])
def test_the_coldest_rung_and_one_pole_alone_are_low(
    crossing: Any, exponents: tuple[int, ...], coefficient: float, multiplicity: int
) -> None:
    values = curve(crossing, *exponents)
    assert values[-1] < 0.91 * coefficient
    constant = np.average(values, weights=values**-2.0)
    assert constant < 0.85 * coefficient


def test_a_curve_of_another_temperature_has_another_limit(crossing: Any) -> None:
    found = limit(1.2 * curve(crossing, 1, 1), 0.003)
    assert found.value - 0.5 > 4 * found.error


@pytest.mark.parametrize("noise", [0.005, pytest.param(0.01, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("exponents", "coefficient", "multiplicity"), [SINGULARITIES[i] for i in (0, 3, 5)])
def test_noisy_curves_have_it_too(
    crossing: Any, exponents: tuple[int, ...], coefficient: float, multiplicity: int, noise: float
) -> None:
    """λ is within 5 % and its interval holds it; a multiplicity that is as good as certain is the right one."""
    values = curve(crossing, *exponents)
    found = [limit(values, noise, seed) for seed in range(12 if noise < 0.01 else 40)]
    errors = np.array([item.value / coefficient - 1 for item in found])
    assert np.mean(np.abs(errors) < 0.05) > 0.9
    assert abs(errors.mean()) < 0.02
    assert np.mean([abs(item.value - coefficient) < 1.96 * item.error for item in found]) > 0.9
    assert np.mean([item.error for item in found]) < 0.05 * coefficient
    certain = [item for item in found if item.probabilities.max() > 0.8]
    assert len(certain) > (0.8 if noise < 0.01 else 0.4) * len(found)
    right = [item.probabilities.argmax() + 1 == multiplicity for item in certain]
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("sign", [1, -1])
def test_a_second_pole_as_strong_as_the_first(sign: int) -> None:
    """Of Z = (nβ)^-λ (1 - a (nβ)^-δ), nβ in units of the hottest rung: from far below, or from above."""
    gap, strength = asymptote._GAPS[5] / 2, sign * asymptote._STRENGTHS[15]
    assert abs(strength) > 0.6
    rest = strength * (NBETA / NBETA[0]) ** -gap
    found = extrapolate(NBETA, 2.4 - gap * rest / (1 - rest), np.full(12, 0.005))
    assert abs(found.value - 2.4) < 0.01
    assert found.probabilities[0] > 0.8
    assert found.first == 0


@pytest.mark.parametrize(("factors", "coefficient"), [(2, 0.5), (3, 0.5)])
def test_the_localization_need_not_be_gaussian(crossing: Any, factors: int, coefficient: float) -> None:
    """Uniform weights have another polynomial, and the form error covers the difference."""
    found = limit(curve(crossing, *[1] * factors, box=True), 0.003)
    assert abs(found.value - coefficient) < 2 * found.error < 0.1 * coefficient
    assert found.probabilities.argmax() + 1 == factors


def test_a_regular_model_under_strong_localization() -> None:
    gaussian = Gaussian((1.0,) * 10)
    found = limit(np.array([gaussian.llc(nbeta, 30.0) for nbeta in NBETA]), 0.005)
    assert abs(found.value - 5) < 2 * found.error < 0.3
    assert found.first <= 2


def test_a_spectrum_over_many_decades_is_no_singularity() -> None:
    gaussian = Gaussian(tuple(np.geomspace(1e-8, 1, 30)))
    found = limit(np.array([gaussian.llc(nbeta, 1.0) for nbeta in NBETA]), 0.01)
    assert found.p_value < MIN_P_VALUE


def test_a_curve_below_zero_has_no_limit() -> None:
    found = extrapolate(NBETA, np.linspace(-1, -3, 12), np.full(12, 0.1))
    assert math.isnan(found.value)
    assert found.p_value == 0


@pytest.mark.parametrize("exponents", [(2, 3), (1, 1, 2)])
def test_poles_that_are_close_or_multiple_read_as_multiplicity(crossing: Any, exponents: tuple[int, ...]) -> None:
    """What the docs warn of: should this fail, the limit has become better and the warning may go."""
    found = limit(curve(crossing, *exponents), 0.01)
    coefficient = 1 / (2 * max(exponents))
    assert found.probabilities.argmax() > 0
    assert 1.1 * coefficient < found.value < 1.2 * coefficient


def test_errors_grow_where_the_scatter_is_larger_than_they_say(crossing: Any) -> None:
    values = curve(crossing, 1, 1)
    scattered = values * (1 + 0.01 * np.random.default_rng(0).normal(size=len(values)))
    honest, proud = extrapolate(NBETA, scattered, 0.01 * values), extrapolate(NBETA, scattered, 0.003 * values)
    assert proud.p_value < honest.p_value
    assert proud.error > 0.5 * honest.error


def test_probabilities_are_of_every_multiplicity(crossing: Any) -> None:
    found = limit(curve(crossing, 1), 0.01)
    assert found.probabilities.shape == (MAX_MULTIPLICITY,)
    np.testing.assert_allclose(found.fitted[found.first :], 0.5, rtol=0.02)
