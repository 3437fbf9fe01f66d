"""Sample from a calibration until the Monte Carlo error is small enough and the diagnostics pass."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import xarray as xr
from torch import Tensor

from ontogeny.core.draws import MemorySink, joined, settings_of
from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.estimators import llc
from ontogeny.sampling.calibration import Calibration
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.curvature import Curvature
from ontogeny.sampling.kernels import SGHMC
from ontogeny.sampling.loop import Controller, describe, run
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.recorder import Recorder
from ontogeny.sampling.tuning import TUNING
from ontogeny.terminal import as_progress


def sample_until(
    posterior: LocalPosterior,
    calibration: Calibration,
    *,
    error: float = TUNING.error,
    budget: int | None = None,
    observables: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | bool = False,
) -> xr.DataTree:
    """Continue from a calibration until the Monte Carlo error and the diagnostics allow stopping.

    The error is relative to the complexity, or to the calibration's resolution if that is larger. Sampling also stops
    when the budget is spent.

    Args:
        posterior, calibration: what to sample, and how.
        error: target relative Monte Carlo error.
        budget: per-sample gradients, including those of the calibration.
        observables: name -> samples whose losses are recorded; draws are then five steps apart.
        seed: root of the seed tree.
        progress: a `Progress`, or True for a bar in the terminal.
    """
    sampling = _Sampling(posterior, calibration, observables or {}, seed, budget)
    reporter = as_progress(progress)
    reporter.start("sampling", TUNING.most_steps)
    while length := sampling.next_length(TUNING.short_round if error >= TUNING.short_error else TUNING.first_round):
        sampling.round(length, reporter)
        if sampling.finished(error):
            break
        if not sampling.restarted() and not sampling.chains.finite:
            break
    reporter.finish("sampling")
    return sampling.draws()


class _Watch(Controller):
    """Shortens the step where curvature has grown. Away from w* it grows by up to 66 times."""

    def __init__(self, curvature: Curvature, offset: int) -> None:
        self._curvature, self._step = curvature, offset

    def before_step(self, chains: Chains, step: int) -> None:
        self._step += 1
        if self._step % TUNING.watch_every:
            return
        kernel, before = chains.kernel, self._curvature.spent
        assert isinstance(kernel, SGHMC)
        assert kernel.scale is not None
        position = chains.positions[self._step // TUNING.watch_every % len(chains)]
        if self._curvature.posterior.layout.all(position.isfinite()):
            largest = self._curvature.largest(position, kernel.scale, iterations=3)
            if largest * kernel.step_size**2 > TUNING.reach**2:
                chains.kernel = replace(kernel, step_size=TUNING.reach / math.sqrt(largest))
        chains.gradient_evaluations += self._curvature.spent - before


class _Sampling:
    """The rounds of draws, and the chains that make them."""

    def __init__(
        self,
        posterior: LocalPosterior,
        calibration: Calibration,
        observables: Mapping[str, Any],
        seed: int,
        budget: int | None,
    ) -> None:
        self.posterior, self.calibration, self.observables = posterior, calibration, observables
        self.seed, self.budget = seed, budget
        self.thinning = TUNING.thinning if observables else 1
        watched = TUNING.watch_samples if budget is None else max(16, min(TUNING.watch_samples, budget // 1000))
        self.curvature = Curvature(posterior, generator(seed, "watch"), watched)
        self.chains = self._begin(calibration.batch_size, calibration.positions)
        self.chains.gradient_evaluations += calibration.gradient_evaluations
        self.trees: list[xr.DataTree] = []
        self.restarts = 0

    @property
    def done(self) -> int:
        """Draws per chain so far."""
        return sum(tree["posterior"].sizes["draw"] for tree in self.trees)

    def next_length(self, first: int) -> int:
        """Draws in the next round: as many as there are already, within the remaining budget."""
        wanted = min(max(first, self.done), TUNING.most_steps // self.thinning - self.done)
        if self.budget is None:
            return wanted
        chains, watch = self.chains, self.curvature.posterior.batch_size
        each = chains.posterior.batch_size * (len(chains) + (1.2 if chains.control_variate else 0))  # w* for halves too
        left = self.budget - chains.gradient_evaluations - 4 * watch
        affordable = int(left / ((each + 4 * watch / TUNING.watch_every) * self.thinning))
        return max(min(wanted, affordable), 0 if self.trees else 8)

    def round(self, length: int, progress: Progress) -> None:
        """Make some draws of all chains."""
        recorder = Recorder(self.chains.posterior, MemorySink(), self.observables, self.calibration.descent)
        recorder.open(len(self.chains), length, 0, self.chains.control_variate)
        run(
            self.chains,
            length * self.thinning,
            _Watch(self.curvature, self.done * self.thinning),
            progress,
            "sampling",
            recorder,
            lambda step: None if step % self.thinning else step // self.thinning,
        )
        settings = describe(self.chains, num_draws=length, num_warmup=0, thinning=self.thinning, seed=self.seed)
        self.trees.append(recorder.close(self.chains.failed_at, settings))
        self.estimate = llc(self.draws())

    def finished(self, error: float) -> bool:
        """Whether the error is small enough and the diagnostics pass."""
        found = self.estimate.diagnostics
        if len(self.trees) < 2 or found is None:  # one round is not enough to trust the diagnostics
            return False
        settled = abs(found.drift) < max(TUNING.settled, error / 2, 2 * found.drift_error)
        small = found.monte_carlo_error < error * found.scale
        return self.estimate.sampled is Outcome.CONVERGED and settled and found.inflation < TUNING.noisy and small

    def restarted(self) -> bool:
        """Restart with shorter steps if chains diverged or equipartition is exceeded, and with batches four times as
        large if they add more than 8 %: away from w* the control variate removes less noise.
        """
        late = self.budget is not None and self.chains.gradient_evaluations > TUNING.late * self.budget
        if late or self.restarts == TUNING.restarts:
            return False
        found, chains, size = self.estimate.diagnostics, self.chains, self.chains.posterior.batch_size
        assert found is not None
        kernel, largest, stored = chains.kernel, self.calibration.largest_batch, self.posterior.samples.stored
        assert isinstance(kernel, SGHMC)
        # Energies still relaxing after the calibration's tempering are not caused by the step size.
        relaxing = found.drift < -2 * found.drift_error
        # Losses stop being finite before positions do.
        diverged = any(map(math.isfinite, chains.failed_at)) or not self.posterior.layout.all(
            chains.positions.isfinite()
        )
        too_long = diverged or (found.heated and not relaxing)
        noisy = found.inflation > TUNING.noisy and size < min(largest, stored)
        if not too_long and not noisy:
            return False
        if noisy:
            size = min(TUNING.batch_growth * size, largest)
            size = stored if size > stored / 2 else size
        self.chains = self._begin(size, self.calibration.positions if too_long else chains.positions)
        self.chains.kernel = replace(kernel, step_size=kernel.step_size * (TUNING.restart_shrink if too_long else 1.0))
        self.chains.gradient_evaluations += chains.gradient_evaluations
        self.trees, self.restarts = [], self.restarts + 1
        return True

    def draws(self) -> xr.DataTree:
        """All rounds as one run whose first third is warm-up."""
        warmup, known = self.done // 3, self.calibration
        settings = replace(
            settings_of(self.trees[-1]),
            num_draws=self.done - warmup,
            num_warmup=warmup,
            gradient_evaluations=self.chains.gradient_evaluations,
            descent=known.descent.value,
            descent_error=known.descent.error,
            resolution=known.resolution,
            quadratic=None if math.isnan(known.quadratic) else known.quadratic,
            withheld=0.0 if math.isnan(known.withheld) else known.withheld,
            complete=known.complete,
            step_error=TUNING.step_error,
        )
        return joined(self.trees, warmup, settings, known.trace)

    def _begin(self, batch_size: int, start: Tensor) -> Chains:
        return Chains(
            self.posterior.at(batch_size=batch_size),
            self.calibration.kernel,
            self.calibration.num_chains,
            derive(self.seed, "draws", batch_size),
            control_variate=self.calibration.control_variate,
            start=start,
        )
