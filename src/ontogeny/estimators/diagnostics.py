"""What draws say about themselves: agreement, drift, bias by steps and minibatches, localisation, and the center."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from jaxtyping import Float

from ontogeny.core.draws import SamplingSettings, settings_of
from ontogeny.core.outcome import Outcome

# The usual limit of R-hat (Vehtari et al. 2021), the effective sample size halved because only a mean is wanted.
MAX_RHAT = 1.05
MIN_ESS = 50
MAX_DRIFT = 0.06  # of the value, in an e-fold of time
MIN_EQUIPARTITION, MAX_UNSEEN = 0.9, 0.3  # below, a drift of more than this has to be ruled out
MAX_INFLATION = 0.3  # of the value: beyond, its quadratic theory is no longer to be trusted
MAX_EQUIPARTITION = 1.08
MAX_LOCALIZED, MAX_WITHHELD = 0.2, 0.15
MAX_LOCALIZED_ERROR = 0.1
MAX_DECREASE = 0.5  # noise of unit variance in the labels alone gives 2/(2 + log n) at the weights that made them
_DOUBT = 0.25  # of what is taken off for noise: some of it is in directions that the loss does not hold
# Of the value, times degree/2 - 1 and the share of directions that have not mixed: deep rank-deficient networks,
# of degrees 4 to 8, came out 2 to 9 % low; generic ones, of degrees 2 to 3, not at all.
_UNMIXED = 0.05
_QUADRATIC = 0.15  # how far the quadratic's value may be from the value, for its spectrum to be believed
_BLOCK = 5  # draws: a quarter of a swing at the steps that calibration takes
_AXES = {"chain_axis": 0, "draw_axis": 1}


@dataclass(frozen=True)
class Diagnostics:
    """Numbers behind a verdict; NaN where the draws do not tell.

    Attributes:
        value: nβ (E[L] - L(w*)), bias by steps and minibatches taken off.
        mcse: its Monte Carlo error, the paired baseline's included, a quarter of what was taken off, what of the drift
            is more than twice its own error, 5 % (degree/2 - 1) of it for the share of directions that have not mixed,
            and what calibrated runs count for finite steps (`SamplingSettings.step_error`).
        monte_carlo_error: the part of `mcse` that more draws would lower.
        rhat, ess, ess_tail: rank-normalised split R-hat over chains, bulk and tail effective sample sizes.
        drift: change of the trace in an e-fold of time at its end, warm-up included, as a share of the value; its
            standard error is `drift_error`.
        equipartition: E[(w - w*)·∇U]/P less what finite steps add to it: 1 where all directions have mixed, above 1
            where something heats the chain; below 1 while flat directions have not mixed, which alone is no alarm.
        degree: E[V]/E[K] of V = nβ (w - w*)·∇L and K = nβ (L - L(w*)): k for a loss that is homogeneous of degree k, 2
            for a quadratic.
        inflation: what steps and minibatches added, as a share of the value.
        heat: variance that minibatches inject over that which the kernel injects.
        localized: share by which γ lowers the value, -∂ln λ̂/∂ln γ, from covariances of the draws; its standard error
            over chains is `localized_error`.
        withheld: share that γ takes of the value of the quadratic at w*, by its spectrum; NaN where that is not known,
            or not within 15 % of the value, so that the loss is not quadratic.
        below_center: share of draws with a lower loss than the center's.
        decrease: nβ (L(w*) - L) that descent from the center found, as a share of the value from the lowest loss.
        distance: mean |w - w*|.
    """

    value: float
    mcse: float
    monte_carlo_error: float
    rhat: float
    ess: float
    ess_tail: float
    drift: float
    drift_error: float
    equipartition: float
    degree: float
    inflation: float
    heat: float
    localized: float
    localized_error: float
    withheld: float
    below_center: float
    decrease: float
    distance: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def diagnose(draws: xr.DataTree) -> Diagnostics:
    """The diagnostics of draws (see `ontogeny.core.draws`); chains that left the finite numbers are left out."""
    settings, stats = settings_of(draws), draws["sample_stats"]
    kept = np.isnan(np.asarray(stats["failed_at"], dtype=np.float64))

    def trace(name: str, group: str = "sample_stats") -> Float[np.ndarray, "chain draw"]:
        found = draws[group].get(name)
        shape = (int(kept.sum()), draws["posterior"].sizes["draw"])
        return np.full(shape, np.nan) if found is None else np.asarray(found, dtype=np.float64)[kept]

    control = trace("control")
    raw = settings.nbeta * trace("loss_difference", "posterior")
    energy = raw - _coefficient(raw, settings.nbeta * control) * settings.nbeta * np.nan_to_num(control)
    pull = settings.localization * trace("distance") ** 2
    loss_virial = trace("virial") * settings.num_parameters - pull
    inflation = _inflation(trace, loss_virial, settings)
    value, mcse, rhat, ess, tail = summarize(energy, shared=settings.control_variate)
    corrected = value - inflation
    drift, error = _drift(draws, kept, settings.nbeta)
    virial, excess = _mean(trace("virial")), _mean(trace("excess"))
    equipartition = virial - (0.0 if math.isnan(excess) else excess)
    unsettled = max(abs(drift) - 2 * error, 0.0) if math.isfinite(drift + error) else 0.0
    size = settings.num_parameters
    degree = _mean(loss_virial) / corrected if corrected > 0 else math.nan
    unmixed = _UNMIXED * max(1 - equipartition, 0.0) * max(degree / 2 - 1, 0.0) * corrected
    minimum = math.nan if settings.decrease is None else settings.decrease
    localized, localized_error = _localized(energy, loss_virial)
    if settings.batch_size < settings.num_samples and "half_loss" in stats:
        pairs = [np.asarray(stats[name], dtype=np.float64)[kept] for name in ("half_loss", "half_virial")]
        at = np.isfinite(pairs[0]).all(axis=(0, 2))
        first, second = settings.nbeta * pairs[0][:, at], size * pairs[1][:, at] - pull[:, at, None]
        crossed = np.concatenate([first[..., 0], first[..., 1]], 1), np.concatenate([second[..., 1], second[..., 0]], 1)
        localized, localized_error = _localized(*crossed)
    return Diagnostics(
        value=corrected,
        mcse=math.hypot(mcse, _DOUBT * inflation, settings.step_error * corrected, unsettled, np.nan_to_num(unmixed)),
        monte_carlo_error=mcse,
        rhat=rhat,
        ess=ess,
        ess_tail=tail,
        drift=drift / abs(corrected) if corrected else math.nan,
        drift_error=error / abs(corrected) if corrected else math.nan,
        equipartition=equipartition,
        degree=degree,
        inflation=inflation / abs(value) if value else math.nan,
        heat=_mean(trace("heat")),
        localized=localized,
        localized_error=localized_error,
        withheld=_withheld(settings, corrected),
        below_center=float(np.mean(energy < 0)) if energy.size else math.nan,
        decrease=minimum / (corrected + minimum) if corrected + minimum > 0 else math.inf if minimum > 0 else math.nan,
        distance=_mean(trace("distance")),
    )


def judge(found: Diagnostics, failed: bool, complete: bool) -> Outcome:
    """The gravest thing that the diagnostics say.

    Args:
        found: the diagnostics.
        failed: whether a chain left the finite numbers.
        complete: whether `withheld`, where it is known, is more than a lower bound.
    """
    if found.decrease > MAX_DECREASE:
        return Outcome.NOT_A_MINIMUM
    if failed:
        return Outcome.DIVERGED
    if found.value + 2 * found.mcse < 0:
        return Outcome.NOT_A_MINIMUM
    if math.isnan(found.mcse) or math.isnan(found.rhat):  # one chain alone has no R-hat
        return Outcome.TOO_FEW_DRAWS
    if found.inflation > MAX_INFLATION or found.equipartition > MAX_EQUIPARTITION:
        return Outcome.STEP_TOO_LARGE
    drifts = abs(found.drift) > MAX_DRIFT and abs(found.drift) > 2 * found.drift_error
    if found.rhat > MAX_RHAT or drifts:
        return Outcome.NOT_CONVERGED
    unseen = abs(found.drift) + 2 * found.drift_error
    if found.ess < MIN_ESS or (found.equipartition < MIN_EQUIPARTITION and unseen > MAX_UNSEEN):
        return Outcome.TOO_FEW_DRAWS
    known = found.localized_error < MAX_LOCALIZED_ERROR  # on small minibatches it may be anything
    known &= not complete or math.isnan(found.withheld)  # the spectrum has no noise
    pinned = known and found.localized > max(MAX_LOCALIZED, 3 * found.localized_error)
    return Outcome.LOCALIZED if pinned or found.withheld > MAX_WITHHELD else Outcome.CONVERGED


def summarize(trace: Float[np.ndarray, "chain draw"], shared: bool = False) -> tuple[float, float, float, float, float]:
    """Mean, Monte Carlo error, R-hat, bulk and tail ESS of a trace; NaN where there is too little to say.

    Chains that share minibatches are not independent: their error is then at least that of the mean over chains. That
    of means over `_BLOCK` draws is asked too: the energy of an underdamped kernel swings, and the sum over its
    autocorrelation would end at the first trough.
    """
    if trace.size == 0:
        return (math.nan,) * 5
    if trace.shape[1] < 4 or not np.ptp(trace):
        return float(trace.mean()), *(math.nan,) * 4
    mcse = _error(trace)
    if shared:
        mcse = max(mcse, _error(trace.mean(0, keepdims=True)))
    ess = float(array_stats.ess(trace, **_AXES))
    tail = float(array_stats.ess(trace, method="tail", prob=(0.05, 0.95), **_AXES))
    return float(trace.mean()), mcse, float(array_stats.rhat(trace, **_AXES)), ess, tail


def _error(trace: Float[np.ndarray, "chain draw"]) -> float:
    """Monte Carlo error of the mean: the larger of that of the draws and that of the means over blocks of them."""
    blocks = trace.shape[1] // _BLOCK
    swung = trace[:, trace.shape[1] - blocks * _BLOCK :].reshape(len(trace), blocks, _BLOCK).mean(2)
    asked = [trace, swung] if blocks >= 4 else [trace]
    return max(float(array_stats.mcse(each, method="mean", **_AXES)) for each in asked)


def _inflation(trace: Callable[[str], np.ndarray], loss_virial: np.ndarray, settings: SamplingSettings) -> float:
    """What steps and minibatches add to the value: the kernel's own word, less what noise in held directions does not.

    Noise of relative variance `heat` adds ½ P heat where the loss holds the chain, and q/(q + γ) of that where γ helps;
    q = E|nβ∇L|² / E[nβ∇L·(w - w*)] is the curvature that the loss's energy sees.
    """
    found, heat = _mean(trace("inflation")), _mean(trace("heat"))
    if math.isnan(found):
        return 0.0
    square, along = _mean(trace("half_product")), _mean(loss_virial)
    if math.isnan(heat) or math.isnan(square) or not settings.localization:
        return found
    curvature = max(square, 0.0) / along if along > 0 else 0.0
    held = settings.localization / (curvature + settings.localization)
    return found - held * heat * settings.num_parameters / 2


def _coefficient(raw: np.ndarray, control: np.ndarray) -> float:
    """Of the control variate of mean 0 that lowers the variance of the trace most."""
    if not control.size or np.isnan(control).any() or not np.var(control):
        return 0.0
    return float(np.cov(raw.ravel(), control.ravel())[0, 1] / np.var(control))


def _drift(draws: xr.DataTree, kept: np.ndarray, nbeta: float) -> tuple[float, float]:
    """Slope of the trace against the logarithm of time over its last half (warm-up counts as time), and its error."""
    main = nbeta * np.asarray(draws["posterior"]["loss_difference"], dtype=np.float64)[kept]
    warm = nbeta * np.asarray(draws["warmup_posterior"]["loss_difference"], dtype=np.float64)[kept]
    trace = np.concatenate([warm, main], axis=1)
    total = trace.shape[1]
    begin = min(warm.shape[1], total // 2)
    if total - begin < 16 or not trace.size:
        return math.nan, math.nan
    time = np.log(np.arange(begin, total) + 1.0)
    time -= time.mean()
    slopes = (trace[:, begin:] @ time) / (time @ time)
    # blocks of draws longer than their memory would need to be known; chains are independent and few, so both are asked
    between = float(slopes.std(ddof=1) / math.sqrt(len(slopes))) if len(slopes) > 1 else math.nan
    ess = float(array_stats.ess(main, **_AXES)) if main.shape[1] >= 4 and np.ptp(main) else math.nan
    spread = float(main.std()) / math.sqrt(max(ess, 1.0)) / float(time.std()) if not math.isnan(ess) else math.nan
    return float(slopes.mean()), float(np.nanmax([between, spread]))


def _localized(energy: Float[np.ndarray, "chain draw"], virial: Float[np.ndarray, "chain draw"]) -> tuple[float, float]:
    """-∂ln λ̂/∂ln γ = (E[V] - Cov(K, V)) / 2E[K] with K = nβ(L - L(w*)), V = nβ(w - w*)·∇L, and its error over chains.

    Partial integration of ½γ Cov(K, |w - w*|²), which has far more noise. K and V must not share a minibatch.
    """
    if energy.size == 0 or energy.shape[1] < 8 or np.isnan(virial).any() or not energy.mean():
        return math.nan, math.nan
    covariance = ((energy - energy.mean()) * (virial - virial.mean())).mean(1)
    each = (virial.mean() - covariance) / (2 * energy.mean())
    return float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan


def _withheld(settings: SamplingSettings, value: float) -> float:
    known = settings.quadratic is not None and abs(settings.quadratic / value - 1) < _QUADRATIC if value else False
    return settings.withheld if known else math.nan


def _mean(trace: np.ndarray) -> float:
    return float(np.nanmean(trace)) if np.isfinite(trace).any() else math.nan
