"""Langevin dynamics preconditioned by running gradient squares (Li et al. 2016)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core import arguments
from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.kernels.protocol import Potential, State, check_positive


@dataclass(frozen=True)
class RMSPropSGLD:
    """v ← b v + (1-b) (s ∇U_B)²;  w ← w - (ε/2) G ∇U_B + √(ε G) ξ,  G = 1/(√v̂ + a), v̂ = v/(1 - bᵗ).

    G changes along the chain, but the correction for that, its divergence, is left out, as is usual in this literature.
    The resulting bias is of order 1-b, and `inflation` does not see it. ∇U_B includes the pull to the center.

    Args:
        step_size: ε > 0, in units of √v̂: not comparable with the ε of SGLD.
        decay: b in (0, 1).
        stability: a > 0; large values approach SGLD with ε/a.
        gradient_scale: s; 1/nβ keeps v in units of the loss, as other implementations do.

    References:
        Li et al. 2016, arXiv 1512.07666, algorithm 1.
    """

    step_size: float
    decay: float = 0.99
    stability: float = 0.1
    gradient_scale: float = 1.0
    exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size, stability=self.stability, gradient_scale=self.gradient_scale)
        arguments.between_0_and_1("decay", self.decay)

    def start(self, state: State, noise: Noise) -> dict[str, Tensor]:
        return {"square": torch.zeros_like(state.positions), "weight": torch.zeros_like(state.positions[:, :1])}

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        square, weight = state.memory["square"], state.memory["weight"]
        gain = (1 - self.decay) * self.gradient_scale**2
        square.mul_(self.decay).addcmul_(state.gradients, state.gradients, value=gain)
        weight.mul_(self.decay).add_(1 - self.decay)
        metric = self._metric(state)
        state.positions.addcmul_(state.gradients, metric, value=-self.step_size / 2)
        state.positions.addcmul_(noise.normal(state.gradients), metric.sqrt_(), value=self.step_size**0.5)
        state.evaluated = False

    def inflation(self, state: State, loss_gradients: Tensor, noise: Tensor | None) -> Float[Tensor, " chain"]:
        return self.step_size / 8 * state.reductions.dot(state.gradients * self._metric(state), loss_gradients)

    def heat(self, state: State, noise: Tensor, other: Tensor) -> Float[Tensor, " chain"]:
        return self.step_size / 4 * state.reductions.mean_product(noise * self._metric(state), other)

    def _metric(self, state: State) -> Tensor:
        weight = state.memory["weight"].clamp(min=1e-12)  # 0 before the first step
        return (state.memory["square"] / weight).sqrt_().add_(self.stability).reciprocal_()
