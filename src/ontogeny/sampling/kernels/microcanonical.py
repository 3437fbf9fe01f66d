"""Microcanonical Langevin Monte Carlo (Robnik et al. 2023): momentum of constant length, turned by the gradient."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.kernels.protocol import Potential, Reductions, State, check_positive


@dataclass(frozen=True)
class MCLMC:
    """w ← w + (h/2) u;  u turned by the gradient for h;  w ← w + (h/2) u;  u ← (u + ν ξ)/|u + ν ξ|, with |u| = 1.

    With e = -∇U/|∇U| and δ = h |∇U|/(P-1): u ← (u + e (sinh δ + e·u (cosh δ - 1))) / (cosh δ + e·u sinh δ). Its
    stationary distribution of w is the posterior up to a discretisation error, which no Metropolis test removes and
    `inflation` does not estimate. Use all samples: minibatch noise heats these dynamics, and there is no friction to
    dissipate it.

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

    def start(self, state: State, noise: Noise) -> dict[str, Tensor]:
        return {"direction": _to_unit(noise.normal(torch.empty_like(state.positions)), state.reductions)}

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        direction, sums = state.memory["direction"], state.reductions
        length = sums.norm(state.gradients)[:, None].clamp(min=1e-30)
        along = -sums.dot(direction, state.gradients)[:, None] / length
        angle = self.step_size * length / max(sums.size - 1, 1)
        # divided by e^δ/2 above and below, so that no large angle overflows
        shrink = torch.exp(-2 * angle)
        factor = (1 - shrink) + along * (1 + shrink - 2 * torch.exp(-angle))
        direction.mul_(2 * torch.exp(-angle)).addcmul_(state.gradients, -factor / length)
        _to_unit(direction, sums)
        state.positions.add_(direction, alpha=self.step_size / 2)
        spread = math.sqrt(math.expm1(2 * self.step_size / self.decoherence) / sums.size)
        direction.add_(noise.normal(state.gradients), alpha=spread)
        _to_unit(direction, sums)
        state.positions.add_(direction, alpha=self.step_size / 2)
        state.evaluated = False

    def inflation(self, state: State, loss_gradients: Tensor, noise: Tensor | None) -> Float[Tensor, " chain"]:
        return torch.full_like(state.losses, math.nan)

    def heat(self, state: State, noise: Tensor, other: Tensor) -> Float[Tensor, " chain"]:
        return state.reductions.mean_product(noise, other) * (self.step_size * self.decoherence / state.reductions.size)


def _to_unit(vectors: Float[Tensor, "chain parameters"], sums: Reductions) -> Float[Tensor, "chain parameters"]:
    """Of length 1, in place."""
    return vectors.div_(sums.norm(vectors)[:, None])
