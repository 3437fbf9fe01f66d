"""The windows of a calibration: statistics of the chains' first steps, and the settings derived from them."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.sampling.allowance import Allowance, Balance
from ontogeny.sampling.chains import BatchPotential, Chains
from ontogeny.sampling.curvature import Curvature
from ontogeny.sampling.descent import Descent, descend
from ontogeny.sampling.kernels import SGHMC, State
from ontogeny.sampling.loop import Controller, evaluate_halves, run
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.tuning import TUNING


class Search:
    """The state of a calibration.

    Args:
        posterior, seed, num_chains: see `calibrate`.
        allowance: the cost limits.
        resolution: complexity below which noise is not reduced any further.
        mass: squared inverse scale of each weight from a nearby calibration, if there is one. The windows that would
            find it from scratch are then skipped.
    """

    def __init__(
        self,
        posterior: LocalPosterior,
        seed: int,
        num_chains: int,
        allowance: Allowance,
        resolution: float,
        mass: Tensor | None = None,
    ) -> None:
        self.seed, self.num_chains, self.resolution = seed, num_chains, resolution
        self.spent = 0
        order = generator(seed, "curvature")
        self.curvature = Curvature(posterior, order, allowance.curvature)
        self.rows: list[dict[str, float]] = []
        self.traces: list[np.ndarray] = []
        self.windows = (
            range(len(allowance.windows)) if mass is None else range(TUNING.tempered_window + 1, len(allowance.windows))
        )
        self.mass = self.curvature.diagonal(probes=8) if mass is None else mass
        self.allowance = allowance.with_control(posterior, self.mass, seed)
        self.spent += self.allowance.noise_samples
        self.first = posterior.at(batch_size=self.allowance.first)
        self.diverged = [0, 0]  # failed attempts: in the first window, and later
        self.descent = self._descend(posterior)

    def _descend(self, posterior: LocalPosterior) -> Descent:
        allowed = self.allowance
        if allowed.control_variate and not posterior.full_batch and not posterior.center_gradient_known:
            posterior.center_gradient()
            self.spent += posterior.samples.stored
        there, scale = posterior.at(batch_size=allowed.descent), self.mass.rsqrt()
        found = descend(there, scale, self.seed, allowed.descent_iterations, allowed.descent_whole)
        length = there.layout.norm
        if float(length(found.position - there.center)) > TUNING.bounded * (1 + float(length(there.center))):
            # U has no minimum: chains that begin there diverge at once.
            found = replace(found, position=torch.full_like(found.position, math.nan))
        self.spent += found.gradient_evaluations
        return found

    def begin(self) -> None:
        """Start chains at the minimum that the descent found.

        The step size is what the curvature there allows, and shorter after failed attempts.
        """
        self.reach = TUNING.reach / 3 ** self.diverged[0]
        self.balance = Balance(self.allowance.first, TUNING.friction[0], 1.0)
        self.scale = _usable(self.mass.rsqrt())
        # a singular center is flat where its surroundings are not
        places = (
            [self.descent.position, self.curvature.displaced()] if self.windows[0] == 0 else [self.descent.position]
        )
        found = [self._curvature_at(place, iterations=10) for place in places]
        self.largest = max([each for each in found if math.isfinite(each)], default=1.0)
        self.failed = False
        start = self.descent.position.repeat(self.num_chains, 1)
        self._restart(self.first, start)

    def window(self, number: int, progress: Progress) -> bool:
        """Run chains through a window and update mass and batch size. Returns whether all chains stayed finite."""
        seen = _Window(self, every=5 if number == 0 else 20)
        run(self.chains, self.allowance.windows[number], seen, progress, "calibrating")
        share = math.nan if seen.failed else self._inflation(number)
        if not math.isfinite(share):  # noise is none where gradients are not
            self.failed = True
            self.diverged[min(number, 1)] += 1
            return False
        self.rows[-1]["inflation"] = share
        self.reach = min(3 * self.reach, TUNING.reach / 3 ** self.diverged[1])
        if number == TUNING.tempered_window:
            self._measure_anew()
            self._restart(self._at_balance(), self.chains.positions)
        elif number < len(self.allowance.windows) - 1:
            self._set_mass(seen.squares / seen.count, seen.count)
            self._set_balance(share)
            self._restart(self._at_balance(self._temperature(number + 1, seen)), self.chains.positions)
        return True

    def bound_step(self, position: Tensor) -> None:
        """Shorten the step where curvature has grown."""
        self.largest = float(np.nanmax([self.largest, self._curvature_at(position, iterations=3), 1e-12]))
        self.chains.kernel = self._kernel(self.chains.posterior)

    def finite(self, losses: Tensor) -> bool:
        """Whether all losses are finite and below 100 P + 1000 nats; beyond that a chain is diverging."""
        most = 100 * self.first.num_parameters + 1000
        return bool((losses.isfinite() & (self.first.nbeta * losses < most)).all())

    def _curvature_at(self, position: Tensor, iterations: int) -> float:
        found = self.curvature.largest(position, self.scale, iterations)
        return found if found > 0 else math.nan

    def _kernel(self, posterior: LocalPosterior) -> SGHMC:
        temperature = self.first.nbeta / posterior.nbeta if posterior.nbeta else 1.0
        step_size = self.balance.shrink * self.reach / math.sqrt(self.largest / temperature)
        return SGHMC(step_size, self.balance.friction, self.scale)

    def _restart(self, posterior: LocalPosterior, positions: Tensor | None) -> None:
        """Restart chains at the same positions with fresh momentum. Gradients spent remain counted."""
        if hasattr(self, "chains"):
            self.spent += self.chains.gradient_evaluations
        seed = derive(self.seed, "window", len(self.rows))
        options = {"control_variate": bool(self.allowance.control_variate), "start": positions}
        self.chains = Chains(posterior, self._kernel(posterior), self.num_chains, seed, **options)

    def _inflation(self, number: int) -> float:
        """What minibatch noise adds to the value, as a share of the latest mean complexity.

        Far from w* a control variate adds more noise than it removes. It is then given up.
        """
        if self.chains.posterior.full_batch:
            return 0.0
        values, without = [], []
        for (_, state), potential in zip(
            self.chains.groups(), self.chains.potentials(self.chains.batches()), strict=True
        ):
            both = evaluate_halves(self.chains, state, potential)
            inflation = partial(self.chains.kernel.inflation, state, state.gradients)
            values.append(inflation(both.noise))
            without.append(inflation(both.noise if both.control is None else both.noise - both.control))
            self.chains.gradient_evaluations += potential.spent
            state.evaluated = False
        recent = self.traces[-max(self.allowance.windows[0], self.allowance.windows[number] // 2) :]
        complexity = float(np.mean(recent)) + self.descent.value
        added, bare = (float(torch.cat(each).mean()) for each in (values, without))
        if bare < added and number != TUNING.tempered_window:
            self.allowance, added = replace(self.allowance, control_variate=False), bare
        return added / max(abs(complexity), self.resolution)

    def _set_mass(self, squares: Tensor, count: int) -> None:
        layout = self.first.layout
        means = layout.part_means(squares)
        mass = (squares * count + means * TUNING.mass_prior) / (count + TUNING.mass_prior)
        self.scale = _usable(
            mass.clamp(min=max(self.first.localization, float(layout.mean(mass)) * 1e-6, 1e-12)).rsqrt()
        )
        self._measure_anew()

    def _measure_anew(self) -> None:
        found = self._curvature_at(self.chains.positions[0], iterations=12)
        self.largest = found if math.isfinite(found) else 1.0

    def _set_balance(self, share: float) -> None:
        posterior = self.chains.posterior
        if not posterior.full_batch:
            self.balance = self.allowance.balance(share, self.balance, posterior.samples.stored)

    def _temperature(self, number: int, before: "_Window") -> float:
        """The temperature of a window, from whether chains mixed in the previous one."""
        late = before.virials[len(before.virials) // 2 :]
        mixed, unmixed = TUNING.temperatures
        if number != TUNING.tempered_window:
            return 1.0
        return mixed if sum(late) / len(late) > TUNING.mixed else unmixed

    def _at_balance(self, temperature: float = 1.0) -> LocalPosterior:
        return self.first.at(batch_size=self.balance.batch_size, nbeta=self.first.nbeta / temperature)


def _usable(scale: Tensor) -> Tensor:
    """Replace entries that are not finite and positive by 1: those chains diverge, an outcome and not an error."""
    return torch.where(scale.isfinite() & (scale > 0), scale, 1.0)


class _Window(Controller):
    """Statistics of one window: losses, mean squares of gradients, and the virial (w - w*)·∇U/P."""

    paired = True

    def __init__(self, search: Search, every: int) -> None:
        self._search, self._every = search, every
        self.squares, self.count, self.virials = torch.zeros_like(search.scale), 0, list[float]()
        self.failed = False

    def before_step(self, chains: Chains, step: int) -> None:
        search = self._search
        if step % self._every == 0:
            search.bound_step(chains.positions[len(search.rows) // 20 % len(chains)])
        search.traces.append(np.full(len(chains), np.nan))
        search.rows.append(
            {
                "step_size": chains.kernel.step_size,
                "batch_size": chains.posterior.batch_size,
                "curvature": search.largest,
            }
        )

    def evaluated(self, chains: Chains, group: list[int], state: State, potential: BatchPotential) -> None:
        search = self._search
        search.traces[-1][group] = search.first.nbeta * state.losses.cpu().numpy()
        self.failed |= not search.finite(state.losses)
        self.squares += state.gradients.square().sum(0)
        virial = state.reductions.dot(state.positions - search.first.center, state.gradients) / state.reductions.size
        self.virials.append(float(virial.mean()))
        self.count += len(group)

    def goes_on(self, chains: Chains) -> bool:
        return not self.failed
