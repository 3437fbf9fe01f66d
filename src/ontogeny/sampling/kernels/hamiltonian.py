"""Hamiltonian Monte Carlo (Duane et al. 1987) with jittered trajectories."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core import arguments
from ontogeny.sampling.kernels.mala import accept
from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.kernels.protocol import Potential, State, check_positive


@dataclass(frozen=True)
class HMC:
    """Fresh momentum, ℓ leapfrog steps of size h, then a Metropolis test; ℓ is uniform in 1 … 2 num_steps - 1.

    Exact at every step size; efficient near an acceptance of 0.8. One step costs ℓ gradients. Gradients use all
    samples, because a Metropolis test on a minibatch ignores its noise.

    Args:
        step_size: h > 0 of the leapfrog.
        num_steps: the mean of ℓ.

    References:
        Neal 2011, arXiv 1206.1901, section 3.2 (jitter) and 4.3 (acceptance).
    """

    step_size: float
    num_steps: int = 16
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size)
        arguments.whole_number("num_steps", self.num_steps, 1)

    def start(self, state: State, noise: Noise) -> dict[str, Tensor]:
        return {"accepted": torch.zeros_like(state.positions[:, 0])}

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        lengths = 1 + (noise.uniform() * (2 * self.num_steps - 1)).long()
        momentum = noise.normal(torch.empty_like(state.positions))
        kinetic = state.reductions.dot(momentum, momentum) / 2
        positions, gradients, losses = state.positions.clone(), state.gradients.clone(), state.losses
        momentum.add_(gradients, alpha=-self.step_size / 2)
        for number in range(int(lengths.max())):
            moving = (number < lengths)[:, None]  # each chain has its own length, however chains are batched
            positions.addcmul_(momentum, moving.to(momentum.dtype), value=self.step_size)
            losses = potential(positions, gradients)
            kick = moving.to(momentum.dtype) * torch.where(lengths == number + 1, 0.5, 1.0)[:, None]
            momentum.addcmul_(gradients, kick, value=-self.step_size)
        change = potential.energies(positions, losses) - potential.energies(state.positions, state.losses)
        change += state.reductions.dot(momentum, momentum) / 2 - kinetic
        accept(state, torch.exp(-change), noise, (positions, gradients, losses))

    def inflation(self, state: State, loss_gradients: Tensor, noise: Tensor | None) -> Float[Tensor, " chain"]:
        return torch.zeros_like(state.losses)

    def heat(self, state: State, noise: Tensor, other: Tensor) -> Float[Tensor, " chain"]:
        return torch.zeros_like(state.losses)
