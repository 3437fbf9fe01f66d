"""A map of all heads over training: one row a head, one column a checkpoint, coloured by a score."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.runs import one_run
from ontogeny.reports.behaviour import SCORE_TITLES
from ontogeny.reports.small_multiples import axes, set_axes, small_multiples
from ontogeny.reports.style import BLUE, StepAxis, step_text, translucent

COLUMNS, TICKS = 40, 5
ROW_HEIGHT = 15  # pixels
COLORS = [[0, translucent(BLUE, 0.04)], [1, translucent(BLUE, 0.95)]]


def fig_head_map(trajectory: xr.Dataset, score: str) -> go.Figure:
    """A score of all heads over training: one row per head, one column per checkpoint, evenly spaced in log step.

    The colour goes from 0 to the largest value of any head; hover texts give the numbers.

    Args:
        trajectory: of one run, with `head_score` (step, score, layer, head).
        score: one of its scores.

    Raises:
        InvalidArgument: for several runs, or a score that was not measured.
    """
    trajectory = one_run(trajectory)
    known = [str(name) for name in trajectory["score"].values]
    if score not in known:
        raise InvalidArgument("score", expected=f"one of {', '.join(known)}", found=repr(score))
    table = trajectory["head_score"].sel(score=score).transpose("layer", "head", "step")
    table = table.dropna("step", how="all").isel(step=_columns(table.dropna("step", how="all")["step"].values))
    names = [f"L{layer}H{head}" for layer in table["layer"].values for head in table["head"].values]
    steps = table["step"].values
    values = table.values.reshape(len(names), len(steps))
    figure = small_multiples([SCORE_TITLES.get(score, score.replace("_", " "))], ROW_HEIGHT * len(names))
    told = np.broadcast_to(np.array([f"{step:,}" for step in steps]), values.shape)
    top = float(np.nanmax(values, initial=0.0)) or 1.0
    cells = go.Heatmap(z=values, y=names, customdata=told, colorscale=COLORS, zmin=0, zmax=top, showscale=False)
    hover = "<b>%{y}</b> at step %{customdata}: %{z:.3f}<extra></extra>"
    figure.add_trace(cells.update(xgap=1, ygap=1, hovertemplate=hover, **axes(0)))
    for layer in range(1, table.sizes["layer"]):
        edge = layer * table.sizes["head"] - 0.5
        figure.add_shape(type="line", x0=-0.5, x1=len(steps) - 0.5, y0=edge, y1=edge, line={"width": 2, "color": BLUE})
    marked = np.unique(np.linspace(0, len(steps) - 1, TICKS).round().astype(int))
    columns = {"tickvals": marked.tolist(), "ticktext": [step_text(int(steps[k])) for k in marked], "tickangle": 0}
    columns |= {"title": {"text": "training step"}, "showgrid": False}
    rows = {"autorange": "reversed", "showgrid": False, "nticks": len(names), "tickfont": {"size": 10}}
    set_axes(figure, 0, columns, rows)
    return figure.update_layout(hovermode="closest", margin={"r": 12})


def _columns(steps: np.ndarray) -> np.ndarray:
    """Which checkpoints have a column."""
    fractions = StepAxis.of(steps).fraction(steps)
    wanted = np.linspace(fractions.min(), fractions.max(), COLUMNS) if len(steps) else np.array([])
    return np.unique([int(np.abs(fractions - each).argmin()) for each in wanted]).astype(int)
