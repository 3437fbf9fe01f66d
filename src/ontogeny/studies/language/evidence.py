"""The claims of the language study about behaviour and the whole network, and what one seed's curves say of each."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from ontogeny.development import curves, nulls
from ontogeny.development.curves import half_time, steepest
from ontogeny.development.usable import coefficient_of, usable_points
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence
from ontogeny.studies.findings import Findings
from ontogeny.studies.language.config import LARGE, LanguageConfig, Thresholds

Curves = Float[np.ndarray, "step sequence"]
Rng = np.random.Generator
INDUCTION = "prefix_matching"
OLSSON, HOOGLAND, WANG = "Olsson et al., 2209.11895", "Hoogland et al., 2402.02364", "Wang et al., 2410.02984"

claims = Claims(presets=LARGE)


@claims.add(
    "bigram-to-trigram",
    "The model passes through the bigram solution, then moves on",
    source=f"{HOOGLAND} (stages LM1, LM2)",
    expects="cross-entropy against bigrams has an interior minimum and later rises by more than 0.1 nats; against "
    "trigrams its minimum is later",
    unit="nats risen since the bigram minimum",
    presets={"quick", *LARGE},
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence:
    by_sequence, steps = found["trajectory"]["ngram_by_sequence"].transpose("order", "step", ...), _steps(found)
    bigram, trigram = (by_sequence.sel(order=order).values for order in ("bigram", "trigram"))
    # the minimum is found on one half of the probes, the rise on the other
    chosen = bigram[:, ::2].mean(axis=1).argmin()
    rises, least, count = (
        bigram[-1, 1::2] - bigram[chosen, 1::2],
        config.thresholds.bigram_rise,
        config.thresholds.bootstrap,
    )
    resampled = curves.bootstrap(lambda sample: float(rises[sample].mean()), len(rises), count, rng)

    def later(sample: np.ndarray) -> float:
        return float(trigram[:, sample].mean(axis=1).argmin() - bigram[:, sample].mean(axis=1).argmin())

    orders, whole = curves.bootstrap(later, bigram.shape[1], count, rng), np.arange(bigram.shape[1])
    interval = curves.interval(resampled)
    met = 0 < chosen < len(steps) - 1 and later(whole) > 0 and interval[0] > least
    at = [steps[each.mean(axis=1).argmin()] for each in (bigram, trigram)]
    control = f"minimum against bigrams at step {at[0]}, against trigrams at step {at[1]}"
    null = nulls.either(nulls.bootstrapped(resampled, least), nulls.bootstrapped(orders))
    return Evidence(float(rises.mean()), bool(met), interval, control, null)


@claims.add(
    "previous-before-induction",
    "A previous-token head forms before the induction head",
    source=f"{OLSSON}; {HOOGLAND} (stages LM3, LM4)",
    expects="the best previous-token head reaches half of its final score before the best prefix-matching head",
    unit="decades of step between the two",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence:
    steps, trajectory = _steps(found), found["trajectory"]
    previous, prefix = best_head(trajectory, "previous_token"), best_head(trajectory, INDUCTION)

    def lead(sample: np.ndarray) -> float:
        first, second = (half_time(steps, scores[:, sample].mean(axis=1)) for scores in (previous, prefix))
        return float(np.log10(second / first))

    size = previous.shape[1]
    resampled, whole = curves.bootstrap(lead, size, config.thresholds.bootstrap, rng), lead(np.arange(size))
    formed = prefix[-1].mean() > config.thresholds.control_prefix
    control = f"final scores: previous token {previous[-1].mean():.2f}, prefix matching {prefix[-1].mean():.2f}"
    null = nulls.bootstrapped(resampled)
    return Evidence(whole, bool(whole > 0 and formed), curves.interval(resampled), control, null)


@claims.add(
    "icl-with-induction",
    "In-context learning arrives with induction",
    source=OLSSON,
    expects="steepest fall of the in-context-learning score within 0.2 decades of the steepest rise of prefix matching",
    unit="decades of step between the two",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence:
    steps, trajectory, thresholds = _steps(found), found["trajectory"], config.thresholds
    prefix, icl = best_head(trajectory, INDUCTION), trajectory["icl_by_sequence"].transpose("step", ...).values

    def changes(in_prefix: np.ndarray, in_icl: np.ndarray) -> tuple[float, float]:
        fall = steepest_of(steps, -icl[:, in_icl].mean(axis=1), thresholds)
        return fall, steepest_of(steps, prefix[:, in_prefix].mean(axis=1), thresholds)

    def apart(fall: float, rise: float) -> float:
        return float(abs(np.log10(fall / rise)))

    samples = [curves.resamples(each.shape[1], thresholds.bootstrap, rng) for each in (prefix, icl)]
    interval = curves.interval(np.array([apart(*changes(*pair)) for pair in zip(*samples, strict=True)]))
    fall, rise = changes(np.arange(prefix.shape[1]), np.arange(icl.shape[1]))
    null = nulls.anywhere_in_log_step(fall, rise, thresholds.first_step, steps[-1])
    control = f"a fall anywhere in log step lies as near with probability {null.p_value:.2g}"
    return Evidence(apart(fall, rise), apart(fall, rise) <= thresholds.coincidence, interval, control, null)


@claims.add(
    "one-layer-control",
    "One layer does not learn the induction that two layers learn",
    source=OLSSON,
    expects="prefix matching of the one-layer control stays below 0.05, while the best head of two ends above it",
    unit="largest prefix matching of the control",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence:
    scores = found["control-curves"]["head_score_by_sequence"].sel(score=INDUCTION).transpose("repeat", ...).values
    limit, count = config.thresholds.control_prefix, config.thresholds.bootstrap

    def largest(sample: np.ndarray) -> float:
        return float(scores[sample].mean(axis=0).max())

    # the head is chosen on one half of the probes and held against the limit on the other
    last = found["trajectory"]["head_score_by_sequence"].sel(score=INDUCTION).isel(step=-1)
    heads = last.stack(place=("layer", "head")).transpose("place", "repeat").values
    learnt = heads[heads[:, ::2].mean(axis=1).argmax(), 1::2]
    control, whole = curves.bootstrap(largest, len(scores), count, rng), largest(np.arange(len(scores)))
    two_layers = curves.bootstrap(lambda sample: float(learnt[sample].mean()), len(learnt), count, rng)
    met = whole < limit < learnt.mean()
    null = nulls.either(nulls.bootstrapped(-control, -limit), nulls.bootstrapped(two_layers, limit))
    return Evidence(whole, bool(met), curves.interval(control), f"with two layers {learnt.mean():.2f}", null)


@claims.add(
    "stages",
    "The LLC rises, and its stage boundaries fall where behaviour changes",
    source=HOOGLAND,
    expects="LLC rises over the run; behavioural changes lie nearer to stage boundaries than under circular shifts in "
    "log step",
    unit="median decades from a change to its nearest boundary",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence:
    trajectory, stages = found["trajectory"], found["stages"]
    main = usable_points(trajectory, coefficient_of(trajectory, config.stages.coefficient), config.stages.component)
    rise, error = float(main.value[-1] - main.value[0]), float(np.hypot(main.error[-1], main.error[0]))
    width = np.log10(stages["boundary_high"].values / stages["boundary_low"].values)
    boundaries = np.log10(stages["boundary_step"].values[width <= config.thresholds.widest_boundary])
    changes = np.log10(list(behavioural_changes(trajectory, config.thresholds).values()))
    control = f"the coefficient rises by {rise:.1f} (z = {rise / error:.0f}); {len(boundaries)} boundaries counted"
    if not len(boundaries):
        return Evidence(np.nan, False, None, control, nulls.Null("circular shifts in log step", 1.0))

    def apart(places: np.ndarray) -> float:
        return float(np.median(np.abs(changes[:, None] - places).min(axis=1)))

    shifts = nulls.circular_shifts(apart, boundaries, 0.0, float(np.log10(_steps(found)[-1])))
    met = rise > 0 and apart(boundaries) < (shifts.typical or 0)
    control += f"; under circular shifts the median is {shifts.typical:.2f} decades"
    return Evidence(apart(boundaries), met, None, control, nulls.either(shifts, nulls.gaussian_error(rise, error)))


def behavioural_changes(trajectory: xr.Dataset, thresholds: Thresholds) -> dict[str, float]:
    """Name -> step of each change that stage boundaries are compared with."""
    steps, laws = trajectory["step"].values, trajectory["ngram_cross_entropy"]
    previous, prefix = (best_head(trajectory, score).mean(axis=1) for score in ("previous_token", INDUCTION))
    return {
        "bigram minimum": float(steps[laws.sel(order="bigram").values.argmin()]),
        "trigram minimum": float(steps[laws.sel(order="trigram").values.argmin()]),
        "previous-token half": half_time(steps, previous),
        "prefix-matching rise": steepest_of(steps, prefix, thresholds),
        "in-context fall": steepest_of(steps, -trajectory["icl_score"].values, thresholds),
    }


def best_head(trajectory: xr.Dataset, score: str) -> Curves:
    """Curves (step, sequence) of the head whose score is largest at the end."""
    best = trajectory["head_score"].sel(score=score).isel(step=-1).argmax(("layer", "head"))
    place = {name: int(index) for name, index in best.items()}
    return trajectory["head_score_by_sequence"].sel(score=score).isel(place).transpose("step", ...).values


def _steps(found: Findings) -> np.ndarray:
    return found["trajectory"]["step"].values


def steepest_of(steps: np.ndarray, curve: np.ndarray, thresholds: Thresholds) -> float:
    """Step of the steepest rise of a curve, smoothed as the thresholds say."""
    return steepest(steps, curve, smoothing=thresholds.smoothing, first_step=thresholds.first_step)
