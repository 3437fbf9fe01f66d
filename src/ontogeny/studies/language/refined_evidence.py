"""The claims of the language study about heads and their refined coefficients, and what one seed says of each."""

import numpy as np
from scipy.stats import binomtest

from ontogeny.circuits import head_types
from ontogeny.core.intervals import Z95
from ontogeny.development import curves, nulls
from ontogeny.development.usable import usable_curves
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.language.config import LanguageConfig
from ontogeny.studies.language.evidence import INDUCTION, WANG, Rng, claims
from ontogeny.studies.language.shown import CODE, PROSE


@claims.add(
    "signatures",
    "Curves of the refined coefficient tell types of heads apart",
    source=WANG,
    expects="clusters of the heads' curves agree with their types by head scores better than types permuted within "
    "layers",
    unit="adjusted Rand index",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    clusters = found["signatures"]
    if "agreement" not in clusters.attrs:
        return NotTested("no head scores high enough to be of a type")
    agreement, typical, p_value = (float(clusters.attrs[name]) for name in ("agreement", "null_mean", "p_value"))
    stability = float(clusters["stability"].sel(num_clusters=clusters.attrs["chosen"]))
    control = f"permuted within layers {typical:.2f} on average; {clusters.attrs['chosen']} clusters, "
    control += f"stability {stability:.2f}"
    met = agreement > typical + 1e-9  # clusters that are the layers agree as well with every permutation
    return Evidence(agreement, met, None, control, nulls.Null("labels permuted within groups", p_value, typical))


@claims.add(
    "rise-and-fall",
    "Refined coefficients of heads rise and then fall",
    source=WANG,
    expects="more than half of the heads end a tenth below their peak, by more than twice the error",
    unit="share of heads",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    heads = list(_types(found, config))
    values, errors = usable_curves(found["refined"], heads)
    fall, error = curves.falls(values, errors)
    known = np.isfinite(fall)
    if known.mean() < 0.5:
        return NotTested(f"only {known.sum()} of {len(heads)} heads have a curve of usable estimates")
    fall, error, first = fall[known], error[known], np.nanargmax(values[known], axis=1) == 0
    count, size = int(((fall > config.thresholds.fallen) & (fall > 2 * error) & ~first).sum()), len(fall)
    interval = binomtest(count, size).proportion_ci(method="wilson")
    control = f"median fall {np.median(fall):.2f}; {int(first.sum())} peak at the first checkpoint"
    control += f"; {len(heads) - size} heads without a usable curve" if size < len(heads) else ""
    limits = (float(interval.low), float(interval.high))
    return Evidence(count / size, count > size / 2, limits, control, nulls.even_odds(count, size))


@claims.add(
    "code-and-prose",
    "Induction heads are of other complexity on code than on prose",
    source=WANG,
    expects="log ratio of the coefficient on code to that on prose differs between induction heads and others, beyond "
    "the same of the rise in loss under pure weight noise of their radius",
    unit="difference of mean log ratios, less that under noise",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    types, refined, noise = _types(found, config), found["refined"], found["responses"]
    heads, induction = list(types), np.array([kind == INDUCTION for kind in types.values()])
    last = [[each[:, -1] for each in usable_curves(refined, heads, text)] for text in (CODE, PROSE)]
    under_loss, error = curves.log_ratio(*last[0], *last[1])
    rises = [noise[name].sel(component=heads) for name in ("rise_noise", "rise_mcse_noise")]
    under_noise, noise_error = curves.log_ratio(
        *(rise.sel(probe=text).values for text in (CODE, PROSE) for rise in rises)
    )
    known = np.isfinite(under_loss) & np.isfinite(under_noise)
    if not induction[known].any() or induction[known].all():
        return NotTested("induction heads and others with usable estimates are not both there")
    beyond, chosen = (under_loss - under_noise)[known], induction[known]
    layers = np.array([head.partition("H")[0] for head in heads])[known]
    effect, squares = _difference(beyond, chosen), (error**2 + noise_error**2)[known]
    half = Z95 * float(np.sqrt(sum(squares[part].sum() / part.sum() ** 2 for part in (chosen, ~chosen))))
    control = (
        f"{int(chosen.sum())} induction heads; under the loss alone {_difference(under_loss[known], chosen):.3f}, "
    )
    control += f"under noise {_difference(under_noise[known], chosen):.3f}; {int((~known).sum())} heads without a ratio"
    null = nulls.permutations(lambda labels: _difference(beyond, labels), chosen, rng, within=layers, two_sided=True)
    return Evidence(effect, abs(effect) > half, (effect - half, effect + half), control, null)


@claims.add(
    "relative",
    "Relative to one layer, layer 0 peaks and falls while layer 1 keeps rising",
    source=WANG,
    expects="mean coefficient relative to the one-layer reference ends a tenth below its peak in layer 0, and within a "
    "tenth of it in layer 1",
    unit="relative fall from the peak, layer 0 less layer 1",
)
def _(found: Findings, config: LanguageConfig, rng: Rng) -> Evidence | NotTested:
    heads, fallen = list(_types(found, config)), config.thresholds.fallen
    values, _ = usable_curves(found["relative"], heads)
    known, layers = np.isfinite(values).all(axis=1), np.array([head.partition("H")[0] for head in heads])
    first, second = (values[known & (layers == name)] for name in ("L0", "L1"))
    if min(len(first), len(second)) < 2:
        counted = f"{len(first)} of layer 0 and {len(second)} of layer 1"
        return NotTested(f"too few heads are usable at every checkpoint, {counted}")

    def fall(rows: np.ndarray) -> float:
        mean = rows.mean(axis=0)
        return float((mean.max() - mean[-1]) / mean.max())

    def resampled(rows: np.ndarray) -> np.ndarray:
        return curves.bootstrap(lambda sample: fall(rows[sample]), len(rows), config.thresholds.bootstrap, rng)

    difference, whole = resampled(first) - resampled(second), (fall(first), fall(second))
    control = f"layer 0 falls by {whole[0]:.2f} of its peak, layer 1 by {whole[1]:.2f}"
    if not known.all():
        control += f"; {int((~known).sum())} heads left out, whose estimates are not all usable"
    met, null = whole[0] > fallen > whole[1], nulls.bootstrapped(difference)
    return Evidence(whole[0] - whole[1], met, curves.interval(difference), control, null)


def _types(found: Findings, config: LanguageConfig) -> dict[str, str]:
    """Head -> its type at the end."""
    return head_types(found["trajectory"]["head_score"].isel(step=-1), config.thresholds.head_scores)


def _difference(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].mean() - values[~chosen].mean())
