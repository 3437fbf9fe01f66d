"""Hamiltonian Monte Carlo over all data in float64: slow and exact, to make the values that samplers are held against.

Nothing is shared with `ontogeny.sampling`, so that an error there cannot hide here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad_and_value, vmap

from ontogeny.testing.curvature import FlatLoss

# positions (chain, parameters) -> nβ (L(w) - L(w*)) (chain,) and its gradient (chain, parameters)
Potential = Callable[[Tensor], tuple[Tensor, Tensor]]

_ACCEPTANCE = 0.8


@dataclass(frozen=True)
class Trace:
    """What is left of a run, warm-up dropped.

    Attributes:
        energies: nβ (L(w) - L(w*)).
        acceptance: mean probability of acceptance.
        step_size: of the leapfrog steps; gradients: evaluations over all data, of all chains.
    """

    energies: Float[np.ndarray, "chain draw"]
    acceptance: float
    step_size: float
    gradients: int


def run_hmc(
    potential: Potential,
    center: Float[Tensor, " parameters"],
    localization: float,
    *,
    num_chains: int = 4,
    num_draws: int = 400,
    num_leapfrogs: int = 128,
    seed: int = 0,
) -> Trace:
    """Draw from exp(-nβ (L - L*) - (γ/2)|w - w*|²), every chain from w*.

    Half as many trajectories as draws come first and are dropped. In them the step size is set by dual averaging to an
    acceptance of 0.8, begun afresh half-way, when the chains have left w*. The mean length of a trajectory is the time
    1/√γ, in which the softest directions turn, unless that takes more than `num_leapfrogs` steps.

    Args:
        potential: nβ (L(w) - L(w*)) and its gradient at rows of weights.
        center: w*, in float64.
        localization: γ > 0.
        num_chains, num_draws: chains, and draws of each after the warm-up.
        num_leapfrogs: most mean steps of a trajectory; lengths are uniform up to twice the mean.
        seed: of momenta, lengths and acceptances.

    References:
        Hoffman and Gelman, "The No-U-Turn sampler", JMLR 15, 2014, section 3.2, for dual averaging.
    """
    chains = _Chains(potential, center, localization, num_chains, seed)
    warmup, lengths = num_draws // 2, np.random.default_rng(seed)
    adaptation = _DualAveraging(chains.first_step_size())
    energies: list[Tensor] = []
    accepted = 0.0
    for iteration in range(-warmup, num_draws):
        if iteration == -(warmup // 2):
            adaptation = _DualAveraging(adaptation.averaged)
        step_size = adaptation.current if iteration < 0 else adaptation.averaged
        mean_steps = max(1, min(num_leapfrogs, round(1 / (step_size * math.sqrt(localization)))))
        acceptance = chains.advance(step_size, int(lengths.integers(1, 2 * mean_steps)))
        if iteration < 0:
            adaptation.update(acceptance)
        else:
            energies.append(chains.energies)
            accepted += acceptance / num_draws
    return Trace(torch.stack(energies, dim=1).numpy(), accepted, adaptation.averaged, chains.gradients)


def tempered(loss: FlatLoss, nbeta: float) -> Potential:
    """nβ (L(w) - L(w*)) over all data and its gradient, for any loss."""
    baseline, both = loss(loss.center), vmap(grad_and_value(loss))

    def potential(positions: Tensor) -> tuple[Tensor, Tensor]:
        gradients, values = both(positions)
        return nbeta * (values - baseline), nbeta * gradients

    return potential


class _Chains:
    """Positions of all chains, with the energy and the gradient of U = energy + (γ/2)|w - w*|² there."""

    def __init__(self, potential: Potential, center: Tensor, localization: float, num_chains: int, seed: int) -> None:
        self.potential, self.center, self.localization = potential, center.double(), localization
        self.source = torch.Generator().manual_seed(seed)
        self.gradients = 0
        self.positions = self.center.repeat(num_chains, 1)
        self.energies, self.slopes = self._evaluate(self.positions)

    def first_step_size(self) -> float:
        """The largest power of two at which a single step is more likely than not to be accepted."""
        step_size = 1.0
        while step_size > 1e-12 and not self._propose(step_size, 1)[0].mean() > 0.5:
            step_size /= 2
        return step_size

    def advance(self, step_size: float, steps: int) -> float:
        """One trajectory of every chain, and the mean probability of acceptance."""
        probability, positions, energies, slopes = self._propose(step_size, steps)
        taken = torch.rand(len(energies), generator=self.source, dtype=torch.float64) < probability
        self.positions = torch.where(taken[:, None], positions, self.positions)
        self.slopes = torch.where(taken[:, None], slopes, self.slopes)
        self.energies = torch.where(taken, energies, self.energies)
        return float(probability.mean())

    def _propose(self, step_size: float, steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        momenta = torch.randn(self.positions.shape, generator=self.source, dtype=torch.float64)
        before = self._hamiltonian(self.positions, self.energies, momenta)
        positions, energies, slopes = self.positions, self.energies, self.slopes
        momenta = momenta - 0.5 * step_size * slopes
        for step in range(steps):
            positions = positions + step_size * momenta
            energies, slopes = self._evaluate(positions)
            momenta = momenta - (step_size if step < steps - 1 else 0.5 * step_size) * slopes
        change = before - self._hamiltonian(positions, energies, momenta)
        return change.clamp(max=0).exp().nan_to_num(0.0), positions, energies, slopes

    def _hamiltonian(self, positions: Tensor, energies: Tensor, momenta: Tensor) -> Tensor:
        held = self.localization * (positions - self.center).square().sum(dim=1)
        return energies + 0.5 * (held + momenta.square().sum(dim=1))

    def _evaluate(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        energies, gradients = self.potential(positions)
        self.gradients += len(positions)
        return energies, gradients + self.localization * (positions - self.center)


class _DualAveraging:
    """Step sizes for an acceptance of 0.8, with the constants of the paper."""

    def __init__(self, first: float) -> None:
        self._anchor, self._gap, self._count = math.log(10 * first), 0.0, 0
        self.current, self._log_averaged = first, math.log(first)

    def update(self, acceptance: float) -> None:
        self._count += 1
        self._gap += (_ACCEPTANCE - acceptance - self._gap) / (self._count + 10)
        log_current = self._anchor - math.sqrt(self._count) / 0.05 * self._gap
        self.current = math.exp(log_current)
        self._log_averaged += self._count**-0.75 * (log_current - self._log_averaged)

    @property
    def averaged(self) -> float:
        return math.exp(self._log_averaged)
