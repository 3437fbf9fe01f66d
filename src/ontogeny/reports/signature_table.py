"""The clusters of components as rows and sentences: members, stability, and agreement with labels."""

import xarray as xr

from ontogeny.reports.component_groups import (
    OWN_RUN,
    cluster_colors,
    cluster_name,
    clusters_of,
    labels_of,
    own_members,
)
from ontogeny.reports.wording import counted, listed, p_value

STABLE = 0.7  # mean adjusted Rand index below which the errors alone undo a clustering


def signature_rows(signatures: xr.Dataset | None) -> list[dict[str, str]]:
    """One row per cluster and label: cluster, color, label, and its components."""
    if signatures is None:
        return []
    clusters, labels, colors = clusters_of(signatures), labels_of(signatures), cluster_colors(signatures)
    groups: dict[tuple[int, str], list[str]] = {}
    for name, cluster in clusters.items():
        groups.setdefault((cluster, labels.get(name, "")), []).append(name)
    return [
        {
            "cluster": cluster_name(cluster),
            "color": colors[cluster],
            "label": label,
            "components": ", ".join(groups[cluster, label]),
        }
        for cluster, label in sorted(groups)
    ]


def signature_sentences(signatures: xr.Dataset | None) -> list[str]:
    """The size and stability of the clustering, and its agreement with labels if there are any."""
    if signatures is None or not own_members(signatures):
        return []
    members = [str(member) for member in signatures.member.values]
    others = sum(not member.startswith(OWN_RUN) for member in members)
    pooled = f", {others:,} of them of other runs" if others else ""
    chosen, numbers = int(signatures.attrs["chosen"]), [int(number) for number in signatures.num_clusters.values]
    stability = dict(zip(numbers, map(float, signatures.stability.values), strict=True))
    rest = listed([f"{_index(value)} for {number}" for number, value in stability.items() if number != chosen])
    against = f", against {rest}" if rest else ""
    sentences = [
        f"{counted(chosen, 'cluster')} of {counted(len(members), 'curve')}{pooled}: "
        f"stability {_index(stability[chosen])}{against}."
    ]
    if stability[chosen] < STABLE:
        sentences.append(f"Below {STABLE} the errors of the estimates alone undo the clustering: read nothing into it.")
    if "agreement" in signatures.attrs:
        agreement, p = _index(float(signatures.attrs["agreement"])), p_value(float(signatures.attrs["p_value"]))
        p = (f"p {p}" if p.startswith("<") else f"p = {p}").replace(" ", "\u00a0")
        sentences.append(f"Agreement with the labels: adjusted Rand index {agreement}, {p}.")
    return sentences


def _index(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
