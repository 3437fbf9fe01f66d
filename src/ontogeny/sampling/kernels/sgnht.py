"""Stochastic gradient Nosé-Hoover thermostat (Ding et al. 2014): underdamped Langevin with adaptive friction."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.kernels.protocol import Potential, State, check_positive


@dataclass(frozen=True)
class SGNHT:
    """SGHMC whose friction ξ follows the kinetic energy: ξ ← ξ + h (|p|²/P - 1)/μ, so that the mean of |p|²/P is 1.

    p ← p - h ∇U_B;  w ← w + (h/2) p;  ξ half a step;  p ← e^(-ξh) p + noise of variance A(1 - e^(-2ξh))/ξ;
    ξ half a step;  w ← w + (h/2) p (the symmetric splitting BADODAB).

    The thermostat removes only minibatch heating that is equal in all directions. If gradient noise differs between
    directions, stiff ones stay too hot and flat ones too cold. `inflation` is therefore unknown and left NaN. Use few
    parameters, or SGHMC, whose inflation is known.

    Args:
        step_size: h > 0.
        friction: A · h, the injected noise, and the value at which ξ starts.
        inertia: μ > 0, how slowly ξ moves.

    References:
        Ding et al. 2014 (NeurIPS); Leimkuhler & Shang 2016, arXiv 1505.06889 (splitting).
    """

    step_size: float
    friction: float = 0.05
    inertia: float = 1.0
    exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size, friction=self.friction, inertia=self.inertia)

    def start(self, state: State, noise: Noise) -> dict[str, Tensor]:
        rate = torch.full_like(state.positions[:, :1], self.friction / self.step_size)
        return {"momentum": noise.normal(torch.empty_like(state.positions)), "thermostat": rate}

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        momentum, rate, half = state.memory["momentum"], state.memory["thermostat"], self.step_size / 2
        momentum.add_(state.gradients, alpha=-self.step_size)
        state.positions.add_(momentum, alpha=half)
        self._heat_up(rate, state.reductions.mean_product(momentum, momentum))
        double = 2 * rate * self.step_size
        # (1 - e^-2ξh)/ξ, whose limit at ξ = 0 is 2h; ξ may be negative for a while
        still = double.abs() < 1e-6
        spread = torch.where(still, 2 * self.step_size, -torch.expm1(-double) / torch.where(still, 1.0, rate))
        momentum.mul_(torch.exp(-double / 2))
        momentum.addcmul_(noise.normal(state.gradients), (self.friction / self.step_size * spread).sqrt())
        self._heat_up(rate, state.reductions.mean_product(momentum, momentum))
        state.positions.add_(momentum, alpha=half)
        state.evaluated = False

    def _heat_up(self, rate: Tensor, temperature: Float[Tensor, " chain"]) -> None:
        rate.add_((temperature - 1)[:, None], alpha=self.step_size / 2 / self.inertia)

    def inflation(self, state: State, loss_gradients: Tensor, noise: Tensor | None) -> Float[Tensor, " chain"]:
        return torch.full_like(state.losses, math.nan)

    def heat(self, state: State, noise: Tensor, other: Tensor) -> Float[Tensor, " chain"]:
        return state.reductions.mean_product(noise, other) * (self.step_size**2 / (2 * self.friction))
