"""Diagnostics of draws: agreement, drift, bias from steps and minibatches, localisation, and the center."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from jaxtyping import Float

from ontogeny.core.draws import SamplingSettings, settings_of
from ontogeny.core.outcome import Outcome

# The usual R-hat limit (Vehtari et al. 2021), and half the usual effective sample size, since only a mean is needed.
MAX_RHAT = 1.05
MIN_ESS = 50
MAX_DRIFT = 0.06  # of the value, per e-fold of time
MIN_EQUIPARTITION, MAX_UNSEEN = 0.9, 0.3  # below this equipartition, a drift above this must be ruled out
MAX_INFLATION = 0.3  # of the value; above this the quadratic theory behind it cannot be trusted
MAX_EQUIPARTITION = 1.08
MAX_DESCENT = 0.5  # of the complexity; unit-variance label noise alone gives 2/(2 + log n) at the true weights
MAX_DESCENT_ERROR = 0.1  # of the complexity
_DOUBT = 0.25  # of the noise correction: some of the noise is in directions that the loss does not confine
# Share of the value, times degree/2 - 1 and the share of unmixed directions. Deep rank-deficient networks, of degrees 4
# to 8, were 2 to 9 % too low; generic ones, of degrees 2 to 3, were not.
_UNMIXED = 0.05
_QUADRATIC = 0.15  # largest relative difference between quadratic approximation and value at which the spectrum is used
_BLOCK = 5  # draws: a quarter of an oscillation at calibrated step sizes
_AXES = {"chain_axis": 0, "draw_axis": 1}


@dataclass(frozen=True)
class Diagnostics:
    """The numbers behind a verdict; NaN where the draws do not determine them.

    Attributes:
        value: nβ (E[L] - L(w*)) minus the bias from steps and minibatches: complexity - descent.
        mcse: its Monte Carlo error. It includes that of the paired baseline, a quarter of the subtracted bias, and the
            part of the drift that exceeds twice its own error. It also includes 5 % (degree/2 - 1) of the value times
            the share of unmixed directions, and the step-size error of calibrated sampling
            (`SamplingSettings.step_error`).
        complexity, complexity_mcse: nβ E[L - T], the height of the mean loss above T, the tangent of the loss at the
            minimum ŵ of U near w*, and its error. NaN without a descent.
        descent, descent_mcse: nβ (L(w*) - E[T]), 0 at a minimum, and its error. NaN without a descent.
        monte_carlo_error: the part of `complexity_mcse` that more draws would reduce.
        rhat, ess, ess_tail: rank-normalised split R-hat over chains, and bulk and tail effective sample sizes, of the
            trace of the complexity. At a minimum this is the trace of the value.
        drift: change of the trace per e-fold of time at its end, warm-up included, as a share of `scale`. Its standard
            error is `drift_error`.
        equipartition: E[(w - ŵ)·∇U]/P minus the contribution of finite steps. It is 1 if all directions have mixed, and
            above 1 if something heats the chain. It is below 1 while flat directions have not mixed, which alone is no
            alarm. Its Monte Carlo error is `equipartition_error`.
        degree: E[V]/E[K] with V = nβ (w - ŵ)·∇L and K = nβ (L - L(ŵ)). It is k for a loss homogeneous of degree k, and
            2 for a quadratic.
        inflation: bias from steps and minibatches, as a share of `scale`.
        heat: variance injected by minibatches, relative to that injected by the kernel.
        withheld, withheld_mcse: lower bound on the share of the complexity that γ removes. It is the larger of two
            numbers. One is -∂ln λ̂/∂ln γ, from covariances of the draws. The other, used if the spectrum at w* is known
            and gives the value to 15 %, is the share by which a quadratic loss lies below its value at a thousandth of
            γ.
        below_center: share of draws whose loss is below that at the center.
        distance: mean |w - w*|.
        scale: |complexity|, or the resolution of the draws if larger. Drift, inflation and errors are shares of it.
    """

    value: float
    mcse: float
    complexity: float
    complexity_mcse: float
    descent: float
    descent_mcse: float
    monte_carlo_error: float
    rhat: float
    ess: float
    ess_tail: float
    drift: float
    drift_error: float
    equipartition: float
    equipartition_error: float
    degree: float
    inflation: float
    heat: float
    withheld: float
    withheld_mcse: float
    below_center: float
    distance: float
    scale: float

    @property
    def heated(self) -> bool:
        """Whether equipartition is exceeded by more than twice its error, so not by chance in a few draws."""
        return self.equipartition - 2 * float(np.nan_to_num(self.equipartition_error)) > MAX_EQUIPARTITION

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def diagnose(draws: xr.DataTree) -> Diagnostics:
    """The diagnostics of draws (see `ontogeny.core.draws`), without diverged chains."""
    settings, stats = settings_of(draws), draws["sample_stats"]
    kept = np.isnan(np.asarray(stats["failed_at"], dtype=np.float64))

    def trace(name: str, group: str = "sample_stats") -> Float[np.ndarray, "chain draw"]:
        found = draws[group].get(name)
        shape = (int(kept.sum()), draws["posterior"].sizes["draw"])
        return np.full(shape, np.nan) if found is None else np.asarray(found, dtype=np.float64)[kept]

    control = trace("control")
    raw = settings.nbeta * trace("loss_difference", "posterior")
    energy = raw - _coefficient(raw, settings.nbeta * control) * settings.nbeta * np.nan_to_num(control)
    pull, shift = trace("pull"), np.nan_to_num(trace("shift"))  # zero without a descent
    loss_virial = trace("virial") * settings.num_parameters - pull
    inflation = _inflation(trace, loss_virial, settings)
    value, mcse, *_ = summarize(energy, shared=settings.control_variate)
    # above the tangent at ŵ: the slope there shifts value and descent alike, and would only add noise to their sum
    bent, below, rhat, ess, tail = summarize(energy + shift, shared=settings.control_variate)
    tilt, tilt_mcse = summarize(shift)[:2] if shift.any() else (0.0, 0.0)
    corrected = value - inflation
    descent = math.nan if settings.descent is None else settings.descent + tilt
    complexity = bent - inflation + (0.0 if settings.descent is None else settings.descent)
    scale = max(abs(complexity), settings.resolution) or math.nan
    drift, error = _drift(draws, kept, settings.nbeta)
    virial, excess = _mean(trace("virial")), _mean(trace("excess"))
    equipartition = virial - (0.0 if math.isnan(excess) else excess)
    unsettled = max(abs(drift) - 2 * error, 0.0) if math.isfinite(drift + error) else 0.0
    degree = _mean(loss_virial) / complexity if complexity > 0 else math.nan
    unmixed = _UNMIXED * max(1 - equipartition, 0.0) * max(degree / 2 - 1, 0.0) * complexity
    doubts = (_DOUBT * inflation, settings.step_error * complexity, unsettled, np.nan_to_num(unmixed))
    withheld, withheld_mcse = _withheld(draws, kept, settings, energy, loss_virial, pull, shift, complexity)
    return Diagnostics(
        value=corrected,
        mcse=math.hypot(mcse, *doubts),
        complexity=complexity if math.isfinite(descent) else math.nan,
        complexity_mcse=math.hypot(below, *doubts, settings.descent_error) if math.isfinite(descent) else math.nan,
        descent=descent,
        descent_mcse=math.hypot(tilt_mcse, settings.descent_error) if math.isfinite(descent) else math.nan,
        monte_carlo_error=below,
        rhat=rhat,
        ess=ess,
        ess_tail=tail,
        drift=drift / scale,
        drift_error=error / scale,
        equipartition=equipartition,
        equipartition_error=summarize(trace("virial"), shared=settings.control_variate)[1],
        degree=degree,
        inflation=inflation / (max(abs(complexity + inflation), settings.resolution) or math.nan),
        heat=_mean(trace("heat")),
        withheld=withheld,
        withheld_mcse=withheld_mcse,
        below_center=float(np.mean(energy < 0)) if energy.size else math.nan,
        distance=_mean(trace("distance")),
        scale=scale,
    )


def verdict_of(found: Diagnostics, failed: bool) -> Outcome:
    """The most serious verdict that the diagnostics support; `failed` if a chain diverged."""
    below = found.value + 2 * found.mcse < 0
    if below or found.descent - 2 * found.descent_mcse > MAX_DESCENT * abs(found.complexity):
        return Outcome.NOT_A_MINIMUM
    return verdict_on_draws(found, failed)


def verdict_on_draws(found: Diagnostics, failed: bool) -> Outcome:
    """The verdict on the draws, wherever their center lies."""
    if failed:
        return Outcome.DIVERGED
    if math.isnan(found.mcse) or math.isnan(found.rhat):  # a single chain has no R-hat
        return Outcome.TOO_FEW_DRAWS
    if found.inflation > MAX_INFLATION or found.heated:
        return Outcome.STEP_TOO_LARGE
    drifts = abs(found.drift) > MAX_DRIFT and abs(found.drift) > 2 * found.drift_error
    if found.rhat > MAX_RHAT or drifts:
        return Outcome.NOT_CONVERGED
    unseen = abs(found.drift) + 2 * found.drift_error
    if found.ess < MIN_ESS or (found.equipartition < MIN_EQUIPARTITION and unseen > MAX_UNSEEN):
        return Outcome.TOO_FEW_DRAWS
    if found.descent_mcse > MAX_DESCENT_ERROR * found.scale:
        return Outcome.TOO_FEW_DRAWS
    return Outcome.CONVERGED


def summarize(trace: Float[np.ndarray, "chain draw"], shared: bool = False) -> tuple[float, float, float, float, float]:
    """Mean, Monte Carlo error, R-hat, bulk and tail ESS of a trace; NaN if there are too few draws.

    Chains that share minibatches are not independent, so their error is at least that of the mean over chains. The
    error of means over `_BLOCK` draws is used as well. The energy of an underdamped kernel oscillates, and the sum over
    its autocorrelation would stop at the first trough.
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
    """Monte Carlo error of the mean: the larger of that from the draws and that from means over blocks of them."""
    blocks = trace.shape[1] // _BLOCK
    swung = trace[:, trace.shape[1] - blocks * _BLOCK :].reshape(len(trace), blocks, _BLOCK).mean(2)
    asked = [trace, swung] if blocks >= 4 else [trace]
    return max(float(array_stats.mcse(each, method="mean", **_AXES)) for each in asked)


