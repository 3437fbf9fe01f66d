"""Targets whose learning coefficient is known at finite temperature, to hold any sampler or estimator against.

Each is a one-parameter-vector module with a loss that does not depend on the data, so that every minibatch has the
exact gradient.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument


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

    multiplicity = 1

    def model(self) -> Point:
        return Point(len(self.curvatures))

    def loss(self, model: Point, batch: Tensor) -> Float[Tensor, " batch"]:
        h = torch.tensor(self.curvatures, dtype=model.w.dtype, device=model.w.device)
        return (0.5 * h * model.w**2).sum().expand(batch.shape[0])

    @property
    def learning_coefficient(self) -> float:
        """Half of the number of weights."""
        return len(self.curvatures) / 2

    def llc(self, nbeta: float, localization: float, step_size: float = 0.0) -> float:
        """Σᵢ ½ nβhᵢ/cᵢ · 1/(1 - εcᵢ/4), cᵢ = nβhᵢ + γ: exact for SGLD at step ε, for the posterior itself at ε = 0."""
        h = np.asarray(self.curvatures)
        c = nbeta * h + localization
        return float(np.sum(0.5 * nbeta * h / c / (1 - step_size * c / 4)))


@dataclass(frozen=True)
class NormalCrossing:
    """K(w) = Πᵢ wᵢ^(2kᵢ): λ = minᵢ 1/(2kᵢ), with multiplicity the number of i that attain it.

    Args:
        exponents: the kᵢ ≥ 0, not all 0; one to three of them.
    """

    exponents: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.exponents) <= 3 or min(self.exponents) < 0 or not max(self.exponents):
            raise InvalidArgument(
                "exponents",
                expected="one to three integers ≥ 0, not all 0",
                found=f"{self.exponents}",
                instead="(1, 2)",
            )

    def model(self) -> Point:
        return Point(len(self.exponents))

    def loss(self, model: Point, batch: Tensor) -> Float[Tensor, " batch"]:
        factors = [model.w[i] ** (2 * k) for i, k in enumerate(self.exponents) if k]
        return torch.stack(factors).prod().expand(batch.shape[0])

    @property
    def learning_coefficient(self) -> float:
        """λ, reached as nβ grows and γ falls."""
        return 1 / (2 * max(self.exponents))

    @property
    def multiplicity(self) -> int:
        return self.exponents.count(max(self.exponents))

    def llc(self, nbeta: float, localization: float) -> float:
        """nβ E[K] under exp(-nβ K - (γ/2)|w|²) by quadrature; needs γ > 0."""
        line, weights = half_line(12 / localization**0.5, fine=len(self.exponents) < 3)
        density = weights * np.exp(-0.5 * localization * line**2)
        *outer, k = self.exponents
        energy, mass = line ** (2 * k), density
        if outer:
            energy, mass = np.multiply.outer(line ** (2 * outer.pop()), energy), np.multiply.outer(density, mass)
        mean, total = 0.0, 0.0
        # The third axis is walked along: a cube of nodes would not fit in memory.
        for factor, share in zip(line ** (2 * outer[0]), density, strict=True) if outer else [(1.0, 1.0)]:
            scaled = nbeta * factor * energy
            weighted = share * mass * np.exp(-scaled)
            mean, total = mean + float((scaled * weighted).sum()), total + float(weighted.sum())
        return mean / total


def half_line(width: float, *, fine: bool = True) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Nodes and weights on [0, width], finer towards 0: Gauss-Legendre on panels whose ends grow by a factor.

    Args:
        width: end of the interval.
        fine: 640 nodes; otherwise 160, for integrals of many dimensions.
    """
    panels, order = (40, 16) if fine else (20, 8)
    ends = np.concatenate([[0], np.geomspace(1e-8, 1, panels)]) * width
    nodes, weights = np.polynomial.legendre.leggauss(order)
    half = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()
