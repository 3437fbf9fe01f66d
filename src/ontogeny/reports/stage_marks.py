"""Drawing stages and their boundaries behind a figure over training steps."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.joined_stages import stages_by_run
from ontogeny.reports.small_multiples import MAX_NAME
from ontogeny.reports.style import BLUE, GREEN, NEUTRAL, StepAxis, translucent
from ontogeny.reports.wording import plain, shorten_start

ROW_HEIGHT, LEAST_ROW, ROWS_HEIGHT = 20, 4, 240  # pixels of a run's stages, of many runs each, and of all together
LEAST_NAMED = 12  # pixels of a row below which its name does not fit beside it
ALONE, AMONG = 0.75, 0.4  # opacity of the boundaries of one run, and of several
# The description of each stage type; its colour is the same everywhere.
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
    """The quantity from which the stages were read, as named in figures; the LLC in stages of earlier versions."""
    return "complexity" if stages.attrs.get("coefficient") == "llc_complexity" else "LLC"


def shade_stages(figure: go.Figure, stages: xr.Dataset, axis: StepAxis) -> None:
    """Shade every stage by its type, number it at the top and draw the boundaries, over the height of the figure."""
    starts, ends = axis.within(stages.stage_start.values), axis.within(stages.stage_end.values)
    place, shapes = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1}, []
    for i, (start, end, kind) in enumerate(zip(starts, ends, stages.stage_type.values, strict=True)):
        color = translucent(stage_color(str(kind)), 0.07 if i % 2 else 0.13)
        shapes.append(_shape(type="rect", x0=start, x1=end, fillcolor=color, **place))
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
    figure.layout.shapes += tuple(shapes)
    _draw_boundaries(figure, "x", "paper", stages, axis)


def rows_height(count: int) -> int:
    """Height in pixels of the stages of this many runs, one row each."""
    return max(min(ROW_HEIGHT, ROWS_HEIGHT // count), LEAST_ROW) * count


def draw_stage_rows(figure: go.Figure, where: dict[str, str], by_run: dict[str, xr.Dataset], axis: StepAxis) -> None:
    """Draw the stages of each run as a row of bars coloured by type, with its boundaries and their 95 % intervals."""
    count = len(by_run)
    figure.update_layout(
        {f"yaxis{where['yaxis'][1:]}": {"range": [count - 0.5, -0.5], "tickvals": [], "showgrid": False}}
    )
    shapes: list[go.layout.Shape] = []
    for row, (label, stages) in enumerate(by_run.items()):
        place = {"xref": where["xaxis"], "yref": where["yaxis"]}
        starts, ends = axis.within(stages.stage_start.values), axis.within(stages.stage_end.values)
        for i, (start, end, kind) in enumerate(zip(starts, ends, stages.stage_type.values, strict=True)):
            box = {"x0": float(start), "x1": float(end), "y0": row - 0.38, "y1": row + 0.38}
            color = translucent(stage_color(str(kind)), 0.2 if i % 2 else 0.36)
            shapes.append(_shape(type="rect", fillcolor=color, **box, **place))
        for low, high in zip(stages.boundary_low.values, stages.boundary_high.values, strict=True):
            left, right = axis.within(np.array([low, high]))
            box = {"x0": float(left), "x1": float(right), "y0": row - 0.12, "y1": row + 0.12}
            shapes.append(_shape(type="rect", fillcolor=translucent(NEUTRAL, 0.6), **box, **place))
        for step, kind in zip(stages.boundary_step.values, stages.boundary_kind.values, strict=True):
            at = float(axis.within(np.array([step]))[0])
            line = {"color": NEUTRAL, "width": 2, "dash": "solid" if str(kind) == "plateau" else "dot"}
            shapes.append(_shape(type="line", x0=at, x1=at, y0=row - 0.46, y1=row + 0.46, line=line, **place))
        if count * LEAST_NAMED <= rows_height(count):
            name = {"text": plain(shorten_start(label, MAX_NAME)), "x": 1, "xref": f"{where['xaxis']} domain", "y": row}
            name |= {"xanchor": "left", "xshift": 6, "yref": where["yaxis"], "showarrow": False, "font": {"size": 11.5}}
            figure.add_annotation(name)
    figure.layout.shapes += tuple(shapes)


def mark_boundaries(figure: go.Figure, where: dict[str, str], stages: xr.Dataset | None, axis: StepAxis) -> None:
    """Draw the boundaries between stages through a panel: solid at a plateau, dotted at a knee, faint if several."""
    by_run = stages_by_run(stages)
    for each in by_run.values():
        strength = ALONE if len(by_run) == 1 else AMONG
        _draw_boundaries(figure, where["xaxis"], f"{where['yaxis']} domain", each, axis, strength)


def mark_boundary_intervals(figure: go.Figure, where: dict[str, str], stages: xr.Dataset, axis: StepAxis) -> None:
    """Draw the interval of every boundary of one run as a bar at the bottom of a panel."""
    place = {"xref": where["xaxis"], "yref": f"{where['yaxis']} domain", "y0": 0.012, "y1": 0.034}
    intervals = zip(stages.boundary_low.values, stages.boundary_high.values, strict=True)
    ends = [axis.within(np.array(interval)).tolist() for interval in intervals]
    figure.layout.shapes += tuple(
        _shape(type="rect", x0=left, x1=right, fillcolor=translucent(NEUTRAL, 0.6), **place) for left, right in ends
    )


def _draw_boundaries(
    figure: go.Figure, xref: str, yref: str, stages: xr.Dataset, axis: StepAxis, strength: float = ALONE
) -> None:
    if "boundary_step" not in stages:
        return
    place = {"xref": xref, "yref": yref, "y0": 0, "y1": 1}
    shapes = []
    for step, kind in zip(stages.boundary_step.values, stages.boundary_kind.values, strict=True):
        dash = "solid" if str(kind) == "plateau" else "dot"
        at = float(axis.within(np.array([step]))[0])
        line = {"color": translucent(NEUTRAL, strength), "width": 1.2, "dash": dash}
        shapes.append(_shape(type="line", x0=at, x1=at, line=line, **place))
    figure.layout.shapes += tuple(shapes)


def _shape(**shape: object) -> go.layout.Shape:
    """A shape to be added with others at once: `add_shape` would check and copy all existing ones."""
    return go.layout.Shape(layer="below", **({"line": {"width": 0}} | shape))
