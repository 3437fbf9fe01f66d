"""A sampler that sets itself: mass, step and batch from what the chains meet on their first steps."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.sampling.allowance import FRICTION, Allowance, Balance, allow
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.curvature import Curvature
from ontogeny.sampling.descent import descend
from ontogeny.sampling.kernels import SGHMC
from ontogeny.sampling.loop import as_progress, evaluate_halves
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.spectrum import spectrum

# Chosen on deep linear networks of 100 to 10,000 parameters, as were the numbers of `allowance`.
REACH = 0.7  # step times the largest frequency met; 2 is where a quadratic becomes unstable
HOT, HEAT = 2, (2.0, 9.0)  # the window in which chains are heated, so that soft directions are reached sooner; how far:
MIXED = 0.7  # equipartition at which the lesser heat is enough, and the greater may drive a chain into another basin
_PRIOR = 10  # gradients that the mean mass of a tensor counts for in that of each of its parameters
_RETRIES = 6


@dataclass(frozen=True)
class Calibration:
    """A sampler for one posterior, and what it was chosen from.

    Attributes:
        kernel, batch_size, control_variate, num_chains: what to sample with.
        largest_batch: samples that a batch may have.
        outcome, advice: `CONVERGED`, or why the calibration refuses and what to change.
        decrease: nβ (L(w*) - L) that some steps of descent from the center found: 0 at a minimum, of the order of the
            value over log n at weights whose data carry noise; NaN where a budget did not allow to look.
        quadratic, withheld: of the quadratic loss that the curvature at w* would make (`spectrum`), the value at γ, and
            the share that γ takes from that at a thousandth of γ, a lower bound unless the spectrum is `complete`; NaN
            where it is not known.
        gradient_evaluations: per-sample gradients that it took.
        evidence: Dataset over `step`: loss difference of each chain, step size, batch size, largest
            curvature (in the coordinates of the mass) and inflation by minibatch noise, NaN where not measured.
        positions: where the chains stand, to go on from.
    """

    kernel: SGHMC
    batch_size: int
    control_variate: bool
    num_chains: int
    largest_batch: int
    outcome: Outcome
    advice: str
    decrease: float
    quadratic: float
    withheld: float
    complete: bool
    gradient_evaluations: int
    evidence: xr.Dataset = field(repr=False)
    positions: Float[Tensor, "chain parameters"] = field(repr=False)


def calibrate(
    posterior: LocalPosterior,
    seed: int = 0,
    *,
    num_chains: int = 4,
    budget: int | None = None,
    fixed_batch: bool = False,
    progress: Progress | bool = False,
) -> Calibration:
    """Choose mass, step, batch and control variate for underdamped Langevin dynamics (`SGHMC`) on a posterior.

    Chains start at w* and are stepped through windows. In each, the step is 0.7 over the largest frequency met so far
    along them (power iteration on differences of gradients). After each, the mass becomes the mean square of gradients,
    which at stationarity is the mean curvature (E[∇U∇Uᵀ] = E[∇²U]), shrunk towards the mean of its tensor; and
    friction, step and batch become those at which minibatch noise, measured on halves of batches, adds 3 % to the
    value, all samples if that is more than half of them. Minibatch gradients are corrected by those at w*. In one
    window chains are twice as hot, nine times where equipartition shows that they have not mixed, so that soft
    directions are reached sooner; the last two bring them back, and what is sampled has the caller's nβ and γ.
    Deterministic given the seed.

    Args:
        posterior: what is to be sampled; its batch size counts only if fixed.
        seed: root of the seed tree.
        num_chains: chains.
        budget: per-sample gradients of the whole estimate, of which the windows take up to a fifth beside the pass at
            w*; below twice the data gradients are not corrected by those at w*, below 100,000 w* is not checked.
        fixed_batch: keep the posterior's batch size, and bring noise down by smaller steps and more friction.
        progress: a `Progress`, or True for a bar in the terminal.

    Returns:
        The calibration, or one whose outcome says why it refuses: chains that leave the finite numbers at the smallest
        step tried.
    """
    reporter = as_progress(progress)
    search = _Search(posterior, seed, num_chains, allow(posterior, num_chains, budget, fixed_batch))
    reporter.start("calibrating", sum(search.allowance.windows))
    for _ in range(_RETRIES):
        search.begin()
        if all(search.window(number, reporter) for number in range(len(search.allowance.windows))):
            break
    reporter.finish("calibrating")
    return search.result()


class _Search:
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
        places = (
            self.first.center,
            self.curvature.displaced(),
        )  # a singular center is flat where its surroundings are not
        met = [self._met(place, iterations=10) for place in places]
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

    def result(self) -> Calibration:
        chains, outcome = self.chains, Outcome.DIVERGED if self.failed else Outcome.CONVERGED
        quadratic, withheld, complete = self._quadratic()
        names = ("step_size", "batch_size", "curvature", "inflation")
        columns = {name: np.array([float(row.get(name, math.nan)) for row in self.rows]) for name in names}
        traces = np.array(self.traces)
        evidence = xr.Dataset(
            {"loss_difference": (("step", "chain"), traces / self.first.nbeta), "nbeta": self.first.nbeta}
            | {name: ("step", column) for name, column in columns.items()},
            coords={"step": np.arange(len(self.rows)), "chain": np.arange(self.num_chains)},
        )
        return Calibration(
            kernel=chains.kernel,  # type: ignore[arg-type]
            batch_size=chains.posterior.batch_size,
            control_variate=chains.control_variate,
            num_chains=self.num_chains,
            largest_batch=self.allowance.largest,
            outcome=outcome,
            advice="Chains leave the finite numbers at every step tried: raise localization, or lower nbeta."
            if self.failed
            else "",
            decrease=self.decrease,
            quadratic=quadratic,
            withheld=withheld,
            complete=complete,
            gradient_evaluations=self.spent + chains.gradient_evaluations + self.curvature.spent,
            evidence=evidence,
            positions=chains.positions,
        )

    def _quadratic(self) -> tuple[float, float, bool]:
        """What the loss would give were it quadratic, the share that γ takes of it, and whether that is all of it."""
        found = spectrum(self.first, self.seed, self.allowance.spectrum) if self.allowance.spectrum else None
        if found is None:
            return math.nan, math.nan, False
        self.spent += found.gradient_evaluations
        gamma = self.first.localization
        return found.quadratic(gamma), found.withheld(gamma), found.complete

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
