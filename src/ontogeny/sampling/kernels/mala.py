"""The Metropolis-adjusted Langevin algorithm (Roberts & Tweedie 1996)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.kernels.protocol import Potential, State, check_positive


@dataclass(frozen=True)
class MALA:
    """A step of SGLD on all samples, accepted with probability min(1, p(w') q(w|w') / p(w) q(w'|w)).

    Exact at every step size; efficient near an acceptance of 0.574. Gradients use all samples, because the ratio on a
    minibatch would ignore the gradient noise.

    Args:
        step_size: ε > 0, as in `SGLD`.

    References:
        Roberts & Tweedie 1996; Roberts & Rosenthal 1998 (acceptance 0.574).
    """

    step_size: float
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size)

    def start(self, state: State, noise: Noise) -> dict[str, Tensor]:
        return {"accepted": torch.zeros_like(state.positions[:, 0])}

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        jump = noise.normal(torch.empty_like(state.positions))
        proposal = state.positions - self.step_size / 2 * state.gradients + self.step_size**0.5 * jump
        gradients = torch.empty_like(proposal)
        losses = potential(proposal, gradients)
        back = (state.positions - proposal + self.step_size / 2 * gradients) / self.step_size**0.5  # the jump back
        change = potential.energies(proposal, losses) - potential.energies(state.positions, state.losses)
        asymmetry = (state.reductions.dot(jump, jump) - state.reductions.dot(back, back)) / 2
        accept(state, torch.exp(asymmetry - change), noise, (proposal, gradients, losses))

    def inflation(self, state: State, loss_gradients: Tensor, noise: Tensor | None) -> Float[Tensor, " chain"]:
        return torch.zeros_like(state.losses)

    def heat(self, state: State, noise: Tensor, other: Tensor) -> Float[Tensor, " chain"]:
        return torch.zeros_like(state.losses)


def accept(
    state: State, probability: Float[Tensor, " chain"], noise: Noise, proposal: tuple[Tensor, Tensor, Tensor]
) -> None:
    """Move the chains whose uniform number falls below `probability` to (positions, gradients, losses)."""
    taken = noise.uniform() < probability.nan_to_num(0.0)  # a proposal that is not finite is rejected
    positions, gradients, losses = proposal
    state.positions.copy_(torch.where(taken[:, None], positions, state.positions))
    state.gradients.copy_(torch.where(taken[:, None], gradients, state.gradients))
    state.losses = torch.where(taken, losses, state.losses)
    state.memory["accepted"].copy_(probability.nan_to_num(0.0).clamp(max=1.0))
    state.evaluated = True
