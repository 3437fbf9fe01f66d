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
MAX_DESCENT = 0.5  # of the complexity: label noise of unit variance alone gives 2/(2 + log n) at the true weights
MAX_DESCENT_ERROR = 0.1  # of the complexity
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
        value: nβ (E[L] - L(w*)), bias by steps and minibatches taken off: complexity - descent.
        mcse: its Monte Carlo error, the paired baseline's included, a quarter of what was taken off, what of the drift
            is more than twice its own error, 5 % (degree/2 - 1) of it for the share of directions that have not mixed,
            and what calibrated runs count for finite steps (`SamplingSettings.step_error`).
        complexity, complexity_mcse: nβ E[L - T], how far the mean loss lies above T, the tangent of the loss at the
            minimum ŵ of U near w*, and its error; NaN where no descent was made.
        descent, descent_mcse: nβ (L(w*) - E[T]), 0 at a minimum, and its error; NaN where no descent was made.
        monte_carlo_error: the part of `complexity_mcse` that more draws would lower.
        rhat, ess, ess_tail: rank-normalised split R-hat over chains, bulk and tail effective sample sizes, of the
            complexity's trace, which is that of the value at a minimum.
        drift: change of the trace in an e-fold of time at its end, warm-up included, as a share of `scale`; its
            standard error is `drift_error`.
        equipartition: E[(w - ŵ)·∇U]/P less what finite steps add to it: 1 where all directions have mixed, above 1
            where something heats the chain; below 1 while flat directions have not mixed, which alone is no alarm. Its
            Monte Carlo error is `equipartition_error`.
        degree: E[V]/E[K] of V = nβ (w - ŵ)·∇L and K = nβ (L - L(ŵ)): k for a loss that is homogeneous of degree k, 2
            for a quadratic.
        inflation: what steps and minibatches added, as a share of `scale`.
        heat: variance that minibatches inject over that which the kernel injects.
        withheld, withheld_mcse: share of the complexity that γ takes, at least: the larger of -∂ln λ̂/∂ln γ, from
            covariances of the draws, and, where the spectrum at w* is known and gives the value to 15 %, the share by
            which a quadratic loss would lie below its value at a thousandth of γ.
        below_center: share of draws with a lower loss than the center's.
        distance: mean |w - w*|.
        scale: |complexity|, or the resolution of the draws where that is more: what drift, inflation and errors are
            shares of.
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
        """Whether equipartition is exceeded, by more than twice its error: few draws exceed it by chance."""
        return self.equipartition - 2 * float(np.nan_to_num(self.equipartition_error)) > MAX_EQUIPARTITION

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
    pull, shift = trace("pull"), np.nan_to_num(trace("shift"))  # nothing where no descent was made
    loss_virial = trace("virial") * settings.num_parameters - pull
    inflation = _inflation(trace, loss_virial, settings)
    value, mcse, *_ = summarize(energy, shared=settings.control_variate)
    # above the tangent at ŵ: the slope there moves the value and its descent alike, and would be noise in their sum
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


def judge(found: Diagnostics, failed: bool) -> Outcome:
    """The gravest thing that the diagnostics say; `failed` if a chain left the finite numbers."""
    below = found.value + 2 * found.mcse < 0
    if below or found.descent - 2 * found.descent_mcse > MAX_DESCENT * abs(found.complexity):
        return Outcome.NOT_A_MINIMUM
    return judge_draws(found, failed)


def judge_draws(found: Diagnostics, failed: bool) -> Outcome:
    """What the diagnostics say of the draws, wherever their center lies."""
    if failed:
        return Outcome.DIVERGED
    if math.isnan(found.mcse) or math.isnan(found.rhat):  # one chain alone has no R-hat
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
    main, warm = (_above_tangent(draws, prefix, kept, nbeta) for prefix in ("", "warmup_"))
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


def _above_tangent(draws: xr.DataTree, prefix: str, kept: np.ndarray, nbeta: float) -> Float[np.ndarray, "chain draw"]:
    """nβ (L - L(w*)) less its slope at ŵ."""
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
    """The share that γ takes, and its error: by the draws, or by the spectrum where that says more."""
    share, error = _elasticity(energy, virial, shift, complexity)
    stats = draws["sample_stats"]
    if settings.batch_size < settings.num_samples and "half_loss" in stats:  # of halves that share no sample
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
    """-∂ln λ̂/∂ln γ = (E[V] - Cov(K, V)) / 2λ̂ with K = nβ(L - T), V = nβ(w - ŵ)·∇(L - T), T the tangent of L at ŵ, and
    its error over chains.

    Partial integration of ½γ Cov(K, |w - ŵ|²), which has far more noise. K and V must not share a minibatch.
    """
    if energy.size == 0 or energy.shape[1] < 8 or np.isnan(virial).any() or not complexity:
        return math.nan, math.nan
    energy, virial = energy + shift, virial + shift
    covariance = ((energy - energy.mean()) * (virial - virial.mean())).mean(1)
    each = (virial.mean() - covariance) / (2 * complexity)
    return float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan


def _mean(trace: np.ndarray) -> float:
    return float(np.nanmean(trace)) if np.isfinite(trace).any() else math.nan
