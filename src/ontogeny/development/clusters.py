"""Developmental signatures: components grouped by how their refined coefficients run along training."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive

Curves = Float[np.ndarray, "component step"]
_MIN_COMPONENTS = 4


class SignatureConfig(BaseModel):
    """How curves are grouped; fix it before looking at the runs that are reported.

    Attributes:
        method: k-means, or hierarchical clustering by Ward's criterion, both of Euclidean distance.
        normalization: of each curve: standardised (mean 0, variance 1), to its range (0 to 1), or none.
        max_clusters: numbers from 2 to this are tried.
        num_resamples: curves drawn from the errors of the estimates, for the stability of a number.
        num_permutations: of labels, for the p-value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = Field("k-means", pattern="^(k-means|hierarchical)$")
    normalization: str = Field("standard", pattern="^(standard|range|none)$")
    max_clusters: int = Field(6, ge=2)
    num_resamples: int = Field(100, ge=10)
    num_permutations: int = Field(999, ge=99)
    seed: int = 0


def signatures(
    trajectories: xr.Dataset | Sequence[xr.Dataset],
    labels: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
    *,
    components: Sequence[str] | None = None,
    dataset: str | None = None,
    config: SignatureConfig | None = None,
) -> xr.Dataset:
    """Components clustered by their curves λ̂(log step), with the stability of that and its agreement with labels.

    Curves are interpolated onto common steps, evenly spaced in log step, and normalised one by one. The number of
    clusters is the one whose grouping agrees best with the groupings of curves that are drawn from the estimates'
    errors (mean adjusted Rand index, `stability`). Agreement with labels is an adjusted Rand index; under its null
    labels are permuted within layers ("L0H3" is of layer L0) of one run.

    Args:
        trajectories: from `measure`, with several components; of one run, or of several whose components are pooled.
        labels: component -> its type by other evidence, such as head scores; one mapping a run.
        components: which take part; default all heads ("L0H3"), or all components but the whole where there are none.
        dataset: whose coefficients; default the first.
        config: see `SignatureConfig`.

    Returns:
        Dataset over `member` ("run/component"): `cluster`, `curve` (member, at), `label` if labels were given; over
        `num_clusters`: `stability`; attributes `chosen`, and with labels `agreement`, `p_value`.

    Raises:
        InvalidArgument: for fewer than four components, labels that miss one, or labels all alike.

    When not to trust it: four to six curves make groups of two whatever they are; a stability below some 0.7 says that
    the errors alone undo the grouping. Curves of one layer resemble each other for reasons other than their type: that
    is why labels are permuted within layers.

    References:
        Wang et al., "Differentiation and Specialization of Attention Heads via the Refined LLC", arXiv 2410.02984.
    """
    config = config or SignatureConfig()
    runs = [trajectories] if isinstance(trajectories, xr.Dataset) else list(trajectories)
    chosen = [_components(run, components) for run in runs]
    members = [f"{number}/{name}" for number, names in enumerate(chosen) for name in names]
    if len(members) < _MIN_COMPONENTS:
        expected = f"at least {_MIN_COMPONENTS} components with a coefficient"
        raise InvalidArgument(
            "components", expected=expected, found=str(len(members)), instead='components=["L0H0", …]'
        )
    types = None if labels is None else _types(members, labels)
    grid = _grid(runs)
    values, errors = (
        np.concatenate([_on_grid(run, names, grid, name, dataset) for run, names in zip(runs, chosen, strict=True)])
        for name in ("llc", "llc_mcse")
    )
    rng = np.random.default_rng(derive(config.seed, "signatures"))
    curves = _normalized(values, config)
    resampled = [
        _normalized(values + errors * rng.normal(size=values.shape), config) for _ in range(config.num_resamples)
    ]
    numbers = range(2, min(config.max_clusters, len(members) - 1) + 1)
    groupings = {number: _cluster(curves, number, config) for number in numbers}
    stability = [
        float(np.mean([adjusted_rand_score(groupings[number], _cluster(each, number, config)) for each in resampled]))
        for number in numbers
    ]
    best = list(numbers)[int(np.argmax(stability))]
    found = xr.Dataset(
        {
            "cluster": ("member", groupings[best]),
            "curve": (("member", "at"), curves),
            "stability": ("num_clusters", stability),
        },
        coords={"member": members, "at": grid, "num_clusters": list(numbers)},
        attrs={"chosen": best},
    )
    return found if types is None else _against(found, types, rng, config)


