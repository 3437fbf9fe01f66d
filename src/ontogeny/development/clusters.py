"""Developmental signatures: components clustered by the curves of their refined coefficients along training."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from pydantic import Field
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.runs import labels_along, runs_of
from ontogeny.core.seeds import derive
from ontogeny.core.settings import Settings
from ontogeny.development.usable import Coefficient, Points, coefficient_of, counts, remedy, usable_points

Curves = Float[np.ndarray, "component step"]
_MIN_COMPONENTS = 4
_USABLE = 0.5  # least share of a component's checkpoints; below it the curve is mostly interpolation


class SignatureConfig(Settings):
    """Settings of the clustering. Fix them before looking at the runs you report.

    Attributes:
        method: k-means, or hierarchical clustering by Ward's criterion, both of Euclidean distance.
        normalization: of each curve: standardised (mean 0, variance 1), to its range (0 to 1), or none.
        max_clusters: cluster numbers from 2 to this are tried.
        num_resamples: curves resampled from the errors of the estimates, for the stability of a number.
        num_permutations: permutations of labels, for the p-value.
        coefficient: the variable that is clustered, "llc_complexity" or "llc"; default: the complexity if every run has
            it.
    """

    method: str = Field("k-means", pattern="^(k-means|hierarchical)$")
    normalization: str = Field("standard", pattern="^(standard|range|none)$")
    max_clusters: int = Field(6, ge=2)
    num_resamples: int = Field(100, ge=10)
    num_permutations: int = Field(999, ge=99)
    coefficient: Coefficient | None = None
    seed: int = 0


def signatures(
    trajectories: xr.Dataset | Sequence[xr.Dataset],
    labels: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
    *,
    components: Sequence[str] | None = None,
    dataset: str | None = None,
    config: SignatureConfig | None = None,
) -> xr.Dataset:
    """Cluster components by their curves λ̂(log step), with the stability of the clusters and their agreement with
    labels.

    Curves are interpolated onto common steps, evenly spaced in log step, and normalised one by one. Only estimates that
    `stages` would use enter a curve. A component with less than half of them usable is left out and listed. The common
    steps lie between usable estimates of all other components, so no curve is extrapolated. The number of clusters is
    the one whose clustering agrees best with those of curves resampled from the estimates' errors (mean adjusted Rand
    index, `stability`). Agreement with labels is an adjusted Rand index. Under its null, labels are permuted within the
    layers ("L0H3" is in layer L0) of one run.

    Args:
        trajectories: from `measure`, with several components; of one run, or of several with pooled components, in a
            list or joined along a further dimension.
        labels: component -> its type from other evidence, such as head scores; one mapping per run.
        components: those to cluster; default all heads ("L0H3"), or, without heads, all components but the whole.
        dataset: the dataset of the coefficients; default the first.
        config: see `SignatureConfig`.

    Returns:
        Dataset over `member` ("run/component"): `cluster`, `curve` (member, at), `label` if labels were given; over
        `num_clusters`: `stability`; attributes `coefficient`, `chosen`, `excluded_members` and `excluded_outcome` (the
            number of estimates left out of each, by outcome), and with labels `agreement`, `p_value`.

    Raises:
        InvalidArgument: for fewer than four components with usable curves, curves without errors or without common
            steps, labels that miss a component, or a single label.

    When not to trust it: four to six curves form groups of two whatever they are. A stability below about 0.7 means
        that the errors alone undo the clustering. Curves of one layer resemble each other for reasons other than type,
        which is why labels are permuted within layers.

    References:
        Wang et al., "Differentiation and Specialization of Attention Heads via the Refined LLC", arXiv 2410.02984.
    """
    config = config or SignatureConfig()
    given = [trajectories] if isinstance(trajectories, xr.Dataset) else list(trajectories)
    runs = [run for each in given for run in runs_of(each, "trajectories").values()]
    coefficient = config.coefficient
    if coefficient is None:
        by_run = [coefficient_of(run) for run in runs]
        coefficient = by_run[0] if len(set(by_run)) == 1 else "llc"
    points = _points(runs, components, dataset, coefficient)
    usable = {member: each for member, each in points.items() if _is_usable(each)}
    excluded = {member: counts(each.excluded_outcome) for member, each in points.items() if member not in usable}
    if len(usable) < _MIN_COMPONENTS:
        raise _too_few(points, excluded)
    members = list(usable)
    types = None if labels is None else _types(members, labels)
    grid = _grid(list(usable.values()))
    values, errors = (
        np.stack([np.interp(np.log(grid), np.log(each.step), getattr(each, name)) for each in usable.values()])
        for name in ("value", "error")
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
        attrs={
            "coefficient": coefficient,
            "chosen": best,
            "excluded_members": list(excluded),
            "excluded_outcome": list(excluded.values()),
        },
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
    """Add the agreement of clusters and labels, and its p-value under permutations within layers of a run."""
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
    there = labels_along(run, "component", "all")
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


def _points(
    runs: list[xr.Dataset], components: Sequence[str] | None, dataset: str | None, coefficient: Coefficient
) -> dict[str, Points]:
    """Member -> the usable estimates of its curve."""
    for run in runs:
        if f"{coefficient}_mcse" not in run:
            expected = f"`{coefficient}_mcse`, from which the stability follows"
            raise InvalidArgument("trajectories", expected=expected, found=f"only {sorted(map(str, run))}")
    return {
        f"{number}/{name}": usable_points(run, coefficient, name, dataset)
        for number, run in enumerate(runs)
        for name in _components(run, components)
    }


def _is_usable(points: Points) -> bool:
    count = len(points.step)
    return count >= max(2, _USABLE * (count + len(points.excluded_steps)))


def _too_few(points: Mapping[str, Points], excluded: Mapping[str, str]) -> InvalidArgument:
    """The error for absent components, or for unusable curves."""
    if not excluded:
        expected = f"at least {_MIN_COMPONENTS} components with a coefficient"
        return InvalidArgument(
            "components", expected=expected, found=str(len(points)), instead='components=["L0H0", …]'
        )
    reasons = [reason for member in excluded for reason in points[member].excluded_outcome]
    return InvalidArgument(
        "trajectories",
        expected=f"at least {_MIN_COMPONENTS} components with usable estimates at half of their checkpoints",
        found=f"{len(points) - len(excluded)} of {len(points)} (left out: {counts(reasons)})",
        instead=remedy(reasons, "measure more components, or more checkpoints of each."),
    )


def _grid(curves: list[Points]) -> Float[np.ndarray, " at"]:
    """Steps between usable estimates of every curve: as many as the shortest one has there, excluded or not."""
    first, last = max(each.step[0] for each in curves), min(each.step[-1] for each in curves)
    if first >= last:
        found = f"a curve that starts at step {first} and one that ends at step {last}"
        raise InvalidArgument("trajectories", expected="curves with steps in common", found=found)
    measured = [np.array([*each.step, *each.excluded_steps]) for each in curves]
    return np.geomspace(first, last, min(int(((first <= steps) & (steps <= last)).sum()) for steps in measured))


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
