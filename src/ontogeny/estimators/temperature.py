"""The learning coefficient along a temperature ladder, and its limit with the multiplicity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ontogeny.core.draws import settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.outcome import Outcome
from ontogeny.estimators.asymptote import MAX_MULTIPLICITY, MIN_P_VALUE, MIN_RUNGS, Asymptote, extrapolate
from ontogeny.estimators.coefficient import Estimate, llc
from ontogeny.estimators.quantity import Quantity, Trace, loss_differences
from ontogeny.estimators.reweighting import reweight

MAX_EXTRAPOLATION = 0.4  # largest share of λ missing at the coldest rung
MAX_ERROR = 0.05  # of λ, relative
_DECIDED = 0.8  # posterior probability above which a multiplicity is reported

# Neighbours disagree if they differ by more than both: Monte Carlo error, and bias from different step sizes.
_MAX_DEVIATION = 4.0
_MAX_RELATIVE_DEVIATION = 0.05


@dataclass(frozen=True)
class Ladder:
    """A learning coefficient extrapolated to low temperature.

    Attributes:
        curve: over rising `nbeta`: `value` and `mcse` of nβ E[L(w) - L(w*)]; `reweighted` and `reweighted_mcse`, the
            same from the draws of the next hotter rung, with their `overlap`; `used`, whether the rung converged;
            `fitted`, the fit, NaN outside it. Over `multiplicity`: its posterior `probability`.
        learning_coefficient: λ, the limit, with its error and verdict.
        multiplicity: m, or None if no m has a posterior probability of 0.8 or λ is not to be trusted.
    """

    curve: xr.Dataset
    learning_coefficient: Quantity
    multiplicity: int | None

    @property
    def outcome(self) -> Outcome:
        return self.learning_coefficient.outcome

    @property
    def advice(self) -> str:
        return self.learning_coefficient.advice

    def __str__(self) -> str:
        multiplicity = "undecided" if self.multiplicity is None else str(self.multiplicity)
        nbeta = self.curve["nbeta"].values
        rungs = f"{len(nbeta)} rungs, nβ {nbeta[0]:.3g} to {nbeta[-1]:.3g}"
        return f"{self.learning_coefficient}, multiplicity {multiplicity} [{rungs}]"


def temperature_ladder(
    draws: Sequence[xr.DataTree], *, observable: str | None = None, min_overlap: float = 0.05
) -> Ladder:
    """Estimate λ and its multiplicity m from draws at many temperatures, as the limit of nβ E[L(w) - L(w*)].

    At finite temperature the plain estimate is too low by about (m - 1) / log nβ, and by the tails of further poles.
    `ontogeny.estimators.asymptote` takes the limit, averaging over the forms that theory allows.

    What it needs, measured on exact curves of localization 1 with noise: with 12 rungs from nβ = 1e2 to 1e8 and
    relative errors of 0.5 %, λ is within 5 % and m is reported for nearly every ladder of w₁², w₁²w₂² and w₁²w₂²w₃².
    The same holds for nine in ten ladders of w⁶, w₁²w₂⁴ and w₁⁴w₂⁴, and for seven in ten of w₁⁴w₂⁴w₃⁴, where a third of
    λ is extrapolated. The others are refused. At errors of 1 %, accepted values are still within 5 %. However, m stays
    open for one to three in ten ladders of the first three, about half of the next three are refused, and nearly all of
    the last. Hotter rungs need errors of 0.35 %: from 1e1 to 1e4 for w₁²w₂², and to 1e5 for w₁²w₂²w₃². What counts is
    the range of log(nβ A γ^-(k₁ + k₂ + …)) for A w₁^(2k₁) w₂^(2k₂) …; a strong localization or a flat loss shifts it
    down. For λ above 5, m changes the curve by less than the errors, so that λ is sound and m undecided.

    Args:
        draws: one DataTree from `ontogeny.sample` per rung, in any order: the same model, data, localization and
            restriction at different nβ, each with its own seed.
        observable: name of an observable of all samples; needed to compare neighbours if batches are smaller than the
            data (see `reweight`).
        min_overlap: least Kish share between neighbours, below which they cannot check each other; 0 skips the check.
            At λ = 10 it requires neighbours less than a factor of 2 apart.

    Returns:
        The ladder. Its outcome is a refusal, with the reason as advice, if fewer than six rungs converged, neighbours
        disagree or do not overlap, no form fits, the error exceeds 5 % of λ, or the extrapolation beyond the coldest
        rung exceeds 40 % of λ.

    Raises:
        InvalidArgument: for draws that are not of one posterior at different temperatures, or that share a seed.

    When not to trust it: if a further pole is within 0.7 min(λ, 1/2), as in w₁⁴w₂⁶, or the second pole is itself
        multiple, as in w₁²w₂²w₃⁴. Then, at errors of 0.5 % and more, λ is up to 17 % too high and m is too high, and no
        diagnostic shows it. The same happens for w₁²w₂⁴ if the rungs end at 1e4. Above m = 4, λ is too low. A bias
        common to all rungs, such as that of too large steps, stays in λ.

    References:
        Watanabe, Algebraic Geometry and Statistical Learning Theory (2009), chapter 4; JMLR 14 (2013) 867-897.
    """
    rungs = sorted(draws, key=lambda tree: settings_of(tree).nbeta)
    _check(rungs)
    estimates = [llc(tree) for tree in rungs]
    curve = _curve(rungs, estimates, observable)
    used = curve["used"].values
    if used.sum() < MIN_RUNGS:
        refusals = {estimate.outcome.value for estimate in estimates if estimate.outcome is not Outcome.CONVERGED}
        why = f"{used.sum()} of {len(rungs)} rungs converged ({', '.join(sorted(refusals)) or 'none refused'})"
        return _refused(curve, math.nan, math.nan, f"{why}: at least {MIN_RUNGS} are needed.")
    nbeta, value, mcse = (curve[name].values[used] for name in ("nbeta", "value", "mcse"))
    limit = extrapolate(nbeta, value, mcse)
    curve["fitted"] = "nbeta", _spread(limit.fitted, used)
    curve["probability"] = "multiplicity", limit.probabilities
    reason = _disagreement(curve, min_overlap) or _doubt(limit, value[-1])
    if reason:
        return _refused(curve, limit.value, limit.error, reason)
    likeliest = int(limit.probabilities.argmax())
    decided = limit.probabilities[likeliest] >= _DECIDED
    quantity = Quantity("LLC at nβ → ∞", limit.value, limit.error, Outcome.CONVERGED, "")
    return Ladder(curve, quantity, likeliest + 1 if decided else None)


def _check(rungs: Sequence[xr.DataTree]) -> None:
    settings = [settings_of(tree) for tree in rungs]
    if not settings:
        raise InvalidArgument("draws", expected="one DataTree per temperature", found="none")
    for name in ("localization", "num_samples", "num_parameters", "restriction"):
        found = {getattr(setting, name) for setting in settings}
        if len(found) > 1:
            raise InvalidArgument("draws", expected=f"one {name}", found=", ".join(map(str, sorted(found))))
    for name, instead in {"nbeta": "one rung per temperature", "seed": "sample(…, seed=seed + rung)"}.items():
        found = [getattr(setting, name) for setting in settings]
        if len(set(found)) < len(found):
            twice = next(value for value in found if found.count(value) > 1)
            raise InvalidArgument("draws", expected=f"different {name}", found=f"{twice} twice", instead=instead)


def _curve(rungs: Sequence[xr.DataTree], estimates: Sequence[Estimate], observable: str | None) -> xr.Dataset:
    nbeta = np.array([settings_of(tree).nbeta for tree in rungs])
    value, mcse = (np.array([getattr(estimate, name) for estimate in estimates]) for name in ("value", "mcse"))
    sound = np.array([estimate.outcome is Outcome.CONVERGED for estimate in estimates])
    read = [reweight(tree, float(colder), observable) for tree, colder in zip(rungs, nbeta[1:], strict=False)]
    # Step bias is subtracted from the values, and from those reweighted to the next rung: chains hotter than their
    # nominal temperature by a factor f, reweighted to r times their nβ, are at 1/f + r - 1 times it.
    plain = np.array([_mean(loss_differences(tree, observable)[0]) for tree in rungs]) * nbeta
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = nbeta[1:] / nbeta[:-1]
        kept = ((value / plain)[:-1] + ratio - 1) / ratio
    columns = {
        "value": value,
        "mcse": mcse,
        "reweighted": np.array([math.nan, *(share * item.value for share, item in zip(kept, read, strict=True))]),
        "reweighted_mcse": np.array([math.nan, *(item.mcse for item in read)]),
        "overlap": np.array([math.nan, *(item.overlap for item in read)]),
        "used": sound & (mcse > 0),
        "fitted": np.full(len(nbeta), math.nan),
    }
    curve = xr.Dataset({name: ("nbeta", column) for name, column in columns.items()}, {"nbeta": nbeta})
    multiplicity = np.arange(1, MAX_MULTIPLICITY + 1)
    curve["probability"] = xr.DataArray(np.full(MAX_MULTIPLICITY, math.nan), {"multiplicity": multiplicity})
    return curve


def _disagreement(curve: xr.Dataset, min_overlap: float) -> str:
    """Why neighbouring rungs fail to check each other, or an empty string."""
    nbeta, used = curve["nbeta"].values, curve["used"].values
    value, overlap = curve["value"].values, curve["overlap"].values
    if min_overlap <= 0:
        return ""
    pairs = np.flatnonzero(used[1:] & used[:-1]) + 1
    if np.isnan(curve["reweighted"].values[pairs]).any():
        return (
            "Losses of single minibatches do not let neighbouring temperatures check each other: record an observable "
            "of all samples, or set min_overlap=0 to skip the check."
        )
    poor = [rung for rung in pairs if overlap[rung] < min_overlap]
    if poor:
        rung = min(poor, key=lambda rung: overlap[rung])
        return (
            f"Neighbouring temperatures overlap too little to check each other ({overlap[rung]:.2g} between nβ "
            f"{nbeta[rung - 1]:.4g} and {nbeta[rung]:.4g}): add rungs between, or set min_overlap=0 to skip the check."
        )
    difference = np.abs(curve["reweighted"].values - value)
    allowed = np.maximum(
        _MAX_DEVIATION * np.hypot(curve["reweighted_mcse"].values, curve["mcse"].values),
        _MAX_RELATIVE_DEVIATION * np.abs(value),
    )
    apart = [rung for rung in pairs if difference[rung] > allowed[rung]]
    if apart:
        rung = apart[0]
        return (
            f"The draws at nβ {nbeta[rung - 1]:.4g}, reweighted to {nbeta[rung]:.4g}, give "
            f"{curve['reweighted'].values[rung]:.4g} instead of {value[rung]:.4g}: raise num_warmup and num_draws, or "
            "lower step_size, at both."
        )
    return ""


def _doubt(limit: Asymptote, coldest: float) -> str:
    """Why the fit is not the limit of the curve, or an empty string."""
    if not limit.p_value >= MIN_P_VALUE:
        return (
            "No theoretical form fits the curve. It mixes singularities, or is not yet in the asymptotic regime. Add "
            "colder rungs, or check the step size of each."
        )
    beyond = 1 - coldest / limit.value
    if abs(beyond) > MAX_EXTRAPOLATION:
        return f"The limit lies {beyond:.0%} of itself beyond the coldest rung: add colder rungs."
    if limit.error > MAX_ERROR * limit.value:
        shares = ", ".join(f"{share:.2f} for {m}" for m, share in enumerate(limit.probabilities, start=1))
        return (
            f"The curve leaves λ open (multiplicity by probability: {shares}): add colder rungs, or draws, until their "
            "errors are below 1 %."
        )
    return ""


def _refused(curve: xr.Dataset, value: float, error: float, reason: str) -> Ladder:
    return Ladder(curve, Quantity("LLC at nβ → ∞", value, error, Outcome.NOT_CONVERGED, reason), None)


def _mean(trace: Trace) -> float:
    return float(trace.mean()) if trace.size else math.nan


def _spread(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    spread = np.full(len(where), math.nan)
    spread[where] = values
    return spread
