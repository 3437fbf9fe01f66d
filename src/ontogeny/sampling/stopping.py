"""Sampling until the Monte Carlo error is small enough and the diagnostics agree."""

import math
from dataclasses import replace

import xarray as xr

from ontogeny.core.draws import MemorySink, joined, settings_of
from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.estimators import Estimate, llc
from ontogeny.estimators.diagnostics import MAX_EQUIPARTITION
from ontogeny.sampling.calibration import REACH, Calibration
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.curvature import Curvature
from ontogeny.sampling.kernels import SGHMC
from ontogeny.sampling.loop import as_progress, describe, run
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.recorder import Recorder

ERROR = 0.0175  # relative Monte Carlo error at which sampling stops
ROUND = 300  # draws of the first round; each later one doubles what there is
MOST = 6000  # draws a chain
NOISY = 0.15  # share of the value added by minibatches at which larger ones are taken
RESTARTS = 6
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
    chains = _chains(posterior, calibration, seed, calibration.batch_size)
    chains.gradient_evaluations = calibration.gradient_evaluations
    trees: list[xr.DataTree] = []
    restarts = 0
    reporter.start("sampling", MOST)
    while length := _next_length(chains, sum(tree["posterior"].sizes["draw"] for tree in trees), budget):
        trees.append(_round(chains, length, seed, reporter))
        estimate = llc(_all(trees, chains, calibration))
        if len(trees) > 1 and (_enough(estimate, error) or estimate.outcome is Outcome.NOT_A_MINIMUM):
            break  # one round alone does not show that it lasts
        calmer = _calmer(posterior, calibration, seed, chains, estimate) if restarts < RESTARTS else None
        if calmer is not None:
            chains, trees, restarts = calmer, [], restarts + 1
        elif not chains.finite:
            break
    reporter.finish("sampling")
    return estimate


def _chains(posterior: LocalPosterior, calibration: Calibration, seed: int, batch_size: int) -> Chains:
    return Chains(
        posterior.at(batch_size=batch_size),
        calibration.kernel,
        calibration.num_chains,
        derive(seed, "draws", batch_size),
        control_variate=calibration.control_variate,
        start=calibration.positions,
    )


def _calmer(
    posterior: LocalPosterior, calibration: Calibration, seed: int, chains: Chains, estimate: Estimate
) -> Chains | None:
    """Chains begun anew where the calibration left off, if what they met since asks for it: shorter steps for more
    curvature or heat, batches four times as large for more noise (away from w* the control variate is worth less).
    """
    found = estimate.diagnostics
    assert found is not None
    kernel, size = chains.kernel, chains.posterior.batch_size
    curvature = Curvature(chains.posterior, generator(seed, "curvature", size), max(256, size))
    scale = calibration.kernel.scale
    assert isinstance(kernel, SGHMC)
    assert scale is not None
    met = [curvature.largest(row, scale, iterations=8) for row in chains.positions if row.isfinite().all()]
    factor = min(1.0, REACH / math.sqrt(max([1e-12, *met])) / kernel.step_size)
    if not chains.finite or found.equipartition > MAX_EQUIPARTITION or not math.isfinite(factor):
        factor = min(0.6, factor if math.isfinite(factor) else 0.6)
    noisy = found.inflation > NOISY and not calibration.fixed_batch and not chains.posterior.full_batch
    if factor > 0.85 and not noisy:
        return None
    if noisy:
        size = posterior.samples.stored if 4 * size > posterior.samples.stored / 2 else 4 * size
    fresh = _chains(posterior, calibration, seed, size)
    fresh.kernel = replace(kernel, step_size=kernel.step_size * (factor if factor < 0.85 else 1.0))
    fresh.gradient_evaluations = chains.gradient_evaluations + curvature.spent
    return fresh


def _round(chains: Chains, length: int, seed: int, progress: Progress) -> xr.DataTree:
    recorder = Recorder(chains.posterior, MemorySink(), {})
    recorder.open(len(chains), length, 0, chains.control_variate)
    run(chains, recorder, 0, length, 1, progress)
    settings = describe(chains, num_draws=length, num_warmup=0, thinning=1, seed=seed)
    return recorder.close(chains.failed_at, settings)


def _all(trees: list[xr.DataTree], chains: Chains, calibration: Calibration) -> xr.DataTree:
    """All rounds as one run whose first third is warm-up."""
    done = sum(tree["posterior"].sizes["draw"] for tree in trees)
    warmup = done // 3
    settings = replace(
        settings_of(trees[-1]),
        num_draws=done - warmup,
        num_warmup=warmup,
        gradient_evaluations=chains.gradient_evaluations,
        decrease=calibration.decrease,
        step_error=STEP_ERROR,
    )
    return joined(trees, warmup, settings, calibration.evidence)


def _next_length(chains: Chains, done: int, budget: int | None) -> int:
    """Draws of the next round: as many as there are, no more than the budget leaves."""
    wanted = min(max(ROUND, done), MOST - done)
    if budget is None:
        return wanted
    size = chains.posterior.batch_size
    each = size * (len(chains) + (1.2 if chains.control_variate else 0))  # now and then by halves, at w* once more
    checks = 9 * len(chains) * max(256, size)  # of the curvature, after the round
    left = int((budget - chains.gradient_evaluations - checks) / each)
    return max(min(wanted, left), 0 if done else 8)


def _enough(estimate: Estimate, error: float) -> bool:
    found = estimate.diagnostics
    trusted = estimate.outcome in (Outcome.CONVERGED, Outcome.LOCALIZED) and found is not None
    return trusted and found.inflation < NOISY and found.monte_carlo_error < error * abs(estimate.value)
