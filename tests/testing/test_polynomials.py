"""Polynomial targets against closed forms, plain grids and their own limits."""

import numpy as np
import pytest
import torch

from ontogeny import InvalidArgument
from ontogeny.testing.polynomials import LineAndDot, PowerOfSquares, RankOne, SumOfPowers
from ontogeny.testing.targets import Gaussian, NormalCrossing


def on_a_grid(losses: np.ndarray, distances: np.ndarray, nbeta: float, localization: float) -> float:
    density = np.exp(-nbeta * losses - 0.5 * localization * distances)
    return float(nbeta * (losses * density).sum() / density.sum())


@pytest.mark.parametrize("exponents", [(1, 1, 1), (1, 2, 3), (0, 2, 1), (2, 2, 0)])
def test_three_exponents_agree_with_a_grid(exponents: tuple[int, ...]) -> None:
    line = np.linspace(0, 6, 121)[1:] - 6 / 240  # middles of cells, so that no edge counts double
    axes = np.stack(np.meshgrid(line, line, line, indexing="ij"))
    losses = np.prod([axis ** (2 * k) for axis, k in zip(axes, exponents, strict=True)], axis=0)
    expected = on_a_grid(losses, (axes**2).sum(axis=0), 5.0, 1.0)
    assert NormalCrossing(exponents).llc(5.0, 1.0) == pytest.approx(expected, rel=2e-3)


def test_a_third_factor_that_is_one_changes_nothing() -> None:
    assert NormalCrossing((0, 1, 2)).llc(30.0, 1.0) == pytest.approx(NormalCrossing((1, 2)).llc(30.0, 1.0), rel=1e-5)
    assert NormalCrossing((1, 1, 2)).multiplicity == 1
    assert NormalCrossing((1, 1, 1)).multiplicity == 3


@pytest.mark.parametrize("exponents", [(), (0, 0), (1, 1, 1, 1), (-1, 2)])
def test_exponents_that_have_no_quadrature_are_refused(exponents: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="exponents"):
        NormalCrossing(exponents)


@pytest.mark.parametrize(
    "target",
    [SumOfPowers((1, 2, 0, 3)), PowerOfSquares(3, 2), PowerOfSquares(6, 1), RankOne(2, 5), LineAndDot((1.0, 0.3))],
    ids=str,
)
def test_without_multiplicity_the_coefficient_is_reached(target: SumOfPowers) -> None:
    assert target.llc(1e10, 30.0 if isinstance(target, LineAndDot) else 1e-2) == pytest.approx(
        target.learning_coefficient, rel=2e-3
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_with_multiplicity_two_it_is_missed_by_the_inverse_of_a_logarithm(size: int) -> None:
    target = RankOne(size, size)
    gaps = [target.learning_coefficient - target.llc(10.0**power, 1.0) for power in (6, 12)]
    assert gaps[0] > 1.7 * gaps[1] > 0


def test_regular_ones_are_gaussians() -> None:
    assert PowerOfSquares(3, 1).llc(10.0, 2.0) == pytest.approx(Gaussian((2.0,) * 3).llc(10.0, 2.0), rel=1e-8)
    assert SumOfPowers((1, 0, 1)).llc(10.0, 2.0) == pytest.approx(Gaussian((2.0,) * 2).llc(10.0, 2.0), rel=1e-8)
    assert RankOne(1, 1).llc(50.0, 1.0) == pytest.approx(NormalCrossing((1, 1)).llc(50.0, 1.0), rel=1e-8)


@pytest.mark.parametrize("center", [(0.0, 0.0), (1.0, 0.3)])
def test_line_and_dot_agree_with_a_grid(center: tuple[float, float]) -> None:
    line = np.linspace(-4, 4, 3001)
    x, y = line[:, None] + center[0], line[None, :] + center[1]
    losses = ((x - 1) * (x**2 + y**2) ** 2) ** 2
    expected = on_a_grid(losses, (x - center[0]) ** 2 + (y - center[1]) ** 2, 20.0, 4.0)
    assert LineAndDot(center).llc(20.0, 4.0) == pytest.approx(expected, rel=1e-5)


def test_the_dot_is_more_degenerate_than_the_line() -> None:
    dot, line = LineAndDot(), LineAndDot((1.0, 0.3))
    assert dot.llc(1e10, 300.0) < dot.learning_coefficient < line.llc(1e10, 300.0)
    with pytest.raises(InvalidArgument, match="center"):
        LineAndDot((0.5, 0.5))


@pytest.mark.parametrize(
    ("target", "formula"),
    [
        (SumOfPowers((1, 2, 0)), lambda a, b, c: a**2 + b**4),
        (PowerOfSquares(3, 2), lambda a, b, c: (a**2 + b**2 + c**2) ** 2),
        (RankOne(1, 2), lambda a, b, c: a**2 * (b**2 + c**2)),
        (NormalCrossing((1, 2, 1)), lambda a, b, c: a**2 * b**4 * c**2),
    ],
    ids=["powers", "squares", "rank one", "crossing"],
)
def test_losses_are_the_formulas_and_zero_at_the_center(target: SumOfPowers, formula: object) -> None:
    assert callable(formula)
    model, batch = target.model(), torch.zeros(5)
    assert torch.equal(target.loss(model, batch), torch.zeros(5))
    with torch.no_grad():
        model.w.copy_(torch.tensor([0.5, -1.5, 2.0]))
    assert target.loss(model, batch).tolist() == pytest.approx([formula(0.5, -1.5, 2.0)] * 5)
