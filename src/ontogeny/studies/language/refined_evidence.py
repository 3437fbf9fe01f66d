"""What one seed says of the claims about parts of the network."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import binom, binomtest

from ontogeny.core.seeds import derive
from ontogeny.development import SignatureConfig, signatures
from ontogeny.development.clusters import permuted_within
from ontogeny.development.usable import coefficient_of, usable_points
from ontogeny.studies.claims import Claim, Evidence, Finding, NotTested, find
from ontogeny.studies.language.config import LanguageConfig, Thresholds

Curves = Float[np.ndarray, "component step"]

SOURCE = "Wang et al., 2410.02984"
INDUCTION = "prefix_matching"
OTHER = "other"
PERMUTATIONS = 4999
TEXTS = ("code", "prose")

CLAIMS = (
    Claim(
        id="signatures",
        title="Curves of the refined coefficient tell types of heads apart",
        source=SOURCE,
        expectation="clusters of the heads' curves agree with their types by head scores better than types permuted "
        "within layers",
        unit="adjusted Rand index",
    ),
    Claim(
        id="rise-and-fall",
        title="Refined coefficients of heads rise and then fall",
        source=SOURCE,
        expectation="more than half of the heads end a tenth below their peak, by more than twice the error",
        unit="share of heads",
    ),
    Claim(
        id="code-and-prose",
        title="Induction heads are of other complexity on code than on prose",
        source=SOURCE,
        expectation="log ratio of the coefficient on code to that on prose differs between induction heads and others, "
        "beyond the same of the rise in loss under pure weight noise of their radius",
        unit="difference of mean log ratios, less that under noise",
    ),
    Claim(
        id="relative",
        title="Relative to one layer, layer 0 peaks and falls while layer 1 keeps rising",
        source=SOURCE,
        expectation="mean coefficient relative to the one-layer reference ends a tenth below its peak in layer 0, and "
        "within a tenth of it in layer 1",
        unit="relative fall from the peak, layer 0 less layer 1",
    ),
)


def refined_evidence(
    trajectory: xr.Dataset, parts: Mapping[str, xr.Dataset], config: LanguageConfig
) -> dict[str, Finding]:
    """Claim id -> what this seed says of it; where no head is of a type, it cannot speak of types.

    Args:
        parts: those that the config measures, as `refine` gives them.
    """
    rng = np.random.default_rng(derive(config.seed, "claims about parts"))
    types = head_types(trajectory, config.thresholds)
    tests: dict[str, tuple[tuple[str, ...], Callable[..., Finding]]] = {
        "signatures": (("refined",), lambda refined: _signatures(refined, types, config)),
        "rise-and-fall": (("refined",), lambda refined: _rise_and_fall(refined, list(types), config.thresholds)),
        "code-and-prose": (
            ("refined", "responses"),
            lambda refined, responses: _code_and_prose(refined, responses, types, rng),
        ),
        "relative": (("relative",), lambda relative: _relative(relative, list(types), config.thresholds, rng)),
    }

    def test(name: str) -> Finding:
        needed, function = tests[name]
        missing = [part for part in needed if part not in parts]
        if missing:
            return NotTested(f"{' and '.join(missing)} coefficients of parts were not measured")
        return function(*(parts[part] for part in needed))

    return find({name: partial(test, name) for name in tests}, config.tested)


def head_types(trajectory: xr.Dataset, thresholds: Thresholds) -> dict[str, str]:
    """Head -> the first score whose threshold its final value reaches, or "other"."""
    final = trajectory["head_score"].isel(step=-1)
    types = {}
    for layer in range(final.sizes["layer"]):
        for head in range(final.sizes["head"]):
            scores = final.isel(layer=layer, head=head)
            reached = [name for name, least in thresholds.head_scores if float(scores.sel(score=name)) >= least]
            types[f"L{layer}H{head}"] = reached[0] if reached else OTHER
    return types


def clustered(refined: xr.Dataset, types: dict[str, str], seed: int) -> xr.Dataset:
    """Signatures of all heads on the main text, held against their types if there are several."""
    labels = types if len(set(types.values())) > 1 else None
    return signatures(refined, labels, components=list(types), config=SignatureConfig(seed=seed))


def usable_curves(measured: xr.Dataset, components: list[str], dataset: str | None = None) -> tuple[Curves, Curves]:
    """Coefficients of components (component, step) and their errors, NaN where the verdict forbids to use them.

    Raises:
        InvalidArgument: for a component that was not measured.
    """
    coefficient, steps = coefficient_of(measured), measured["step"].values
    values, errors = np.full((2, len(components), len(steps)), np.nan)
    for row, component in enumerate(components):
        points = usable_points(measured, coefficient, component, dataset)
        at = np.searchsorted(steps, points.step)
        values[row, at], errors[row, at] = points.value, points.error
    return values, errors


def falls(values: Curves, errors: Curves) -> tuple[np.ndarray, np.ndarray]:
    """Relative fall of each component's curve from its peak to its end, and its error; NaN where less than half of it
    is usable, or its end is not.
    """
    fall, error = np.full((2, len(values)), np.nan)
    for row, (curve, spread) in enumerate(zip(values, errors, strict=True)):
        if np.isfinite(curve).mean() < 0.5 or not np.isfinite(curve[-1]):
            continue
        peak = int(np.nanargmax(curve))
        fall[row] = (curve[peak] - curve[-1]) / curve[peak]
        error[row] = 0.0 if peak == len(curve) - 1 else np.hypot(spread[peak], spread[-1]) / curve[peak]
    return fall, error


def _signatures(refined: xr.Dataset, types: dict[str, str], config: LanguageConfig) -> Finding:
    found = clustered(refined, types, config.seed)
    if "agreement" not in found.attrs:
        return NotTested("no head scores high enough to be of a type")
    best = float(found["stability"].sel(num_clusters=found.attrs["chosen"]))
    agreement, null, p_value = (float(found.attrs[name]) for name in ("agreement", "null_mean", "p_value"))
    control = f"permuted within layers {null:.2f} on average; {found.attrs['chosen']} clusters, stability {best:.2f}"
    met = agreement > null + 1e-9  # clusters that are the layers agree as well with every permutation
    return Evidence(agreement, None, p_value, met, control)


def _rise_and_fall(refined: xr.Dataset, heads: list[str], thresholds: Thresholds) -> Finding:
    values, errors = usable_curves(refined, heads)
    fall, error = falls(values, errors)
    known = np.isfinite(fall)
    if known.mean() < 0.5:
        return NotTested(f"only {known.sum()} of {len(heads)} heads have a curve of usable estimates")
    fall, error = fall[known], error[known]
    first = np.nanargmax(values[known], axis=1) == 0
    count, size = int(((fall > thresholds.fallen) & (fall > 2 * error) & ~first).sum()), len(fall)
    interval = binomtest(count, size).proportion_ci(method="wilson")
    p_value = float(binom.sf(count - 1, size, 0.5))
    control = f"median fall {np.median(fall):.2f}; {int(first.sum())} peak at the first checkpoint"
    if size < len(heads):
        control += f"; {len(heads) - size} heads without a usable curve"
    share = count / size
    return Evidence(share, (float(interval.low), float(interval.high)), p_value, share > 0.5, control)


def _code_and_prose(
    refined: xr.Dataset, responses: xr.Dataset, types: dict[str, str], rng: np.random.Generator
) -> Finding:
    heads, induction = list(types), np.array([kind == INDUCTION for kind in types.values()])
    last = [[each[:, -1] for each in usable_curves(refined, heads, name)] for name in TEXTS]
    under_loss, error = _log_ratio(*last)
    noise = responses.sel(component=heads)
    names = ("rise_noise", "rise_mcse_noise")
    under_noise, noise_error = _log_ratio(*([noise[name].sel(probe=text).values for name in names] for text in TEXTS))
    known = np.isfinite(under_loss) & np.isfinite(under_noise)
    if not induction[known].any() or induction[known].all():
        return NotTested("induction heads and others with usable estimates are not both there")
    beyond = (under_loss - under_noise)[known]
    layers = np.array([head.partition("H")[0] for head in heads])[known]
    observed = _difference(beyond, induction[known])
    null = np.array([_difference(beyond, permuted_within(induction[known], layers, rng)) for _ in range(PERMUTATIONS)])
    p_value = float((1 + np.sum(np.abs(null) >= abs(observed) - 1e-12)) / (1 + PERMUTATIONS))
    squares = (error**2 + noise_error**2)[known]
    groups = (induction[known], ~induction[known])
    half = 1.96 * float(np.sqrt(sum(squares[part].sum() / part.sum() ** 2 for part in groups)))
    said = f"{int(induction[known].sum())} induction heads; under the loss alone "
    control = f"{said}{_difference(under_loss[known], induction[known]):.3f}, under noise "
    control += f"{_difference(under_noise[known], induction[known]):.3f}; {int((~known).sum())} heads without a ratio"
    return Evidence(observed, (observed - half, observed + half), p_value, abs(observed) > half, control)


def _relative(relative: xr.Dataset, heads: list[str], thresholds: Thresholds, rng: np.random.Generator) -> Finding:
    curves, _ = usable_curves(relative, heads)
    known = np.isfinite(curves).all(axis=1)
    layers = np.array([head.partition("H")[0] for head in heads])
    first, second = (curves[known & (layers == name)] for name in ("L0", "L1"))
    if min(len(first), len(second)) < 2:
        counted = f"{len(first)} of layer 0 and {len(second)} of layer 1"
        return NotTested(f"too few heads are usable at every checkpoint, {counted}")

    def fall(rows: np.ndarray) -> float:
        mean = rows.mean(axis=0)
        return float((mean.max() - mean[-1]) / mean.max())

    def resampled_fall(rows: np.ndarray) -> float:
        return fall(rows[rng.integers(len(rows), size=len(rows))])

    whole = fall(first), fall(second)
    resampled = np.array([resampled_fall(first) - resampled_fall(second) for _ in range(thresholds.bootstrap)])
    low, high = np.quantile(resampled, [0.025, 0.975])
    p_value = float((1 + np.sum(resampled <= 0)) / (1 + len(resampled)))
    met = whole[0] > thresholds.fallen > whole[1]
    control = f"layer 0 falls by {whole[0]:.2f} of its peak, layer 1 by {whole[1]:.2f}"
    if not known.all():
        control += f"; {int((~known).sum())} heads left out, whose estimates are not all usable"
    return Evidence(whole[0] - whole[1], (float(low), float(high)), p_value, met, control)


def _log_ratio(code: Sequence[np.ndarray], prose: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Log of code over prose, each values and errors by component, and its error; NaN where either is not positive."""
    ratio, error = np.full((2, len(code[0])), np.nan)
    positive = (code[0] > 0) & (prose[0] > 0)
    (upper, upper_error), (lower, lower_error) = ([each[positive] for each in pair] for pair in (code, prose))
    ratio[positive] = np.log(upper / lower)
    error[positive] = np.hypot(upper_error / upper, lower_error / lower)
    return ratio, error


def _difference(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].mean() - values[~chosen].mean())
