"""Sampling until the Monte Carlo error is small enough and the diagnostics agree."""

import math
from dataclasses import replace

import xarray as xr
from torch import Tensor

from ontogeny.core.draws import MemorySink, joined, settings_of
from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.estimators import Estimate, llc
from ontogeny.estimators.diagnostics import MAX_EQUIPARTITION
from ontogeny.sampling.calibration import Calibration
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.curvature import Curvature
from ontogeny.sampling.kernels import SGHMC
from ontogeny.sampling.loop import as_progress, describe, run
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.recorder import Recorder
from ontogeny.sampling.windows import REACH

ERROR = 0.0175  # relative Monte Carlo error at which sampling stops
ROUND = 300  # draws of the first round; each later one doubles what there is
MOST = 6000  # draws a chain
NOISY = 0.08  # share of the value added by minibatches at which larger ones are taken
SETTLED = 0.015  # drift in an e-fold of time, as a share of the value, that is small beside the error aimed at
WATCH, WATCHED = 40, 256  # steps from one look at the curvature to the next, and samples it is taken on
RESTARTS = 6
LATE = 0.6  # of a budget: what is spent when it is too late to begin anew
STEP_ERROR = 0.006  # of the value: set after one network of 100,000 parameters was 0.3 % low, not yet scored


def sample_until(
    posterior: LocalPosterior,
    calibration: Calibration,
    *,
    error: float = ERROR,
    budget: int | None = None,
    seed: int = 0,
    progress: Progress | bool = False,
) -> Estimate:
    """Go on from a calibration until the relative Monte Carlo error and the diagnostics allow to stop, or the budget
    is spent.

    Args:
        posterior, calibration: what to sample, and how.
        error: relative Monte Carlo error aimed at.
        budget: per-sample gradients, those of the calibration included.
        seed: root of the seed tree.
        progress: a `Progress`, or True for a bar in the terminal.
    """
    reporter = as_progress(progress)
    chains = _chains(posterior, calibration, seed, calibration.batch_size, calibration.positions)
    chains.gradient_evaluations = calibration.gradient_evaluations
    watch = Curvature(posterior, generator(seed, "watch"), WATCHED)
    trees: list[xr.DataTree] = []
    restarts = 0
    reporter.start("sampling", MOST)
    while length := _next_length(chains, sum(tree["posterior"].sizes["draw"] for tree in trees), budget):
        trees.append(_round(chains, length, seed, watch, reporter))
        estimate = llc(_all(trees, chains, calibration))
        if len(trees) > 1 and (_enough(estimate, error) or estimate.outcome is Outcome.NOT_A_MINIMUM):
            break  # one round alone does not show that it lasts
        late = budget is not None and chains.gradient_evaluations > LATE * budget
        calmer = None if late or restarts == RESTARTS else _calmer(posterior, calibration, seed, chains, estimate)
        if calmer is not None:
            chains, trees, restarts = calmer, [], restarts + 1
        elif not chains.finite:
            break
    reporter.finish("sampling")
    return estimate


def _chains(posterior: LocalPosterior, calibration: Calibration, seed: int, batch_size: int, start: Tensor) -> Chains:
    return Chains(
        posterior.at(batch_size=batch_size),
        calibration.kernel,
        calibration.num_chains,
        derive(seed, "draws", batch_size),
        control_variate=calibration.control_variate,
        start=start,
    )


def _calmer(
    posterior: LocalPosterior, calibration: Calibration, seed: int, chains: Chains, estimate: Estimate
) -> Chains | None:
    """Chains begun anew, if what they met since the calibration asks for it: shorter steps for heat, batches four times
    as large for noise (away from w* the control variate is worth less).
    """
    found = estimate.diagnostics
    assert found is not None
    kernel, size = chains.kernel, chains.posterior.batch_size
    assert isinstance(kernel, SGHMC)
    cooling = found.drift < -2 * found.drift_error  # from the heat of the calibration, which is no fault of the step
    hot = not chains.positions.isfinite().all() or (found.equipartition > MAX_EQUIPARTITION and not cooling)
    noisy = found.inflation > NOISY and size < min(calibration.largest_batch, posterior.samples.stored)
    if not hot and not noisy:
        return None
    if noisy:
        size = min(4 * size, calibration.largest_batch)
        size = posterior.samples.stored if size > posterior.samples.stored / 2 else size
    fresh = _chains(posterior, calibration, seed, size, calibration.positions if hot else chains.positions)
    fresh.kernel = replace(kernel, step_size=kernel.step_size * (0.6 if hot else 1.0))
    fresh.gradient_evaluations = chains.gradient_evaluations
    return fresh


def _round(chains: Chains, length: int, seed: int, watch: Curvature, progress: Progress) -> xr.DataTree:
    """Draws, the step shortened on the way wherever curvature has grown, as it does away from w* by up to 66 times."""
    recorder = Recorder(chains.posterior, MemorySink(), {})
    recorder.open(len(chains), length, 0, chains.control_variate)
    for done in range(0, length, WATCH):
        run(chains, recorder, -done, min(done + WATCH, length), 1, progress)
        _bound_step(chains, watch, chain=done // WATCH % len(chains))
    settings = describe(chains, num_draws=length, num_warmup=0, thinning=1, seed=seed)
    return recorder.close(chains.failed_at, settings)


def _bound_step(chains: Chains, watch: Curvature, chain: int) -> None:
    kernel, before = chains.kernel, watch.spent
    assert isinstance(kernel, SGHMC)
    assert kernel.scale is not None
    if chains.positions[chain].isfinite().all():
        met = watch.largest(chains.positions[chain], kernel.scale, iterations=3)
        if met * kernel.step_size**2 > REACH**2:
            chains.kernel = replace(kernel, step_size=REACH / math.sqrt(met))
    chains.gradient_evaluations += watch.spent - before


def _all(trees: list[xr.DataTree], chains: Chains, calibration: Calibration) -> xr.DataTree:
    """All rounds as one run whose first third is warm-up."""
    done = sum(tree["posterior"].sizes["draw"] for tree in trees)
    warmup = done // 3
    settings = replace(
        settings_of(trees[-1]),
        num_draws=done - warmup,
        num_warmup=warmup,
        gradient_evaluations=chains.gradient_evaluations,
        decrease=None if math.isnan(calibration.decrease) else calibration.decrease,
        quadratic=None if math.isnan(calibration.quadratic) else calibration.quadratic,
        withheld=0.0 if math.isnan(calibration.withheld) else calibration.withheld,
        complete=calibration.complete,
        step_error=STEP_ERROR,
    )
    return joined(trees, warmup, settings, calibration.evidence)


def _next_length(chains: Chains, done: int, budget: int | None) -> int:
    """Draws of the next round: as many as there are, no more than the budget leaves."""
    wanted = min(max(ROUND, done), MOST - done)
    if budget is None:
        return wanted
    each = chains.posterior.batch_size * (len(chains) + (1.2 if chains.control_variate else 0))  # w* twice for halves
    left = int((budget - chains.gradient_evaluations - 4 * WATCHED) / (each + 4 * WATCHED / WATCH))
    return max(min(wanted, left), 0 if done else 8)


def _enough(estimate: Estimate, error: float) -> bool:
    found = estimate.diagnostics
    if found is None or estimate.outcome not in (Outcome.CONVERGED, Outcome.LOCALIZED):
        return False
    settled = abs(found.drift) < max(SETTLED, 2 * found.drift_error)
    return settled and found.inflation < NOISY and found.monte_carlo_error < error * abs(estimate.value)
