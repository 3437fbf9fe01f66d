"""What one seed says of the claims about parts of the network."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from scipy.stats import binom, binomtest

from ontogeny.core.seeds import derive
from ontogeny.development import SignatureConfig, signatures
from ontogeny.development.clusters import permuted_within
from ontogeny.studies.claims import Claim, Evidence
from ontogeny.studies.language.config import LanguageConfig, Thresholds

SOURCE = "Wang et al., 2410.02984"
INDUCTION = "prefix_matching"
OTHER = "other"
PERMUTATIONS = 4999

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
) -> dict[str, Evidence]:
    """Claim id -> evidence, for the tested claims that this seed can speak of; where no head is of a type, it cannot
    speak of types.

    Args:
        parts: as `refine` gives them.
    """
    rng = np.random.default_rng(derive(config.seed, "claims about parts"))
    types = head_types(trajectory, config.thresholds)
    tests: dict[str, Callable[[], Evidence | None]] = {
        "signatures": lambda: _signatures(parts["refined"], types, config),
        "rise-and-fall": lambda: _rise_and_fall(parts["refined"], list(types), config.thresholds),
        "code-and-prose": lambda: _code_and_prose(parts["refined"], parts["responses"], types, rng),
        "relative": lambda: _relative(parts["relative"], list(types), config.thresholds, rng),
    }
    found = {name: test() for name, test in tests.items() if name in config.tested}
    return {name: evidence for name, evidence in found.items() if evidence is not None}


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


def falls(curves: xr.DataArray, errors: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Relative fall of each component's curve from its peak to its end, and its error."""
    values, spread = (each.transpose("component", "step").values for each in (curves, errors))
    rows = np.arange(len(values))
    peak = np.nanargmax(values, axis=1)
    highest = values[rows, peak]
    error = np.where(peak == values.shape[1] - 1, 0.0, np.hypot(spread[rows, peak], spread[:, -1]))
    return (highest - values[:, -1]) / highest, error / highest


def _signatures(refined: xr.Dataset, types: dict[str, str], config: LanguageConfig) -> Evidence | None:
    found = clustered(refined, types, config.seed)
    if "agreement" not in found.attrs:
        return None
    best = float(found["stability"].sel(num_clusters=found.attrs["chosen"]))
    agreement, null, p_value = (float(found.attrs[name]) for name in ("agreement", "null_mean", "p_value"))
    control = f"permuted within layers {null:.2f} on average; {found.attrs['chosen']} clusters, stability {best:.2f}"
    met = agreement > null + 1e-9  # clusters that are the layers agree as well with every permutation
    return Evidence(agreement, None, p_value, met, control)


def _rise_and_fall(refined: xr.Dataset, heads: list[str], thresholds: Thresholds) -> Evidence:
    main = refined.isel(dataset=0).sel(component=heads)
    fall, error = falls(main["llc"], main["llc_mcse"])
    first = main["llc"].transpose("component", "step").values.argmax(1) == 0
    count = int(((fall > thresholds.fallen) & (fall > 2 * error) & ~first).sum())
    interval = binomtest(count, len(heads)).proportion_ci(method="wilson")
    p_value = float(binom.sf(count - 1, len(heads), 0.5))
    control = f"median fall {np.median(fall):.2f}; {int(first.sum())} peak at the first checkpoint"
    share = count / len(heads)
    return Evidence(share, (float(interval.low), float(interval.high)), p_value, share > 0.5, control)


def _code_and_prose(
    refined: xr.Dataset, responses: xr.Dataset, types: dict[str, str], rng: np.random.Generator
) -> Evidence | None:
    heads, induction = list(types), np.array([kind == INDUCTION for kind in types.values()])
    last = refined.isel(step=-1).sel(component=heads)
    under_loss, error = _log_ratio(last["llc"], last["llc_mcse"], "dataset")
    noise = responses.sel(component=heads)
    under_noise, noise_error = _log_ratio(noise["rise_noise"], noise["rise_mcse_noise"], "probe")
    known = np.isfinite(under_loss) & np.isfinite(under_noise)
    if not induction[known].any() or induction[known].all():
        return None
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


def _relative(relative: xr.Dataset, heads: list[str], thresholds: Thresholds, rng: np.random.Generator) -> Evidence:
    curves = relative["llc"].isel(dataset=0).sel(component=heads).transpose("component", "step").values
    layers = np.array([head.partition("H")[0] for head in heads])
    first, second = (curves[layers == name] for name in ("L0", "L1"))

    def fall(rows: np.ndarray) -> float:
        mean = rows.mean(axis=0)
        return float((mean.max() - mean[-1]) / mean.max())

    whole = fall(first), fall(second)
    resampled = np.array(
        [
            fall(first[rng.integers(len(first), size=len(first))])
            - fall(second[rng.integers(len(second), size=len(second))])
            for _ in range(thresholds.bootstrap)
        ]
    )
    low, high = np.quantile(resampled, [0.025, 0.975])
    p_value = float((1 + np.sum(resampled <= 0)) / (1 + len(resampled)))
    met = whole[0] > thresholds.fallen > whole[1]
    control = f"layer 0 falls by {whole[0]:.2f} of its peak, layer 1 by {whole[1]:.2f}"
    return Evidence(whole[0] - whole[1], (float(low), float(high)), p_value, met, control)


def _log_ratio(values: xr.DataArray, errors: xr.DataArray, dim: str) -> tuple[np.ndarray, np.ndarray]:
    """Log of code over prose for each component, and its error; NaN where either is not positive."""
    pairs = [(values.sel({dim: name}).values, errors.sel({dim: name}).values) for name in ("code", "prose")]
    (code, code_error), (prose, prose_error) = pairs
    positive = (code > 0) & (prose > 0)
    ratio = np.full(code.shape, np.nan)
    ratio[positive] = np.log(code[positive] / prose[positive])
    return ratio, np.hypot(code_error / np.abs(code), prose_error / np.abs(prose))


def _difference(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].mean() - values[~chosen].mean())
