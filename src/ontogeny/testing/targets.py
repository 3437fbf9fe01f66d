"""Targets whose learning coefficient is known at finite temperature, to hold any sampler or estimator against.

Each is a one-parameter-vector module with a loss that does not depend on the data, so that every minibatch has the
exact gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from scipy.integrate import quad
from torch import Tensor, nn


class Point(nn.Module):
    """A module that is its parameters: one vector `w`, zero at the center."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size))


@dataclass(frozen=True)
class Gaussian:
    """K(w) = Σᵢ ½ hᵢ wᵢ²: a Gaussian posterior with a known Hessian.

    Args:
        curvatures: the hᵢ > 0.
    """

    curvatures: tuple[float, ...]

    def model(self) -> Point:
        return Point(len(self.curvatures))

    def loss(self, model: Point, batch: Tensor) -> Float[Tensor, " batch"]:
        h = torch.tensor(self.curvatures, dtype=model.w.dtype, device=model.w.device)
        return (0.5 * h * model.w**2).sum().expand(batch.shape[0])

    def llc(self, nbeta: float, localization: float, step_size: float = 0.0) -> float:
        """Σᵢ ½ nβhᵢ/cᵢ · 1/(1 - εcᵢ/4), cᵢ = nβhᵢ + γ: exact for SGLD at step ε, for the posterior itself at ε = 0."""
        h = np.asarray(self.curvatures)
        c = nbeta * h + localization
        return float(np.sum(0.5 * nbeta * h / c / (1 - step_size * c / 4)))


@dataclass(frozen=True)
class NormalCrossing:
    """K(w) = Πᵢ wᵢ^(2kᵢ): λ = minᵢ 1/(2kᵢ), with multiplicity the number of i that attain it.

    Args:
        exponents: the kᵢ ≥ 0, not all 0; one or two of them.
    """

    exponents: tuple[int, ...]

    def model(self) -> Point:
        return Point(len(self.exponents))

    def loss(self, model: Point, batch: Tensor) -> Float[Tensor, " batch"]:
        factors = [model.w[i] ** (2 * k) for i, k in enumerate(self.exponents) if k]
        return torch.stack(factors).prod().expand(batch.shape[0])

    @property
    def learning_coefficient(self) -> float:
        """λ, reached as nβ grows and γ falls."""
        return 1 / (2 * max(self.exponents))

    def llc(self, nbeta: float, localization: float) -> float:
        """nβ E[K] under exp(-nβ K - (γ/2)|w|²) by quadrature; needs γ > 0."""
        return _expectation(self.exponents, nbeta, localization)


def _expectation(exponents: Sequence[int], nbeta: float, localization: float) -> float:
    """The last coordinate is integrated inside the first, so that one or two coordinates are one mechanism."""
    width = 12 / localization**0.5
    breaks = np.concatenate([[0], np.geomspace(1e-8, 1, 24)]) * width

    def integrate(function: Callable[[float], float]) -> float:
        return sum(quad(function, a, b, epsrel=1e-9, limit=200)[0] for a, b in pairwise(breaks))

    def moment(power: int, scale: float, remaining: Sequence[int]) -> float:
        k, *rest = remaining

        def density(w: float) -> float:
            here = scale * w ** (2 * k)
            weight = np.exp(-0.5 * localization * w * w)
            return weight * (moment(power, here, rest) if rest else here**power * np.exp(-here))

        return integrate(density)

    return moment(1, nbeta, list(exponents)) / moment(0, nbeta, list(exponents))
