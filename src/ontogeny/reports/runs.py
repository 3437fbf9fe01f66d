"""Several runs on a page: their name, their number, and a figure for each."""

from collections.abc import Callable

import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.joined_stages import stages_by_run
from ontogeny.core.runs import run_dimension, runs_of
from ontogeny.reports.wording import counted


def run_title(trajectory: xr.Dataset) -> str:
    """The title of a column of runs ("Seed"); empty for a single run."""
    return str(run_dimension(trajectory)).replace("_", " ").capitalize() if len(runs_of(trajectory)) > 1 else ""


def counted_runs(trajectory: xr.Dataset) -> str:
    """The number of runs in a trajectory, for sentences: "3 seeds"; empty for one."""
    count = len(runs_of(trajectory))
    return counted(count, (run_dimension(trajectory) or "").replace("_", " ")) if count > 1 else ""


def figures_by_run(
    draw: Callable[[xr.Dataset, xr.Dataset | None], go.Figure], trajectory: xr.Dataset, stages: xr.Dataset | None
) -> dict[str, go.Figure]:
    """A figure of each run that was measured at any step, with its stages."""
    own = stages_by_run(stages)
    runs = {label: run for label, run in runs_of(trajectory).items() if run.sizes["step"]}
    return {label: draw(run, own.get(label, own.get(""))) for label, run in runs.items()}