def _inflation(trace: Callable[[str], np.ndarray], loss_virial: np.ndarray, settings: SamplingSettings) -> float:
    """Bias from steps and minibatches: the kernel's prediction, without noise in directions that only γ confines.

    Noise of relative variance `heat` adds ½ P heat where the loss confines the chain, and q/(q + γ) of that where γ
    helps. Here q = E|nβ∇L|² / E[nβ∇L·(w - w*)] is the effective curvature of the loss.
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
    """The coefficient with which a control variate of mean 0 reduces the variance of the trace most."""
    if not control.size or np.isnan(control).any() or not np.var(control):
        return 0.0
    return float(np.cov(raw.ravel(), control.ravel())[0, 1] / np.var(control))


def _drift(draws: xr.DataTree, kept: np.ndarray, nbeta: float) -> tuple[float, float]:
    """Slope of the trace against log time over its second half, with its error. Warm-up counts as time."""
    main, warm = (_above_tangent(draws, prefix, kept, nbeta) for prefix in ("", "warmup_"))
    trace = np.concatenate([warm, main], axis=1)
    total = trace.shape[1]
    begin = min(warm.shape[1], total // 2)
    if total - begin < 16 or not trace.size:
        return math.nan, math.nan
    time = np.log(np.arange(begin, total) + 1.0)
    time -= time.mean()
    slopes = (trace[:, begin:] @ time) / (time @ time)
    # the autocorrelation time is unknown, and independent chains are few, so both error estimates are used
    between = float(slopes.std(ddof=1) / math.sqrt(len(slopes))) if len(slopes) > 1 else math.nan
    ess = float(array_stats.ess(main, **_AXES)) if main.shape[1] >= 4 and np.ptp(main) else math.nan
    spread = float(main.std()) / math.sqrt(max(ess, 1.0)) / float(time.std()) if not math.isnan(ess) else math.nan
    return float(slopes.mean()), float(np.nanmax([between, spread]))


def _above_tangent(draws: xr.DataTree, prefix: str, kept: np.ndarray, nbeta: float) -> Float[np.ndarray, "chain draw"]:
    """nβ (L - L(w*)) minus its slope at ŵ."""
    found = nbeta * np.asarray(draws[f"{prefix}posterior"]["loss_difference"], dtype=np.float64)[kept]
    group = f"{prefix}sample_stats"
    shift = draws[group].get("shift") if group in draws.children else None
    return found if shift is None else found + np.nan_to_num(np.asarray(shift, dtype=np.float64)[kept])


def _withheld(
    draws: xr.DataTree,
    kept: np.ndarray,
    settings: SamplingSettings,
    energy: Float[np.ndarray, "chain draw"],
    virial: Float[np.ndarray, "chain draw"],
    pull: Float[np.ndarray, "chain draw"],
    shift: Float[np.ndarray, "chain draw"],
    complexity: float,
) -> tuple[float, float]:
    """The share that γ removes, and its error: from the draws, or from the spectrum if that is larger."""
    share, error = _elasticity(energy, virial, shift, complexity)
    stats = draws["sample_stats"]
    if settings.batch_size < settings.num_samples and "half_loss" in stats:  # from halves that share no sample
        pairs = [np.asarray(stats[name], dtype=np.float64)[kept] for name in ("half_loss", "half_virial")]
        at = np.isfinite(pairs[0]).all(axis=(0, 2))
        first = settings.nbeta * pairs[0][:, at]
        second = settings.num_parameters * pairs[1][:, at] - pull[:, at, None]
        crossed = np.concatenate([first[..., 0], first[..., 1]], 1), np.concatenate([second[..., 1], second[..., 0]], 1)
        share, error = _elasticity(*crossed, np.concatenate([shift[:, at]] * 2, 1), complexity)
    known = settings.quadratic is not None and complexity and abs(settings.quadratic / complexity - 1) < _QUADRATIC
    if known and (settings.complete or not settings.withheld <= share):
        return settings.withheld, 0.0 if settings.complete else error
    return share, error


def _elasticity(
    energy: Float[np.ndarray, "chain draw"],
    virial: Float[np.ndarray, "chain draw"],
    shift: Float[np.ndarray, "chain draw"],
    complexity: float,
) -> tuple[float, float]:
    """-∂ln λ̂/∂ln γ = (E[V] - Cov(K, V)) / 2λ̂, and its error over chains.

    Here K = nβ(L - T), V = nβ(w - ŵ)·∇(L - T), and T is the tangent of L at ŵ.
    It follows by partial integration from ½γ Cov(K, |w - ŵ|²), which is far noisier. K and V must not share a
    minibatch.
    """
    if energy.size == 0 or energy.shape[1] < 8 or np.isnan(virial).any() or not complexity:
        return math.nan, math.nan
    energy, virial = energy + shift, virial + shift
    covariance = ((energy - energy.mean()) * (virial - virial.mean())).mean(1)
    each = (virial.mean() - covariance) / (2 * complexity)
    return float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan


def _mean(trace: np.ndarray) -> float:
    return float(np.nanmean(trace)) if np.isfinite(trace).any() else math.nan
