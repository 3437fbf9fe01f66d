"""The posterior exp(-n L(w)) under the prior N(0, I) itself, at many n at once, and the phases of its draws.

Replica exchange: a chain at each n makes Hamiltonian trajectories, and chains at neighbouring n exchange their places.
At small n the prior carries chains from one phase to another, at large n they find the weight that each phase has.
Every draw is brought to its nearest minimum by descent of L and recognised there.
"""

import math

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.func import grad_and_value, vmap

from ontogeny.core.seeds import generator
from ontogeny.studies.superposition_phases.config import PosteriorSizes
from ontogeny.studies.superposition_phases.polygons import FEATURES, HIDDEN, LANDMARKS, NONE, polygon, recognised
from ontogeny.testing.superposition import expected_loss

_WEIGHTS = HIDDEN * FEATURES
_ACCEPTANCE = 0.8
_RATE = 0.1  # of the adaptation of log step sizes, while rounds are dropped
_DESCENT = {"lr": 0.2, "momentum": 0.9, "steps": 800}


def sampled_phases(starts: tuple[str, str], sizes: PosteriorSizes, seed: int) -> xr.Dataset:
    """How many draws of each phase there are at each n.

    Args:
        starts: the critical points at which the first and the second half of the replicas begin.
        sizes: of the sampling.
        seed: of all that is random.

    Returns:
        `draws` (n, start, phase), with the phase "none" for minima that are no polygon; `acceptance` (n) of
        trajectories and `exchanges` (n), the share of proposed exchanges with the next larger n that were made.
    """
    ladder = np.geomspace(sizes.first, sizes.last, sizes.count)
    chains = _Ladder(torch.from_numpy(ladder), starts, sizes.replicas, generator(seed, "chains"))
    dropped, kept = sizes.rounds // 3, list[Tensor]()
    for number in range(sizes.rounds):
        for _ in range(sizes.moves):
            chains.move(adapt=number < dropped)
        chains.exchange(number % 2, count=number >= dropped)
        if number >= dropped and (number - dropped) % sizes.thinning == 0:
            kept.append(chains.positions.clone())
    draws = torch.stack(kept, dim=2)  # n, replica, draw, parameter
    phases = (*LANDMARKS, NONE)
    named = phases_of(draws.flatten(0, 2)).reshape(*draws.shape[:3])
    halves = named.reshape(len(ladder), 2, -1)
    counts = np.stack([(halves == phase).sum(axis=2) for phase in phases], axis=2)
    found = {"draws": (("n", "start", "phase"), counts)}
    found |= {"acceptance": ("n", chains.acceptance.numpy()), "exchanges": ("n", chains.exchanged())}
    return xr.Dataset(found, coords={"n": ladder, "start": list(starts), "phase": list(phases)})


def phases_of(draws: Tensor) -> np.ndarray:
    """The phase of each row of weights: what `recognised` says of the minimum that descent of L leads to."""
    positions = draws.clone().requires_grad_()
    optimizer = torch.optim.SGD([positions], lr=_DESCENT["lr"], momentum=_DESCENT["momentum"])
    for _ in range(int(_DESCENT["steps"])):
        positions.grad = _SLOPES(positions.detach())[0]
        optimizer.step()
    found = positions.detach()
    return recognised(*_parts(found), tolerance=0.02)


