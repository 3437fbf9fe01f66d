"""The targets' own answers, held against closed forms, a naive grid and what their docstrings say."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ontogeny.testing import Gaussian, NormalCrossing

POSITIVE = st.floats(0.1, 100.0)
CROSSINGS = [(1,), (2,), (1, 1), (1, 2), (2, 1), (2, 2), (0, 1), (0, 2)]


def on_a_grid(exponents: tuple[int, ...], nbeta: float, localization: float) -> float:
    """nβ E[K] under exp(-nβ K - (γ/2)|w|²) by the sum over a fine even grid."""
    line = np.linspace(0, 8 / math.sqrt(localization), 1001)
    axes = np.meshgrid(*[line] * len(exponents), indexing="ij")
    loss = np.prod([axis ** (2 * k) for axis, k in zip(axes, exponents, strict=True)], axis=0)
    log_density = -nbeta * loss - 0.5 * localization * sum(axis**2 for axis in axes)
    ends = [np.where(axis == 0, 0.5, 1.0) for axis in axes]  # the trapezium's first weight
    density = np.exp(log_density) * np.prod(ends, axis=0)
    return float(nbeta * (loss * density).sum() / density.sum())


@pytest.mark.parametrize("exponents", CROSSINGS)
def test_quadrature_agrees_with_a_grid(exponents: tuple[int, ...]) -> None:
    expected = on_a_grid(exponents, nbeta=20.0, localization=1.5)
    assert NormalCrossing(exponents).llc(20.0, 1.5) == pytest.approx(expected, rel=2e-4)


@given(nbeta=POSITIVE, localization=POSITIVE)
def test_one_quadratic_direction_is_the_gaussian(nbeta: float, localization: float) -> None:
    assert NormalCrossing((1,)).llc(nbeta, localization) == pytest.approx(
        Gaussian((2.0,)).llc(nbeta, localization), rel=1e-8
    )


@pytest.mark.parametrize("k", [1, 2, 3])
def test_without_localization_one_direction_has_one_half_over_k(k: int) -> None:
    assert NormalCrossing((k,)).llc(1e6, 1e-6) == pytest.approx(1 / (2 * k), rel=1e-6)
    assert NormalCrossing((k,)).learning_coefficient == 1 / (2 * k)


@pytest.mark.parametrize("exponents", [(1, 2), (0, 2), (1, 3)])
def test_the_learning_coefficient_is_reached_at_low_temperature(exponents: tuple[int, ...]) -> None:
    target = NormalCrossing(exponents)
    gaps = [target.learning_coefficient - target.llc(10.0**power, 1.0) for power in (2, 5, 8)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 0.04 * target.learning_coefficient


def test_a_gaussian_has_half_a_dimension_a_direction_and_less_when_held() -> None:
    target = Gaussian((1.0, 4.0))
    assert target.llc(100.0, 0.0) == pytest.approx(1.0)
    assert target.llc(100.0, 100.0) == pytest.approx(0.5 * (1 / 2 + 4 / 5))
    assert target.llc(100.0, 0.0, step_size=0.005) == pytest.approx(0.5 / (1 - 0.125) + 0.5 / (1 - 0.5))


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=2))
def test_losses_are_the_formulas_and_zero_at_the_center(weights: list[float]) -> None:
    for target, formula in [
        (Gaussian((1.0, 3.0)), lambda a, b: 0.5 * (a**2 + 3 * b**2)),
        (NormalCrossing((1, 2)), lambda a, b: a**2 * b**4),
        (NormalCrossing((0, 2)), lambda a, b: b**4),
    ]:
        model, batch = target.model(), torch.zeros(5)
        assert torch.equal(target.loss(model, batch), torch.zeros(5))
        with torch.no_grad():
            model.w.copy_(torch.tensor(weights))
        assert target.loss(model, batch).tolist() == pytest.approx([formula(*weights)] * 5, rel=1e-5, abs=1e-6)
