"""Stochastic gradient Hamiltonian Monte Carlo (Chen et al. 2014): underdamped Langevin dynamics, split as BAOAB."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.kernels.protocol import Potential, State, check_each_positive, check_positive


@dataclass(frozen=True)
class SGHMC:
    """p ← p - h s∇U_B(w);  w ← w + (h/2) s p;  p ← a p + √(1-a²) ξ;  w ← w + (h/2) s p,  a = exp(-friction).

    One gradient per step. On a quadratic this cyclic order of BAOAB samples w exactly at every stable step h < 2/ω,
    where ω² is the largest curvature of s ∇²U s. Non-quadratic terms leave an error of order h². Momentum crosses soft
    directions in √κ steps where overdamped Langevin needs κ. A minibatch gradient of covariance S heats a direction of
    curvature ω² by (h²/4) s²S coth(friction/2) / (1 - h²ω²/4). `inflation` is half of the sum, without the last factor.

    Args:
        step_size: h > 0. One step from fresh momentum is a step of SGLD with ε = h².
        friction: momentum damping per step, γ_friction · h; 0.03 to 0.1 suits unknown targets.
        scale: s = M^-½ for a fixed mass M, one positive number per weight (ideally the curvature of U to the power -½);
            default 1.

    Raises:
        InvalidArgument: unless both numbers are finite and > 0.

    References:
        Chen, Fox & Guestrin 2014, arXiv 1402.4102; Leimkuhler & Matthews 2013, arXiv 1203.5428 (BAOAB).
    """

    step_size: float
    friction: float = 0.05
    scale: Float[Tensor, " parameters"] | None = field(default=None, repr=False, compare=False)
    exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size, friction=self.friction)
        if self.scale is not None:
            check_each_positive(scale=self.scale)

    def start(self, state: State, noise: Noise) -> dict[str, Tensor]:
        return {"momentum": noise.normal(torch.empty_like(state.positions))}

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        momentum, half = state.memory["momentum"], self.step_size / 2
        self._add(momentum, state.gradients, -self.step_size)
        self._add(state.positions, momentum, half)
        momentum.mul_(math.exp(-self.friction))
        momentum.add_(noise.normal(state.gradients), alpha=math.sqrt(-math.expm1(-2 * self.friction)))
        self._add(state.positions, momentum, half)
        state.evaluated = False

    def inflation(self, state: State, loss_gradients: Tensor, noise: Tensor | None) -> Float[Tensor, " chain"]:
        if noise is None:
            return torch.full_like(state.losses, math.nan)
        return self.heat(state, noise, noise) * (state.reductions.size / 2)

    def heat(self, state: State, noise: Tensor, other: Tensor) -> Float[Tensor, " chain"]:
        first, second = (each if self.scale is None else each * self.scale for each in (noise, other))
        return state.reductions.mean_product(first, second) * (self.step_size**2 / (4 * math.tanh(self.friction / 2)))

    def _add(self, to: Tensor, vector: Tensor, factor: float) -> None:
        if self.scale is None:
            to.add_(vector, alpha=factor)
        else:
            to.addcmul_(vector, self.scale, value=factor)
