"""What one seed's trajectory says of each claim: the effect, its bootstrap interval over probe sequences, its
p-value.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Float

from ontogeny.core.seeds import derive
from ontogeny.development.usable import coefficient_of, usable_points
from ontogeny.studies.artefacts import Analysis
from ontogeny.studies.claims import Claim, Evidence, Finding, NotTested, find
from ontogeny.studies.language.config import LanguageConfig, Thresholds

Curves = Float[np.ndarray, "step sequence"]

CLAIMS = (
    Claim(
        id="bigram-to-trigram",
        title="The model passes through the bigram solution, then moves on",
        source="Hoogland et al., 2402.02364 (stages LM1, LM2)",
        expectation="cross-entropy against bigrams has an interior minimum and later rises by more than 0.1 nats; "
        "against trigrams its minimum is later",
        unit="nats risen since the bigram minimum",
    ),
    Claim(
        id="previous-before-induction",
        title="A previous-token head forms before the induction head",
        source="Olsson et al., 2209.11895; Hoogland et al., 2402.02364 (stages LM3, LM4)",
        expectation="the best previous-token head reaches half of its final score before the best prefix-matching head",
        unit="decades of step between the two",
    ),
    Claim(
        id="icl-with-induction",
        title="In-context learning arrives with induction",
        source="Olsson et al., 2209.11895",
        expectation="steepest fall of the in-context-learning score within 0.2 decades of the steepest rise of "
        "prefix matching",
        unit="decades of step between the two",
    ),
    Claim(
        id="one-layer-control",
        title="One layer does not learn induction",
        source="Olsson et al., 2209.11895",
        expectation="prefix matching of the one-layer control stays below 0.05",
        unit="largest prefix matching of the control",
    ),
    Claim(
        id="stages",
        title="The LLC rises, and its stage boundaries fall where behaviour changes",
        source="Hoogland et al., 2402.02364",
        expectation="LLC rises over the run; behavioural changes lie nearer to stage boundaries than under circular "
        "shifts in log step",
        unit="median decades from a change to its nearest boundary",
    ),
)


def evidence(
    trajectory: xr.Dataset, control: xr.Dataset, stages: Analysis, config: LanguageConfig
) -> dict[str, Finding]:
    """Claim id -> what this seed says of it.

    Args:
        stages: of the trajectory, or why there are none.
    """
    rng = np.random.default_rng(derive(config.seed, "claims"))
    tests: dict[str, Callable[[], Finding]] = {
        "bigram-to-trigram": lambda: _bigram_to_trigram(trajectory, config.thresholds, rng),
        "previous-before-induction": lambda: _previous_before_induction(trajectory, config.thresholds, rng),
        "icl-with-induction": lambda: _icl_with_induction(trajectory, config.thresholds, rng),
        "one-layer-control": lambda: _one_layer_control(trajectory, control, config.thresholds, rng),
        "stages": lambda: _stages(trajectory, stages, config),
    }
    return find(tests, config.tested)


def behavioural_changes(trajectory: xr.Dataset, thresholds: Thresholds) -> dict[str, float]:
    """Name -> step of each change that stage boundaries are compared with."""
    steps = trajectory["step"].values
    laws = {order: trajectory["ngram_cross_entropy"].sel(order=order).values for order in ("bigram", "trigram")}
    previous, prefix = (best_head(trajectory, score).mean(axis=1) for score in ("previous_token", "prefix_matching"))
    return {
        "bigram minimum": float(steps[laws["bigram"].argmin()]),
        "trigram minimum": float(steps[laws["trigram"].argmin()]),
        "previous-token half": half_time(steps, previous),
        "prefix-matching rise": steepest(steps, prefix, thresholds),
        "in-context fall": steepest(steps, -trajectory["icl_score"].values, thresholds),
    }


def best_head(trajectory: xr.Dataset, score: str) -> Curves:
    """Curves (step, sequence) of the head whose score is largest at the end."""
    final = trajectory["head_score"].sel(score=score).isel(step=-1)
    best = final.argmax(("layer", "head"))
    curves = (
        trajectory["head_score_by_sequence"].sel(score=score).isel(layer=int(best["layer"]), head=int(best["head"]))
    )
    return curves.transpose("step", ...).values


def half_time(steps: np.ndarray, curve: np.ndarray) -> float:
    """Step at which a curve first reaches half of its final value, interpolated in log step."""
    reached = np.flatnonzero(curve >= curve[-1] / 2)[0]
    if reached == 0:
        return float(max(steps[0], 1))
    low, high = np.log10(np.maximum(steps[reached - 1 : reached + 1], 1))
    part = (curve[-1] / 2 - curve[reached - 1]) / (curve[reached] - curve[reached - 1])
    return float(10 ** (low + part * (high - low)))


def steepest(steps: np.ndarray, curve: np.ndarray, thresholds: Thresholds) -> float:
    """Step at which a curve, smoothed by a Gaussian kernel in log step, rises most per decade."""
    x = np.log10(np.maximum(steps, 0.5))
    grid = np.linspace(np.log10(thresholds.first_step), x[-1], 400)
    weights = np.exp(-0.5 * ((grid[:, None] - x) / thresholds.smoothing) ** 2)
    smooth = weights @ curve / weights.sum(axis=1)
    return float(10 ** grid[np.gradient(smooth, grid).argmax()])


def _bigram_to_trigram(trajectory: xr.Dataset, thresholds: Thresholds, rng: np.random.Generator) -> Evidence:
    curves = trajectory["ngram_by_sequence"].transpose("order", "step", ...)
    bigram, trigram, steps = (
        curves.sel(order="bigram").values,
        curves.sel(order="trigram").values,
        trajectory["step"].values,
    )
    chosen = (
        bigram[:, ::2].mean(axis=1).argmin()
    )  # the minimum is found on one half of the probes, the rise on the other
    rises = bigram[-1, 1::2] - bigram[chosen, 1::2]
    resampled = np.array([rises[sample].mean() for sample in _resamples(len(rises), thresholds, rng)])
    orders = [
        trigram[:, sample].mean(axis=1).argmin() - bigram[:, sample].mean(axis=1).argmin()
        for sample in _resamples(bigram.shape[1], thresholds, rng)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    later = trigram.mean(axis=1).argmin() > bigram.mean(axis=1).argmin()
    met = bool(0 < chosen < len(steps) - 1 and later and low > thresholds.bigram_rise)
    p_value = max(_share(resampled <= thresholds.bigram_rise), _share(np.array(orders) <= 0))
    at = {name: steps[curve.mean(axis=1).argmin()] for name, curve in {"bigram": bigram, "trigram": trigram}.items()}
    control = f"minimum against bigrams at step {at['bigram']}, against trigrams at step {at['trigram']}"
    return Evidence(float(rises.mean()), (float(low), float(high)), p_value, met, control)


def _previous_before_induction(trajectory: xr.Dataset, thresholds: Thresholds, rng: np.random.Generator) -> Evidence:
    steps = trajectory["step"].values
    previous, prefix = best_head(trajectory, "previous_token"), best_head(trajectory, "prefix_matching")

    def lead(sample: np.ndarray) -> float:
        times = [half_time(steps, curves[:, sample].mean(axis=1)) for curves in (previous, prefix)]
        return float(np.log10(times[1] / times[0]))

    resampled = np.array([lead(sample) for sample in _resamples(previous.shape[1], thresholds, rng)])
    low, high = np.quantile(resampled, [0.025, 0.975])
    whole = lead(np.arange(previous.shape[1]))
    control = f"final scores: previous token {previous[-1].mean():.2f}, prefix matching {prefix[-1].mean():.2f}"
    formed = prefix[-1].mean() > thresholds.control_prefix
    return Evidence(whole, (float(low), float(high)), _share(resampled <= 0), bool(whole > 0 and formed), control)


def _icl_with_induction(trajectory: xr.Dataset, thresholds: Thresholds, rng: np.random.Generator) -> Evidence:
    steps = trajectory["step"].values
    prefix, icl = best_head(trajectory, "prefix_matching"), trajectory["icl_by_sequence"].transpose("step", ...).values

    def distance(chosen_prefix: np.ndarray, chosen_icl: np.ndarray) -> float:
        fall = steepest(steps, -icl[:, chosen_icl].mean(axis=1), thresholds)
        rise = steepest(steps, prefix[:, chosen_prefix].mean(axis=1), thresholds)
        return float(abs(np.log10(fall / rise)))

    pairs = zip(_resamples(prefix.shape[1], thresholds, rng), _resamples(icl.shape[1], thresholds, rng), strict=True)
    resampled = np.array([distance(*pair) for pair in pairs])
    whole = distance(np.arange(prefix.shape[1]), np.arange(icl.shape[1]))
    decades = np.log10(steps[-1] / thresholds.first_step)
    # null: the fall could be anywhere in log step; the chance of lying as near to the rise as it does
    p_value = float(min(1.0, 2 * whole / decades))
    low, high = np.quantile(resampled, [0.025, 0.975])
    control = f"a fall anywhere in log step lies as near with probability {p_value:.2g}"
    return Evidence(whole, (float(low), float(high)), p_value, whole <= thresholds.coincidence, control)


def _one_layer_control(
    trajectory: xr.Dataset, control: xr.Dataset, thresholds: Thresholds, rng: np.random.Generator
) -> Evidence:
    curves = control["head_score_by_sequence"].sel(score="prefix_matching").transpose("repeat", ...).values

    def largest(sample: np.ndarray) -> float:
        return float(curves[sample].mean(axis=0).max())

    resampled = np.array([largest(sample) for sample in _resamples(len(curves), thresholds, rng)])
    low, high = np.quantile(resampled, [0.025, 0.975])
    whole = largest(np.arange(len(curves)))
    two_layers = float(trajectory["head_score"].sel(score="prefix_matching").max())
    p_value = _share(resampled >= thresholds.control_prefix)
    met = whole < thresholds.control_prefix
    return Evidence(whole, (float(low), float(high)), p_value, met, f"with two layers it reaches {two_layers:.2f}")


def _stages(trajectory: xr.Dataset, stages: Analysis, config: LanguageConfig) -> Finding:
    if isinstance(stages, NotTested):
        return stages
    thresholds = config.thresholds
    main = usable_points(trajectory, coefficient_of(trajectory, config.stages.coefficient), config.stages.component)
    rise = float(main.value[-1] - main.value[0])
    z = rise / float(np.hypot(main.error[-1], main.error[0]))
    width = np.log10(stages["boundary_high"].values / stages["boundary_low"].values)
    boundaries = np.log10(stages["boundary_step"].values[width <= thresholds.widest_boundary])
    changes = np.log10(list(behavioural_changes(trajectory, thresholds).values()))
    start, stop = 0.0, float(np.log10(trajectory["step"].values[-1]))
    said = f"the coefficient rises by {rise:.1f} (z = {z:.0f}); {len(boundaries)} boundaries counted"
    if not len(boundaries):
        return Evidence(np.nan, None, 1.0, False, said)
    observed = _median_distance(changes, boundaries)
    offsets = np.linspace(0, stop - start, 1000, endpoint=False)
    shifted = np.array(
        [_median_distance(changes, start + (boundaries - start + offset) % (stop - start)) for offset in offsets]
    )
    p_value = max(_share(shifted <= observed), _normal_tail(z))
    control = f"{said}; under circular shifts the median is {np.median(shifted):.2f} decades"
    return Evidence(observed, None, p_value, bool(rise > 0 and observed < np.median(shifted)), control)


def _median_distance(changes: np.ndarray, boundaries: np.ndarray) -> float:
    return float(np.median(np.abs(changes[:, None] - boundaries).min(axis=1)))


def _resamples(size: int, thresholds: Thresholds, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(size, size=(thresholds.bootstrap, size))


def _share(hits: np.ndarray) -> float:
    return float((np.sum(hits) + 1) / (len(hits) + 1))


def _normal_tail(z: float) -> float:
    from scipy.stats import norm

    return float(norm.sf(z))
