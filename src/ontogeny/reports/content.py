"""What a report shows: one value that holds every measurement of its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import xarray as xr


@dataclass(frozen=True)
class ReportContent:
    """All that a report shows. A panel whose data are missing is left out.

    Args:
        title: heading of the page.
        trajectory: measurements along `step`.
        stages: stages found in the trajectory.
        unstaged: why stages were not looked for, as one or two sentences; shown where there are none.
        pca: principal components of trajectories, with their Brownian null.
        claims: records of what was expected and what was measured.
        snippet: attention on a text snippet.
        facts: what was run, by name: model, data, seeds, versions.
        command: how to make this report again.
        controls: trajectories of control runs by name.
        beliefs: belief regressions over `site`, by the network's name.
        picture: true and regressed beliefs of contexts in the plane.
        presentation: the mixed-state presentation of the process as a graph.
        refined: coefficients of the network's parts on several datasets along `step`; the first is the main one.
        relative: coefficients of heads under the divergence from a reference model, along `step`.
        signatures: parts clustered by their refined curves; members of run 0 are those of this report.
        susceptibility: how parts answer to datasets, to single tokens, or both.
        choice: pilot samples from which temperature and localization were chosen; see `fig_choice`.
    """

    title: str
    trajectory: xr.Dataset
    stages: xr.Dataset | None = None
    pca: xr.Dataset | None = None
    claims: Sequence[Mapping[str, Any]] = ()
    snippet: xr.Dataset | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    controls: Mapping[str, xr.Dataset] = field(default_factory=dict)
    beliefs: Mapping[str, xr.Dataset] = field(default_factory=dict)
    picture: xr.Dataset | None = None
    presentation: xr.Dataset | None = None
    refined: xr.Dataset | None = None
    relative: xr.Dataset | None = None
    signatures: xr.Dataset | None = None
    susceptibility: xr.Dataset | None = None
    choice: xr.Dataset | None = None
    unstaged: str = ""
