"""Diagnostics of draws: agreement, drift, bias from steps and minibatches, localisation, and the center."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from jaxtyping import Float

from ontogeny.core.draws import settings_of
from ontogeny.core.outcome import Outcome
from ontogeny.estimators.corrections import MIDDLE, along_tangent, inflation_of, missed_by_descent
from ontogeny.estimators.summary import AXES, mean_of, summarize
from ontogeny.estimators.withheld import withheld_share

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


@dataclass(frozen=True)
class Diagnostics:
    """The numbers behind a verdict; NaN where the draws do not determine them.

    Attributes:
        value: nβ (E[L] - L(w*)) minus the bias from steps and minibatches: complexity - descent.
        mcse: its Monte Carlo error. It includes that of the paired baseline, a quarter of the subtracted bias with the
            error of what was subtracted, and the part of the drift that exceeds twice its own error. It also includes
            5 % (degree/2 - 1) of the value times the share of unmixed directions, and the step-size error of calibrated
            sampling (`SamplingSettings.step_error`).
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
    pull, shift = trace("pull"), along_tangent(stats, kept, raw.shape)
    loss_virial = trace("virial") * settings.num_parameters - pull
    inflation, unsure = inflation_of(trace, settings)
    value, mcse, *_ = summarize(energy, shared=settings.control_variate)
    # above the tangent at ŵ: the slope there shifts value and descent alike, and would only add noise to their sum
    bent, below, rhat, ess, tail = summarize(energy + shift, shared=settings.control_variate)
    tilt, tilt_mcse = summarize(shift)[:2] if shift.any() else (0.0, 0.0)
    corrected = value - inflation
    descent = math.nan if settings.descent is None else settings.descent + tilt
    complexity = bent - inflation + (0.0 if settings.descent is None else settings.descent)
    scale = max(abs(complexity), settings.resolution) or math.nan
    drift, error = _drift(draws, kept, settings.nbeta)
    virial, excess = mean_of(trace("virial")), mean_of(trace("excess"))
    equipartition = virial - (0.0 if math.isnan(excess) else excess)
    unsettled = max(abs(drift) - 2 * error, 0.0) if math.isfinite(drift + error) else 0.0
    degree = mean_of(loss_virial) / complexity if complexity > 0 else math.nan
    unmixed = _UNMIXED * max(1 - equipartition, 0.0) * max(degree / 2 - 1, 0.0) * complexity
    missed, folds = missed_by_descent(stats, kept)
    doubts = (_DOUBT * inflation, unsure, settings.step_error * complexity, unsettled, np.nan_to_num(unmixed))
    center = (settings.descent_error, (1 - MIDDLE) * missed, MIDDLE * folds)
    withheld, withheld_mcse = withheld_share(draws, kept, settings, energy, loss_virial, pull, shift, complexity)
    return Diagnostics(
        value=corrected,
        mcse=math.hypot(mcse, *doubts),
        complexity=complexity if math.isfinite(descent) else math.nan,
        complexity_mcse=math.hypot(below, *doubts, *center) if math.isfinite(descent) else math.nan,
        descent=descent,
        descent_mcse=math.hypot(tilt_mcse, *center) if math.isfinite(descent) else math.nan,
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
        heat=mean_of(trace("heat")),
        withheld=withheld,
        withheld_mcse=withheld_mcse,
        below_center=float(np.mean(energy < 0)) if energy.size else math.nan,
        distance=mean_of(trace("distance")),
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
    ess = float(array_stats.ess(main, **AXES)) if main.shape[1] >= 4 and np.ptp(main) else math.nan
    spread = float(main.std()) / math.sqrt(max(ess, 1.0)) / float(time.std()) if not math.isnan(ess) else math.nan
    return float(slopes.mean()), float(np.nanmax([between, spread]))


def _above_tangent(draws: xr.DataTree, prefix: str, kept: np.ndarray, nbeta: float) -> Float[np.ndarray, "chain draw"]:
    """nβ (L - L(w*)) minus its slope at ŵ."""
    found = nbeta * np.asarray(draws[f"{prefix}posterior"]["loss_difference"], dtype=np.float64)[kept]
    group = f"{prefix}sample_stats"
    return found + along_tangent(draws[group], kept, found.shape) if group in draws.children else found
