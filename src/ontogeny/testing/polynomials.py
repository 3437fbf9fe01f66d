"""Polynomial losses of a few weights that are no normal crossing, with their exact value at finite temperature.

As in `ontogeny.testing.targets` the loss does not depend on the data.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.testing.targets import NormalCrossing, Point, half_line


@dataclass(frozen=True)
class SumOfPowers:
    """K(w) = Σᵢ wᵢ^(2kᵢ): λ = Σᵢ 1/(2kᵢ), with multiplicity 1; a weight with kᵢ = 0 is inert.

    Args:
        exponents: the kᵢ ≥ 0, not all 0. All of 0 and 1 are a regular model embedded in more weights.
    """

    exponents: tuple[int, ...]

    multiplicity = 1

    def model(self) -> Point:
        return Point(len(self.exponents))

    def loss(self, model: Point, batch: Tensor) -> Float[Tensor, " batch"]:
        terms = [model.w[i] ** (2 * k) for i, k in enumerate(self.exponents) if k]
        return torch.stack(terms).sum().expand(batch.shape[0])

    @property
    def learning_coefficient(self) -> float:
        return sum(1 / (2 * k) for k in self.exponents if k)

    def llc(self, nbeta: float, localization: float) -> float:
        """nβ E[K] under exp(-nβ K - (γ/2)|w|²): one integral a weight, since the weights are independent."""
        return sum(NormalCrossing((k,)).llc(nbeta, localization) for k in self.exponents if k)


@dataclass(frozen=True)
class PowerOfSquares:
    """K(w) = |w|^(2k) in d dimensions: λ = d/(2k), with multiplicity 1.

    Args:
        size: d; power: k ≥ 1.
    """

    size: int
    power: int

    multiplicity = 1

    def model(self) -> Point:
        return Point(self.size)

    def loss(self, model: Point, batch: Tensor) -> Float[Tensor, " batch"]:
        return (model.w.square().sum() ** self.power).expand(batch.shape[0])

    @property
    def learning_coefficient(self) -> float:
        return self.size / (2 * self.power)

    def llc(self, nbeta: float, localization: float) -> float:
        """nβ E[K] under exp(-nβ K - (γ/2)|w|²) by quadrature over |w|; needs γ > 0."""
        radius, mass = _radius(self.size, localization)
        energy = nbeta * radius ** (2 * self.power)
        return _mean(energy, mass)


@dataclass(frozen=True)
class RankOne:
    """K(a, b) = |a|² |b|² for a of n and b of m weights, a product of a column and a row at 0: λ = min(n, m)/2.

    The multiplicity is 2 where n = m and 1 elsewhere.

    Args:
        first, second: n and m.
    """

    first: int
    second: int

    def model(self) -> Point:
        return Point(self.first + self.second)

    def loss(self, model: Point, batch: Tensor) -> Float[Tensor, " batch"]:
        a, b = model.w[: self.first], model.w[self.first :]
        return (a.square().sum() * b.square().sum()).expand(batch.shape[0])

    @property
    def learning_coefficient(self) -> float:
        return min(self.first, self.second) / 2

    @property
    def multiplicity(self) -> int:
        return 2 if self.first == self.second else 1

    def llc(self, nbeta: float, localization: float) -> float:
        """nβ E[K] under exp(-nβ K - (γ/2)(|a|² + |b|²)) by quadrature over |a| and |b|; needs γ > 0."""
        (a, first), (b, second) = _radius(self.first, localization), _radius(self.second, localization)
        return _mean(nbeta * np.multiply.outer(a**2, b**2), np.multiply.outer(first, second))


@dataclass(frozen=True)
class LineAndDot:
    """K(w) = ((w₁ - 1)(w₁² + w₂²)²)² at a point of its line of minima or at its dot: one loss, two coefficients.

    On the line w₁ = 1 λ = 1/2; at the dot 0, a point that no other minimum is near, λ = 1/4. With a small γ the chain
    leaves the one for the other, and the exact value is of both.

    Args:
        center: w*: (0, 0) or (1, anything).

    Raises:
        InvalidArgument: for a point that is no minimum.
    """

    center: tuple[float, float] = (0.0, 0.0)

    multiplicity = 1

    def __post_init__(self) -> None:
        if self.center != (0, 0) and self.center[0] != 1:
            raise InvalidArgument(
                "center", expected="(0, 0) or a point (1, y)", found=f"{self.center}", instead="center=(1.0, 0.3)"
            )

    def model(self) -> Point:
        model = Point(2)
        with torch.no_grad():
            model.w.copy_(torch.tensor(self.center))
        return model

    def loss(self, model: Point, batch: Tensor) -> Float[Tensor, " batch"]:
        x, y = model.w[0], model.w[1]
        return ((x - 1) * (x**2 + y**2) ** 2).square().expand(batch.shape[0])

    @property
    def learning_coefficient(self) -> float:
        return 0.5 if self.center[0] == 1 else 0.25

    def llc(self, nbeta: float, localization: float) -> float:
        """nβ E[K] under exp(-nβ K - (γ/2)|w - w*|²) by quadrature, finest towards the line and the dot; needs γ > 0."""
        x, x_weights = _line_through((0.0, 1.0), self.center[0], localization)
        y, y_weights = _line_through((0.0,), self.center[1], localization)
        x, y = x[:, None], y[None, :]
        energy = nbeta * ((x - 1) * (x**2 + y**2) ** 2) ** 2
        distance = (x - self.center[0]) ** 2 + (y - self.center[1]) ** 2
        return _mean(energy, np.multiply.outer(x_weights, y_weights) * np.exp(-0.5 * localization * distance))


def _mean(energy: np.ndarray, mass: np.ndarray) -> float:
    weights = mass * np.exp(-energy)
    return float((energy * weights).sum() / weights.sum())


def _radius(size: int, localization: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of |w| in `size` dimensions with the mass of exp(-(γ/2)|w|²) there."""
    radius, weights = half_line((12 + size**0.5) / localization**0.5)
    return radius, weights * radius ** (size - 1) * np.exp(-0.5 * localization * radius**2)


def _line_through(points: tuple[float, ...], center: float, localization: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on the real line as far as the localisation lets anything go, finest towards `points`."""
    reach = 12 / localization**0.5
    middles = [(a + b) / 2 for a, b in pairwise(points)]
    limits = [min(center - reach, points[0] - 1), *middles, max(center + reach, points[-1] + 1)]
    nodes, weights = [], []
    for point, left, right in zip(points, limits, limits[1:], strict=False):
        for width, side in ((point - left, -1), (right - point, 1)):
            steps, sizes = half_line(width)
            nodes.append(point + side * steps)
            weights.append(sizes)
    return np.concatenate(nodes), np.concatenate(weights)
