"""Microcanonical Langevin Monte Carlo (Robnik et al. 2023): momentum of constant length, turned by the gradient."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.kernels.protocol import Potential, State, check_positive


@dataclass(frozen=True)
class MCLMC:
    """w ← w + (h/2) u;  u turned by the gradient for h;  w ← w + (h/2) u;  u ← (u + ν ξ)/|u + ν ξ|, with |u| = 1.

    With e = -∇U/|∇U| and δ = h |∇U|/(P-1): u ← (u + e (sinh δ + e·u (cosh δ - 1))) / (cosh δ + e·u sinh δ). Its
    stationary law of w is the posterior up to an error of the steps, which no test removes; `inflation` does not know
    it. Use all samples: a minibatch heats this dynamics, which has no friction to shed the heat.

    Args:
        step_size: h > 0, a length in weight space: about √P times the width of the narrowest direction.
        decoherence: L > 0, the path after which the direction is forgotten; ν = √((e^(2h/L) - 1)/P).

    References:
        Robnik, De Luca, Silverstein & Seljak 2023, arXiv 2212.08549; Robnik & Seljak 2023, arXiv 2303.18221.
    """

    step_size: float
    decoherence: float
    exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size, decoherence=self.decoherence)

    def start(self, positions: Float[Tensor, "chain parameters"], noise: Noise) -> dict[str, Tensor]:
        direction = noise.normal(torch.empty_like(positions))
        return {"direction": direction.div_(direction.norm(dim=1, keepdim=True))}

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        direction, size = state.memory["direction"], state.positions.shape[1]
        length = state.gradients.norm(dim=1, keepdim=True).clamp(min=1e-30)
        along = -(direction * state.gradients).sum(1, keepdim=True) / length
        angle = self.step_size * length / max(size - 1, 1)
        # divided by e^δ/2 above and below, so that no large angle overflows
        shrink = torch.exp(-2 * angle)
        factor = (1 - shrink) + along * (1 + shrink - 2 * torch.exp(-angle))
        direction.mul_(2 * torch.exp(-angle)).addcmul_(state.gradients, -factor / length)
        direction.div_(direction.norm(dim=1, keepdim=True))
        state.positions.add_(direction, alpha=self.step_size / 2)
        spread = math.sqrt(math.expm1(2 * self.step_size / self.decoherence) / size)
        direction.add_(noise.normal(state.gradients), alpha=spread)
        direction.div_(direction.norm(dim=1, keepdim=True))
        state.positions.add_(direction, alpha=self.step_size / 2)
        state.evaluated = False

    def inflation(self, state: State, loss_gradients: Tensor, noise: Tensor | None) -> Float[Tensor, " chain"]:
        return torch.full_like(state.losses, math.nan)

    def heat(self, state: State, noise: Tensor) -> Float[Tensor, " chain"]:
        return noise.square().mean(1) * (self.step_size * self.decoherence / noise.shape[1])
