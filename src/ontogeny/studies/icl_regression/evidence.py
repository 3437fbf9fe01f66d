"""The claims of the study of in-context regression, and what one seed's networks say of each."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import spearmanr

from ontogeny.development import curves, nulls
from ontogeny.development.usable import usable_points
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.icl_regression.approach import bridges, nearness
from ontogeny.studies.icl_regression.config import INFINITE, LARGE, RegressionStudyConfig
from ontogeny.studies.icl_regression.measures import DMMSE, IN, OUT, RIDGE
from ontogeny.studies.icl_regression.recipe import coefficients_of, curves_of
from ontogeny.studies.icl_regression.selection import crossover

Rng = np.random.Generator
CARROLL, HOOGLAND = "Carroll et al., 2501.17745", "Hoogland et al., 2402.02364"

claims = Claims(presets=LARGE)


@claims.add(
    "transient-ridge",
    "At an intermediate task diversity the network is like ridge for a time",
    source=CARROLL,
    expects="for the intermediate M of the largest rebound, out of distribution, the distance to ridge rises after its "
    "minimum by a factor above 2, while that to dMMSE falls; at infinite M by a factor below 1.5; the smallest M stays "
    "at more than half of its first distance",
    unit="distance to ridge at the end over its minimum",
)
def _(found: Findings, config: RegressionStudyConfig, rng: Rng) -> Evidence:
    thresholds = config.thresholds
    chosen = slice(0, None, 2)  # M is chosen on one half of the probes and its rebound measured on the other
    rebounds = {str(M): rebound(ridge_distance(found, str(M))[:, chosen].mean(1)) for M in config.intermediate}
    label = max(rebounds, key=lambda each: rebounds[each])
    measured = ridge_distance(found, label)[:, 1::2]
    least = int(ridge_distance(found, label)[:, chosen].mean(1).argmin())

    def rise(sample: np.ndarray) -> float:
        path = measured[:, sample].mean(1)
        return float(path[-1] / path[least])

    size = measured.shape[1]
    resampled, value = curves.bootstrap(rise, size, thresholds.bootstrap, rng), rise(np.arange(size))
    to_dmmse = found[curves_of(label)]["distance"].sel(reference=DMMSE, distribution=OUT).values
    infinite = rebound(ridge_distance(found, INFINITE).mean(1))
    smallest = ridge_distance(found, str(config.diversities[0])).mean(1)
    apart = float(smallest.min() / smallest[0])
    met = value > thresholds.rebound and to_dmmse[-1] < to_dmmse[least]
    met = met and infinite < thresholds.steady and apart > thresholds.apart
    control = f"M {label} from step {steps_of(found, label)[least]}; infinite M {infinite:.2f}; least of M "
    control += f"{config.diversities[0]} over first {apart:.2f}; distance to dMMSE {to_dmmse[least]:.2f}, "
    control += f"then {to_dmmse[-1]:.2f}"
    null = nulls.bootstrapped(resampled, thresholds.rebound)
    return Evidence(value, bool(met), curves.interval(resampled), control, null)


@claims.add(
    "bends-to-ridge",
    "The path of an intermediate diversity bends towards ridge",
    source=CARROLL,
    expects="for every intermediate M, in joint trajectory PCA, the path comes nearer to ridge than the straight line "
    "between its ends by more than a tenth",
    unit="least share by which it comes nearer, over intermediate M",
)
def _(found: Findings, config: RegressionStudyConfig, rng: Rng) -> Evidence:
    pca = found["pca"]
    ridge = pca["reference_score"].sel(reference=RIDGE).values
    paths = {str(M): path_of(pca, str(M)) for M in (config.diversities[0], *config.intermediate)}
    nearer = {label: nearness(path, ridge) for label, (_, path) in paths.items()}
    held = {label: nearer[label] for label in map(str, config.intermediate)}
    worst = min(held, key=lambda label: held[label])
    drawn = [nearness(each, ridge) for each in bridges(*paths[worst], config.thresholds.bridges, rng)]
    null = nulls.simulated("Brownian bridges between the same ends, as far from the line", held[worst], np.array(drawn))
    told = ", ".join(f"M {label} {value:.2f}" for label, value in nearer.items())
    return Evidence(
        held[worst], held[worst] > config.thresholds.bend, None, f"{told}; bridges {null.typical:.2f}", null
    )


@claims.add(
    "complexity-with-diversity",
    "Complexity grows with the number of tasks that a network has learned, and ridge-like networks share one",
    source=CARROLL,
    expects="at the end the coefficients of networks nearer to dMMSE than to ridge are in the order of M, and those of "
    "the others differ by less than 15 % of their mean",
    unit="rank correlation of M and the coefficient",
)
def _(found: Findings, config: RegressionStudyConfig, rng: Rng) -> Evidence | NotTested:
    labels = [*map(str, config.diversities), INFINITE]
    value = {label: final_coefficient(found, label) for label in labels}
    learned = [label for label in labels[:-1] if like_dmmse(found, label)]
    others = [label for label in labels if label not in learned]
    if len(learned) < 3 or len(others) < 2:
        return NotTested(f"{len(learned)} networks are nearer to dMMSE, {len(others)} to ridge; it needs 3 and 2")
    if not np.isfinite(list(value.values())).all():
        return NotTested("a coefficient at the end is not usable")
    order = np.array([float(label) for label in learned])
    known = np.array([value[label] for label in learned])

    def correlation(diversity: np.ndarray) -> float:
        return float(spearmanr(diversity, known).statistic)

    ridge_like = np.array([value[label] for label in others])
    spread = float(np.ptp(ridge_like) / ridge_like.mean())
    null = nulls.permutations(correlation, order, rng)
    control = (
        f"ridge-like {', '.join(others)}: spread {spread:.2f}; dMMSE-like {float(np.ptp(known) / known.mean()):.2f}"
    )
    met = correlation(order) == 1 and spread < config.thresholds.shared
    return Evidence(correlation(order), bool(met), None, control, null)


@claims.add(
    "prior-before-context",
    "At infinite diversity the network predicts the task prior before it learns in context",
    source=f"{HOOGLAND} (stages LR1, LR2)",
    expects="the mean square of predictions falls below the noise variance, and is smallest before the in-context gain "
    "reaches half of its final value",
    unit="decades of step between the two",
    presets={"quick", *LARGE},
)
def _(found: Findings, config: RegressionStudyConfig, rng: Rng) -> Evidence | NotTested:
    table, steps = found[curves_of(INFINITE)], steps_of(found, INFINITE)
    squared, gained = (
        table[name].transpose("step", "sequence").values for name in ("squared_by_sequence", "icl_by_sequence")
    )

    if gained[-1].mean() >= 0:
        return NotTested("the network has learned nothing in context")

    def lead(sample: np.ndarray) -> float:
        curve = -gained[:, sample].mean(1)
        if curve[-1] <= 0:  # a resample that gains nothing has no half time, and counts as the other order
            return -float(np.log10(steps[-1]))
        half = curves.half_time(steps, curve)
        return float(np.log10(half / max(steps[squared[:, sample].mean(1).argmin()], 1)))

    size, smallest = squared.shape[1], float(squared.mean(1).min())
    resampled, value = curves.bootstrap(lead, size, config.thresholds.bootstrap, rng), lead(np.arange(size))
    control = (
        f"least mean square {smallest:.3f}, noise variance {config.noise_variance:g}; at step 0 {squared[0].mean():.2f}"
    )
    met = value > 0 and smallest < config.noise_variance
    return Evidence(value, bool(met), curves.interval(resampled), control, nulls.bootstrapped(resampled))


@claims.add(
    "forms-are-chance",
    "Essential dynamics finds no more forms than in Brownian motion",
    source=f"{HOOGLAND} (versions 1 and 2); the null after Antognini and Sohl-Dickstein 2018",
    expects="Brownian paths over the same steps have as many forms with a probability of at least 0.05",
    unit="probability of as many forms",
    presets={"quick", *LARGE},
)
def _(found: Findings, config: RegressionStudyConfig, rng: Rng) -> Evidence:
    table = found["essential"]
    value = float(table["p_value"])
    count, typical = table.sizes["form"], float(table["null_forms"].median())
    return Evidence(value, value >= 0.05, None, f"{count} forms; Brownian paths {typical:g}")


@claims.add(
    "crossover-and-turn",
    "Networks turn from ridge in the order in which the free energies of the phases cross",
    source=CARROLL,
    expects="over finite M, Δλ/ΔL, which orders the crossovers of n/ln n = Δλ/ΔL, and the step nearest to ridge have a "
    "positive rank correlation",
    unit="rank correlation",
)
def _(found: Findings, config: RegressionStudyConfig, rng: Rng) -> Evidence | NotTested:
    rows = phase_table(found, config.diversities)
    predicted, turned = rows["complexity_gap"].values / rows["loss_gap"].values, rows["turn"].values
    if not np.isfinite(predicted).all():
        return NotTested("a coefficient of a phase is not usable")
    if not (rows["loss_gap"] > 0).all():
        return NotTested("a network of finite M is no better on its tasks than that of infinite M")

    def correlation(turns: np.ndarray) -> float:
        return float(spearmanr(predicted, turns).statistic)

    if len(np.unique(turned)) < 2:
        return NotTested("every network turned at the same checkpoint")
    null = nulls.permutations(correlation, turned, rng)
    told = ", ".join(
        f"M {M}: {n:.3g}, step {step:g}" for M, n, step in zip(rows["M"].values, predicted, turned, strict=True)
    )
    return Evidence(correlation(turned), correlation(turned) > 0, None, told, null)


def phase_table(found: Findings, diversities: Sequence[int]) -> xr.Dataset:
    """Of each finite M: Δλ, ΔL in nats a sequence, the predicted crossover n, and the step nearest to ridge."""
    rows = []
    for label in map(str, diversities):
        own, ridge = found[coefficients_of(label)], found[f"ridge-phase-{label}"]
        losses = [float(each["loss"].isel(step=-1).squeeze()) for each in (own, ridge)]
        gaps = usable_complexity(own) - usable_complexity(ridge), losses[1] - losses[0]
        path = ridge_distance(found, label).mean(1)
        turn = float(steps_of(found, label)[path.argmin()])
        rows.append((*gaps, crossover(*gaps), turn, rebound(path)))
    names = ("complexity_gap", "loss_gap", "crossover", "turn", "rebound")
    columns = {name: ("M", [row[place] for row in rows]) for place, name in enumerate(names)}
    return xr.Dataset(columns, {"M": [str(M) for M in diversities]})


def rebound(path: Float[np.ndarray, " step"]) -> float:
    """The last value over the smallest."""
    return float(path[-1] / path.min())


def ridge_distance(found: Findings, label: str) -> Float[np.ndarray, "step sequence"]:
    """Squared distance to ridge of each sequence of Gaussian tasks."""
    return found[curves_of(label)]["ridge_by_sequence"].transpose("step", "sequence").values


def like_dmmse(found: Findings, label: str) -> bool:
    """Whether a network is at the end nearer to dMMSE than to ridge, on its own tasks."""
    last = found[curves_of(label)]["distance"].isel(step=-1).sel(distribution=IN)
    return bool(last.sel(reference=DMMSE) < last.sel(reference=RIDGE))


def final_coefficient(found: Findings, label: str) -> float:
    """The complexity of the last checkpoint; NaN where its verdict forbids its use."""
    return usable_complexity(found[coefficients_of(label)])


def usable_complexity(measured: xr.Dataset) -> float:
    """At the last step, by the rules of `development.usable`."""
    points = usable_points(measured.isel(step=[-1]), "llc_complexity", "all")
    return float(points.value[0]) if len(points.value) else float("nan")


def path_of(pca: xr.Dataset, label: str) -> tuple[np.ndarray, Float[np.ndarray, "step pc"]]:
    """Steps and scores of one network."""
    own = pca.isel(point=pca["trajectory"].values == f"M {label}")
    return own["step"].values, own["score"].values


def steps_of(found: Findings, label: str) -> np.ndarray:
    """The checkpoints of a network."""
    return found[curves_of(label)]["step"].values
