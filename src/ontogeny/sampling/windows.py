"""The windows of a calibration: what chains meet on their first steps, and what is set from it."""

import math

import numpy as np
import torch
from torch import Tensor

from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.sampling.allowance import FRICTION, Allowance, Balance
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.curvature import Curvature
from ontogeny.sampling.descent import descend
from ontogeny.sampling.kernels import SGHMC
from ontogeny.sampling.loop import evaluate_halves
from ontogeny.sampling.posterior import LocalPosterior

# Chosen on deep linear networks of 100 to 10,000 parameters, as were the numbers of `allowance`.
REACH = 0.7  # step times the largest frequency met; 2 is where a quadratic becomes unstable
HOT, HEAT = 2, (2.0, 9.0)  # the window in which chains are heated, so that soft directions are reached sooner; how far:
MIXED = 0.7  # equipartition at which the lesser heat is enough, and the greater may drive a chain into another basin
_PRIOR = 10  # gradients that the mean mass of a tensor counts for in that of each of its parameters


class Search:
    """The state of a calibration."""

    def __init__(self, posterior: LocalPosterior, seed: int, num_chains: int, allowance: Allowance) -> None:
        self.seed, self.num_chains, self.allowance = seed, num_chains, allowance
        self.first = posterior.at(batch_size=allowance.first)
        self.spent = 0
        order = generator(seed, "curvature")
        self.curvature = Curvature(posterior, order, allowance.curvature)
        self.rows: list[dict[str, float]] = []
        self.traces: list[np.ndarray] = []
        self.mass = self.curvature.diagonal(probes=8)
        self.thrown = [0, 0]  # attempts that ended in the first window, where curvature is not known yet, and later
        self.decrease = math.nan
        if allowance.descent:
            self.decrease, self.spent = descend(
                posterior.at(batch_size=allowance.descent), self.mass.rsqrt(), self.curvature, seed
            )

    def begin(self) -> None:
        """Chains at w*, at a step that the curvature at w* allows, shorter after attempts that failed."""
        self.reach = REACH / 3 ** self.thrown[0]
        self.balance = Balance(self.allowance.first, FRICTION[0], 1.0)
        self.scale = self.mass.rsqrt()
        # a singular center is flat where its surroundings are not
        met = [self._met(place, iterations=10) for place in (self.first.center, self.curvature.displaced())]
        self.largest = max([each for each in met if math.isfinite(each)], default=1.0)
        self.failed = False
        self._restart(self.first, None)

    def window(self, number: int, progress: Progress) -> bool:
        """Some steps; whether all chains stayed finite. Afterwards mass and batch are set anew."""
        squares, count, virials = torch.zeros_like(self.scale), 0, []
        for step in range(self.allowance.windows[number]):
            if step % (5 if number == 0 else 20) == 0:
                position = self.chains.positions[len(self.rows) // 20 % self.num_chains]
                self._bound_step(self._met(position, iterations=3))
            for losses, gradients, virial in self._step():
                if not self._finite(losses):
                    self.failed = True
                    self.thrown[min(number, 1)] += 1
                    return False
                squares += gradients
                virials.append(virial)
                count += self.num_chains if self.chains.engine else 1
            progress.advance("calibrating")
        self.rows[-1]["inflation"] = share = self._inflation()
        self.reach = min(3 * self.reach, REACH / 3 ** self.thrown[1])
        if number == HOT:
            self._measure_anew()
            self._restart(self._at_balance(), self.chains.positions)
        elif number < len(self.allowance.windows) - 1:
            self._set_mass(squares / count, count)
            self._set_balance(share)
            mixed = sum(virials[len(virials) // 2 :]) / len(virials[len(virials) // 2 :]) > MIXED
            heat = HEAT[0 if mixed else 1] if number == HOT - 1 else 1.0
            self._restart(self._at_balance(heat), self.chains.positions)
        return True

    def _step(self) -> list[tuple[Tensor, Tensor, float]]:
        """One step; of each block losses, summed squares of gradients, and (w - w*)·∇U/P where it began."""
        chains, found = self.chains, []
        trace = np.full(self.num_chains, np.nan)
        for (block, state), potential in zip(chains.blocks(), chains.potentials(chains.batches()), strict=True):
            chains.evaluate(state, potential)
            trace[block] = self.first.nbeta * state.losses.cpu().numpy()
            virial = ((state.positions - self.first.center) * state.gradients).sum() / state.positions.numel()
            found.append((state.losses.clone(), state.gradients.square().sum(0), float(virial)))
            chains.step(block, state, potential)
        self.traces.append(trace)
        self.rows.append(
            {
                "step_size": chains.kernel.step_size,
                "batch_size": chains.posterior.batch_size,
                "curvature": self.largest,
            }
        )
        return found

    def _finite(self, losses: Tensor) -> bool:
        """Whether losses are finite, and not such as only a chain that is being thrown out has."""
        return bool((self.first.nbeta * losses < 100 * self.first.num_parameters + 1000).all())

    def _met(self, position: Tensor, iterations: int) -> float:
        found = self.curvature.largest(position, self.scale, iterations)
        return found if found > 0 else math.nan

    def _bound_step(self, met: float) -> None:
        self.largest = float(np.nanmax([self.largest, met, 1e-12]))
        self.chains.kernel = self._kernel(self.chains.posterior)

    def _kernel(self, posterior: LocalPosterior) -> SGHMC:
        heat = self.first.nbeta / posterior.nbeta if posterior.nbeta else 1.0
        step_size = self.balance.shrink * self.reach / math.sqrt(self.largest / heat)
        return SGHMC(step_size, self.balance.friction, self.scale)

    def _restart(self, posterior: LocalPosterior, positions: Tensor | None) -> None:
        """Chains with fresh momentum at the same places; what was spent stays counted."""
        if hasattr(self, "chains"):
            self.spent += self.chains.gradient_evaluations
            if self.chains.control_variate:
                self.spent -= posterior.samples.stored  # the pass over all samples at w* is taken once, and kept
        seed = derive(self.seed, "window", len(self.rows))
        options = {"control_variate": self.allowance.control_variate, "start": positions}
        self.chains = Chains(posterior, self._kernel(posterior), self.num_chains, seed, **options)

    def _inflation(self) -> float:
        """What minibatch noise adds to the value, as a share of its last mean."""
        if self.chains.posterior.full_batch:
            return 0.0
        values = []
        for (_, state), potential in zip(
            self.chains.blocks(), self.chains.potentials(self.chains.batches()), strict=True
        ):
            both = evaluate_halves(self.chains, state, potential)
            values.append(self.chains.kernel.inflation(state, state.gradients, both.noise))
            self.chains.gradient_evaluations += potential.spent
            state.evaluated = False
        recent = np.mean(self.traces[-self.allowance.windows[0] :])
        return float(torch.cat(values).mean()) / max(abs(float(recent)), 1e-3)

    def _set_mass(self, squares: Tensor, count: int) -> None:
        means = torch.cat([part.mean().expand(len(part)) for part in squares.split(self.first.sizes)])
        mass = (squares * count + means * _PRIOR) / (count + _PRIOR)
        self.scale = mass.clamp(min=max(self.first.localization, float(mass.mean()) * 1e-6, 1e-12)).rsqrt()
        self._measure_anew()

    def _measure_anew(self) -> None:
        found = self._met(self.chains.positions[0], iterations=12)
        self.largest = found if math.isfinite(found) else 1.0

    def _set_balance(self, share: float) -> None:
        posterior = self.chains.posterior
        if not posterior.full_batch:
            self.balance = self.allowance.balance(share, self.balance, posterior.samples.stored)

    def _at_balance(self, heat: float = 1.0) -> LocalPosterior:
        return self.first.at(batch_size=self.balance.batch_size, nbeta=self.first.nbeta / heat)