def _types(members: list[str], labels: Mapping[str, str] | Sequence[Mapping[str, str]]) -> np.ndarray:
    """The label of every member."""
    given = [labels] if isinstance(labels, Mapping) else list(labels)
    pairs = [member.split("/", 1) for member in members]
    missing = [name for run, name in pairs if int(run) >= len(given) or name not in given[int(run)]]
    if missing:
        raise InvalidArgument("labels", expected="a label for every component", found=f"none for {missing[0]!r}")
    types = np.array([given[int(run)][name] for run, name in pairs])
    if len(set(types)) < 2:
        raise InvalidArgument("labels", expected="at least two types", found=f"{types[0]!r} alone")
    return types


def _against(found: xr.Dataset, types: np.ndarray, rng: np.random.Generator, config: SignatureConfig) -> xr.Dataset:
    """With the agreement of clusters and labels, and its p-value under permutations within layers of a run."""
    layers = np.array([str(member).partition("H")[0] for member in found["member"].values])
    clusters = found["cluster"].values
    agreement = adjusted_rand_score(types, clusters)
    null = [adjusted_rand_score(permuted_within(types, layers, rng), clusters) for _ in range(config.num_permutations)]
    p_value = (1 + int(np.sum(np.array(null) >= agreement - 1e-12))) / (1 + config.num_permutations)
    attrs = {"agreement": float(agreement), "p_value": p_value, "null_mean": float(np.mean(null))}
    return found.assign(label=("member", types)).assign_attrs(found.attrs | attrs)


def permuted_within(values: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values in random order within each group."""
    moved = values.copy()
    for group in np.unique(groups):
        at = np.flatnonzero(groups == group)
        moved[at] = values[rng.permutation(at)]
    return moved


def _components(run: xr.Dataset, wanted: Sequence[str] | None) -> list[str]:
    there = [str(name) for name in run["component"].values]
    if wanted is not None:
        unknown = sorted(set(wanted) - set(there))
        if unknown:
            raise InvalidArgument(
                "components", expected=f"components of the trajectory ({', '.join(there)})", found=unknown[0]
            )
        return list(wanted)
    heads = [
        name for name in there if name.startswith("L") and name[1:].replace("H", "", 1).isdecimal() and "H" in name
    ]
    return heads or [name for name in there if name != "all"]


def _grid(runs: list[xr.Dataset]) -> Float[np.ndarray, " at"]:
    """Steps that all runs reach, as many as the shortest run has checkpoints."""
    steps = [run["step"].values[run["step"].values >= 1] for run in runs]
    first, last = max(each.min() for each in steps), min(each.max() for each in steps)
    return np.geomspace(first, last, min(len(each) for each in steps))


def _on_grid(
    run: xr.Dataset, names: list[str], grid: Float[np.ndarray, " at"], variable: str, dataset: str | None
) -> Curves:
    chosen = run[variable].sel(component=names)
    chosen = chosen.isel(dataset=0) if dataset is None else chosen.sel(dataset=dataset)
    kept = run["step"].values >= 1
    values = chosen.transpose("component", "step").values[:, kept].astype(float)
    log = np.log(run["step"].values[kept])
    known = np.isfinite(values)
    return np.stack([np.interp(np.log(grid), log[ok], row[ok]) for row, ok in zip(values, known, strict=True)])


def _normalized(curves: Curves, config: SignatureConfig) -> Curves:
    if config.normalization == "none":
        return curves
    low = curves.mean(1, keepdims=True) if config.normalization == "standard" else curves.min(1, keepdims=True)
    scale = curves.std(1, keepdims=True) if config.normalization == "standard" else np.ptp(curves, axis=1)[:, None]
    return (curves - low) / np.where(scale > 0, scale, 1)


def _cluster(curves: Curves, number: int, config: SignatureConfig) -> Int[np.ndarray, " component"]:
    if config.method == "hierarchical":
        return AgglomerativeClustering(number).fit_predict(curves)
    return KMeans(number, n_init=5, random_state=derive(config.seed, "k-means") % 2**32).fit_predict(curves).astype(int)