class _Ladder:
    """Positions (n, replica, parameter) of all chains, with loss and gradient there."""

    def __init__(self, ladder: Tensor, starts: tuple[str, str], replicas: int, source: torch.Generator) -> None:
        self._n, self._source = ladder[:, None], source
        first, second = (torch.cat([part.flatten() for part in polygon(name)]) for name in starts)
        half = max(replicas // 2, 1)
        begun = torch.cat([first.repeat(half, 1), second.repeat(half, 1)])
        self.positions = begun.repeat(len(ladder), 1, 1)
        self.losses, self._slopes = self._evaluate(self.positions)
        self._log_steps = -0.5 * torch.log(4 * ladder + 1)
        self.acceptance = torch.zeros(len(ladder), dtype=torch.float64)
        self._made, self._proposed = torch.zeros_like(self.acceptance), torch.zeros_like(self.acceptance)

    def move(self, adapt: bool) -> None:
        """One trajectory of every chain; `adapt` moves step sizes towards an acceptance of 0.8."""
        step = self._log_steps.exp()[:, None, None]
        momenta = torch.randn(self.positions.shape, generator=self._source, dtype=torch.float64)
        before = self._energy(self.positions, self.losses, momenta)
        positions, losses, slopes = self.positions, self.losses, self._slopes
        count = int(torch.randint(1, 16, (), generator=self._source))
        momenta = momenta - 0.5 * step * self._force(positions, slopes)
        for number in range(count):
            positions = positions + step * momenta
            losses, slopes = self._evaluate(positions)
            momenta = momenta - (step if number < count - 1 else 0.5 * step) * self._force(positions, slopes)
        change = before - self._energy(positions, losses, momenta)
        probability = change.clamp(max=0).exp()
        taken = torch.rand(losses.shape, generator=self._source, dtype=torch.float64) < probability
        self.positions = torch.where(taken[..., None], positions, self.positions)
        self._slopes = torch.where(taken[..., None], slopes, self._slopes)
        self.losses = torch.where(taken, losses, self.losses)
        self.acceptance = probability.mean(dim=1)
        if adapt:
            self._log_steps += _RATE * (self.acceptance - _ACCEPTANCE)

    def exchange(self, first: int, count: bool) -> None:
        """Exchange the places of chains at neighbouring n with probability exp((n - n') (L - L')), prior cancelled."""
        lower = torch.arange(first, len(self._n) - 1, 2)
        change = (self._n[lower + 1] - self._n[lower]) * (self.losses[lower + 1] - self.losses[lower])
        taken = torch.rand(change.shape, generator=self._source, dtype=torch.float64) < change.clamp(max=0).exp()
        for values in (self.positions, self._slopes, self.losses):
            low, high = values[lower], values[lower + 1]
            mask = taken[..., None] if values.ndim == 3 else taken
            values[lower], values[lower + 1] = torch.where(mask, high, low), torch.where(mask, low, high)
        if count:
            self._made[lower] += taken.double().mean(dim=1)
            self._proposed[lower] += 1

    def exchanged(self) -> np.ndarray:
        """Share of exchanges made with the next larger n; NaN at the largest."""
        return (self._made / self._proposed).numpy()

    def _energy(self, positions: Tensor, losses: Tensor, momenta: Tensor) -> Tensor:
        return self._n * losses + 0.5 * (positions.square() + momenta.square()).sum(dim=-1)

    def _force(self, positions: Tensor, slopes: Tensor) -> Tensor:
        return self._n[..., None] * slopes + positions

    def _evaluate(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        slopes, losses = _SLOPES(positions.flatten(0, 1))
        return losses.view(positions.shape[:2]), slopes.view(positions.shape)


def _loss(position: Tensor) -> Tensor:
    return expected_loss(position[:_WEIGHTS].view(HIDDEN, FEATURES), position[_WEIGHTS:])


_SLOPES = vmap(grad_and_value(_loss))


def _parts(positions: Tensor) -> tuple[Tensor, Tensor]:
    return positions[:, :_WEIGHTS].view(-1, HIDDEN, FEATURES), positions[:, _WEIGHTS:]


def log_odds(found: xr.Dataset, phases: tuple[str, str]) -> np.ndarray:
    """Log of the draws of the second phase over those of the first, at each n, with half a draw added to both."""
    first, second = (found["draws"].sum("start").sel(phase=name).values for name in phases)
    return np.log((second + 0.5) / (first + 0.5))


def sampled_crossing(found: xr.Dataset, phases: tuple[str, str]) -> float:
    """The n at which the log odds become positive for good, interpolated in log n; NaN where they do not."""
    n, odds = found["n"].values, log_odds(found, phases)
    below = np.flatnonzero(odds < 0)
    if not len(below) or below[-1] == len(n) - 1:
        return math.nan
    place = below[-1]
    share = odds[place] / (odds[place] - odds[place + 1])
    return float(np.exp(np.log(n[place]) + share * np.log(n[place + 1] / n[place])))
