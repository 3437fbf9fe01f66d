"""Targets whose learning coefficient is known at finite temperature, to hold any sampler or estimator against.

Each is a one-parameter-vector module with a loss that does not depend on the data, so that every minibatch has the
exact gradient.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
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
        line, measure = _half_line(12 / localization**0.5)
        axes = np.meshgrid(*[line] * len(self.exponents), indexing="ij")
        energy = nbeta * math.prod(axis ** (2 * k) for axis, k in zip(axes, self.exponents, strict=True))
        density = np.exp(-energy - 0.5 * localization * sum(axis**2 for axis in axes))
        weights = density * math.prod(np.meshgrid(*[measure] * len(self.exponents), indexing="ij"))
        return float(np.sum(energy * weights) / np.sum(weights))


def _half_line(width: float) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Nodes and weights on [0, width], finer towards 0: Gauss-Legendre on panels whose ends grow by a factor."""
    ends = np.concatenate([[0], np.geomspace(1e-8, 1, 40)]) * width
    nodes, weights = np.polynomial.legendre.leggauss(16)
    half = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()
