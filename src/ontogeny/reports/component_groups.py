"""Grouping components by name: heads by layer and in order, and the clusters of their curves."""

import math
import re
from collections.abc import Iterable

import xarray as xr

from ontogeny.reports.style import NEUTRAL, distinct_colors

OWN_RUN = "0/"  # prefix of the members of a report's own run, if several runs were clustered together
_HEAD = re.compile(r"L(\d+)H(\d+)")


def head_of(component: str) -> tuple[int, int] | None:
    """Layer and number of a head from its name, `L0H3`; None for anything else."""
    found = _HEAD.fullmatch(component)
    return None if found is None else (int(found[1]), int(found[2]))


def ordered(components: Iterable[object]) -> list[str]:
    """Each name once: heads by layer and number, then all others in their given order."""
    names = dict.fromkeys(str(name) for name in components)
    return sorted(names, key=lambda name: head_of(name) or (math.inf, 0))


def heads_by_layer(components: Iterable[object]) -> dict[int, list[str]]:
    """The heads among the components, in order, by their layer."""
    layers: dict[int, list[str]] = {}
    for name in ordered(components):
        head = head_of(name)
        if head is not None:
            layers.setdefault(head[0], []).append(name)
    return layers


def own_members(signatures: xr.Dataset | None) -> dict[str, int]:
    """The position along `member` of each component of the report's own run, in the order of the network."""
    members = [] if signatures is None else [str(member) for member in signatures.member.values]
    places = {name.removeprefix(OWN_RUN): k for k, name in enumerate(members) if name.startswith(OWN_RUN)}
    return {name: places[name] for name in ordered(places)}


def clusters_of(signatures: xr.Dataset | None) -> dict[str, int]:
    """The cluster of each component of the report's own run."""
    places = own_members(signatures)
    return {} if signatures is None else {name: int(signatures.cluster.values[k]) for name, k in places.items()}


def labels_of(signatures: xr.Dataset | None) -> dict[str, str]:
    """The label of each component of the report's own run, if labels were given."""
    if signatures is None or "label" not in signatures:
        return {}
    return {name: str(signatures.label.values[k]) for name, k in own_members(signatures).items()}


def cluster_colors(signatures: xr.Dataset) -> dict[int, str]:
    """A colour for each cluster, the same in the reports of all runs clustered together."""
    clusters = sorted({int(cluster) for cluster in signatures.cluster.values})
    return dict(zip(clusters, distinct_colors(len(clusters)), strict=True))


def component_colors(components: Iterable[object], signatures: xr.Dataset | None) -> dict[str, str]:
    """The colour of each component: that of its cluster, or grey. Without clusters each component has its own."""
    names, clusters = ordered(components), clusters_of(signatures)
    if signatures is None or not clusters:
        return dict(zip(names, distinct_colors(len(names)), strict=True))
    colors = cluster_colors(signatures)
    return {name: colors[clusters[name]] if name in clusters else NEUTRAL for name in names}


def group_key(components: Iterable[object], signatures: xr.Dataset | None) -> dict[str, str]:
    """The colour key of these components: cluster name -> colour; empty without clusters."""
    clusters = clusters_of(signatures)
    if signatures is None or not clusters:
        return {}
    names, colors = ordered(components), cluster_colors(signatures)
    shown = sorted({clusters[name] for name in names if name in clusters})
    key = {cluster_name(cluster): colors[cluster] for cluster in shown}
    return key if set(names) <= set(clusters) else key | {"in no cluster": NEUTRAL}


def cluster_name(cluster: int) -> str:
    """The name of a cluster throughout a report."""
    return f"cluster {cluster}"
