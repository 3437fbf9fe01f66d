"""Stages and their boundaries as drawn behind a figure over training steps."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports.style import BLUE, GREEN, NEUTRAL, StepAxis, translucent

# What a stage's type is called, and the colour that says so everywhere.
STAGE_COLORS = {"A": BLUE, "B": GREEN}
STAGE_TYPES = {
    "A": "loss falls, {} rises: better by becoming more complex",
    "B": "loss falls, {} falls: better while becoming simpler",
    "-": "neither pattern",
}


def stage_color(stage_type: str) -> str:
    """The colour of a stage type; neutral for a stage that is neither A nor B."""
    return STAGE_COLORS.get(stage_type, NEUTRAL)


def staged_quantity(stages: xr.Dataset) -> str:
    """What the stages were read from, as figures name it; in stages of earlier versions it was the LLC."""
    return "complexity" if stages.attrs.get("coefficient") == "llc_complexity" else "LLC"


def shade_stages(figure: go.Figure, stages: xr.Dataset, axis: StepAxis) -> None:
    """Shade every stage by its type, number it at the top and draw the boundaries, over the height of the figure."""
    starts, ends = axis.within(stages.stage_start.values), axis.within(stages.stage_end.values)
    for i, (start, end, kind) in enumerate(zip(starts, ends, stages.stage_type.values, strict=True)):
        color = translucent(stage_color(str(kind)), 0.07 if i % 2 else 0.13)
        _shape(figure, type="rect", x0=start, x1=end, xref="x", y0=0, y1=1, yref="paper", fillcolor=color)
        figure.add_annotation(
            text=f"<b>{'stage ' if i == 0 else ''}{i + 1}</b>",
            x=float(np.log10(start * end)) / 2,
            xref="x",
            y=1,
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11, "color": stage_color(str(kind))},
        )
    _draw_boundaries(figure, "x", "paper", stages, axis)


def mark_boundaries(figure: go.Figure, where: dict[str, str], stages: xr.Dataset | None, axis: StepAxis) -> None:
    """Draw the boundaries between stages through a panel: solid at a plateau, dotted at a knee."""
    if stages is not None:
        _draw_boundaries(figure, where["xaxis"], f"{where['yaxis']} domain", stages, axis)


def mark_boundary_intervals(figure: go.Figure, where: dict[str, str], stages: xr.Dataset, axis: StepAxis) -> None:
    """Draw the interval of every boundary as a bar at the foot of a panel."""
    for low, high in zip(stages.boundary_low.values, stages.boundary_high.values, strict=True):
        ends = axis.within(np.array([low, high]))
        _shape(
            figure,
            type="rect",
            x0=float(ends[0]),
            x1=float(ends[1]),
            xref=where["xaxis"],
            y0=0.012,
            y1=0.034,
            yref=f"{where['yaxis']} domain",
            fillcolor=translucent(NEUTRAL, 0.6),
        )


def _draw_boundaries(figure: go.Figure, xref: str, yref: str, stages: xr.Dataset, axis: StepAxis) -> None:
    if "boundary_step" not in stages:
        return
    for step, kind in zip(stages.boundary_step.values, stages.boundary_kind.values, strict=True):
        dash = "solid" if str(kind) == "plateau" else "dot"
        at = float(axis.within(np.array([step]))[0])
        _shape(
            figure,
            type="line",
            x0=at,
            x1=at,
            xref=xref,
            y0=0,
            y1=1,
            yref=yref,
            line={"color": translucent(NEUTRAL, 0.75), "width": 1.2, "dash": dash},
        )


def _shape(figure: go.Figure, **shape: object) -> None:
    figure.add_shape(layer="below", **({"line": {"width": 0}} | shape))
