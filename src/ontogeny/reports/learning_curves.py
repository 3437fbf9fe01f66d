"""Loss and learning coefficient along training, with their stages."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.joined_stages import stages_by_run
from ontogeny.core.runs import runs_of
from ontogeny.reports.estimates import WHOLE, by_run, estimates, main, main_estimates, quantity
from ontogeny.reports.llc_panel import LLC_HEIGHT, WITHHELD_HEIGHT, draw_llc, draw_withheld, series_of
from ontogeny.reports.pooled_runs import may_pool, pooled, shared_axis
from ontogeny.reports.small_multiples import Curve, around, axes, draw_curves, set_axes, small_multiples, thinned
from ontogeny.reports.stage_marks import (
    draw_stage_rows,
    mark_boundaries,
    mark_boundary_intervals,
    rows_height,
    shade_stages,
    staged_quantity,
)
from ontogeny.reports.style import BLUE, NEUTRAL, ORANGE, TEMPLATE, StepAxis, distinct_colors

_SPOKEN = {WHOLE: "Whole network"}
NAMED_CURVES = 12  # most named curves of a panel: those largest at the end
LOSS_HEIGHT, BETWEEN = 170, 26


def fig_loss_and_llc(trajectory: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Loss above the learning coefficient over training steps, stages shaded behind both.

    If complexity and descent were recorded, both are drawn on one axis with their difference, the LLC. A panel below
    shows the share that localization removes. Points are estimates, with 95 % bars of Monte Carlo error on the
    complexity, or on the LLC if it is alone. A hollow point did not converge, a triangle at the edge lies beyond the
    panel, and a cross at the bottom is not a number. The line is the smoothed curve from which the stages were read.

    For runs joined along a further dimension each curve is faint and the median bold. The stages of each run are a row
    of bars at the bottom. If nβ or γ differ, coefficients have no median.

    Args:
        trajectory: with `loss` (step, dataset), `llc` (step, component, dataset) or both, and their errors; where
            measured, `llc_complexity`, `llc_descent` and `llc_withheld`.
        stages: its stages; without them nothing is shaded and the points are joined.
    """
    runs = runs_of(trajectory)
    axis, own_stages = shared_axis(runs), stages_by_run(stages)
    if len(runs) == len(own_stages) == 1:
        own_stages = dict(zip(runs, own_stages.values(), strict=True))
    losses = {label: _loss_curves(run, axis) for label, run in runs.items()} if "loss" in trajectory else {}
    table = main_estimates(estimates(trajectory))
    heights = {
        "loss": LOSS_HEIGHT if losses else 0,
        "llc": 0 if table.empty else LLC_HEIGHT,
        "withheld": WITHHELD_HEIGHT if table.withheld.notna().any() else 0,
        "stages": rows_height(len(own_stages)) if len(own_stages) > 1 else 0,
    }
    shown = [name for name, height in heights.items() if height] or ["loss"]
    total = sum(heights.values()) + BETWEEN * (len(shown) - 1) or LOSS_HEIGHT
    margin = TEMPLATE.layout.margin
    figure = go.Figure(layout={"template": TEMPLATE, "height": total + margin.t + margin.b, "hoversubplots": "axis"})
    vertical = {"loss": "y", "llc": "y2", "withheld": "y3", "stages": "y4"}
    places = {name: {"xaxis": "x", "yaxis": y} for name, y in vertical.items()}
    figure.update_layout(xaxis=axis.layout() | {"anchor": places[shown[-1]]["yaxis"]}, yaxis={"visible": bool(losses)})
    titles = {"loss": "loss", "llc": "learning coefficient (LLC)", "withheld": "withheld", "stages": "stages"}
    if len(series_of(table)) > 1:
        titles["llc"] = "complexity, descent, LLC"
    top = 1.0
    for name in shown:
        bottom = max(top - (heights[name] or total) / total, 0.0)
        layout = {"domain": [bottom, top], "anchor": "x", "title": {"text": titles[name]}}
        figure.update_layout({f"yaxis{places[name]['yaxis'][1:]}": layout})
        top = bottom - BETWEEN / total
    if losses:
        draw_curves(figure, places["loss"], pooled(losses, alone=True), LOSS_HEIGHT)
    if heights["llc"]:
        draw_llc(figure, places["llc"], table, own_stages, axis, may_pool(trajectory))
    if heights["withheld"]:
        draw_withheld(figure, places["withheld"], table, axis)
        figure.update_layout(yaxis3={"tickformat": ".0%", "nticks": 3})
    if heights["stages"]:
        draw_stage_rows(figure, places["stages"], own_stages, axis)
    for only in own_stages.values() if len(own_stages) == 1 else ():
        shade_stages(figure, only, axis)
        mark_boundary_intervals(figure, places["llc" if heights["llc"] else "loss"], only, axis)
    return figure


def fig_slope(stages: xr.Dataset) -> go.Figure:
    """Slope of the smoothed coefficient per decade of the training step, with its 95 % band and the boundaries.

    At a plateau the slope is zero; at a knee it is smallest without being zero.

    Args:
        stages: with `grid_step`, `slope`, `slope_low`, `slope_high` (grid) and the boundaries, of one run or more.
    """
    runs = stages_by_run(stages)
    axis = StepAxis.of(np.concatenate([run.grid_step.values for run in runs.values()]))
    figure = small_multiples([f"Slope of the smoothed {staged_quantity(stages)}"], height=180)
    curves = {label: _slope_curves(run, axis) for label, run in runs.items()}
    draw_curves(figure, axes(0), pooled(curves, median=False, alone=True), height=180)
    mark_boundaries(figure, axes(0), stages, axis)
    for only in runs.values() if len(runs) == 1 else ():
        mark_boundary_intervals(figure, axes(0), only, axis)
    set_axes(figure, 0, axis.layout(), {"title": {"text": "per decade of step"}})
    return figure


def fig_refined_llc(trajectory: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Learning coefficients refined to components and datasets: one panel per dataset, one curve per component.

    A single component has one panel with a curve for each dataset. For several runs each has a faint curve through its
    converged estimates, and the median is bold.

    Args:
        trajectory: with `llc` (step, component, dataset) over more than one component or dataset.
        stages: whose boundaries are drawn behind.
    """
    axis, table = shared_axis(runs_of(trajectory)), estimates(trajectory)
    runs, comparable = by_run(table), may_pool(trajectory)
    by, over = ("component", "dataset") if table.component.nunique() > 1 else ("dataset", "component")
    names, panels = list(dict.fromkeys(table[by])), list(dict.fromkeys(table[over]))
    titles = {"dataset": "On {}", "component": "{}, by dataset"}
    figure = small_multiples([titles[over].format(_SPOKEN.get(panel, panel)) for panel in panels])
    final = table.dropna(subset="shown").groupby(by).shown.last().nlargest(NAMED_CURVES)
    for i, panel in enumerate(panels):
        curves: dict[str, list[Curve]] = {label: [] for label in runs}
        for label, own in runs.items():
            for name, color in zip(names, distinct_colors(len(names)), strict=True):
                rows = own[(own[over] == panel) & (own[by] == name)].sort_values("step")
                rows = rows.iloc[thinned(len(rows), len(panels) * len(names))]
                mark_hollow(figure, axes(i), rows, axis, color)
                joined = rows if len(runs) == 1 else rows[~rows.hollow]
                curves[label].append(estimate_curve(name, joined, axis, color, named=name in final.index))
        draw_curves(figure, axes(i), pooled(curves, comparable))
        mark_boundaries(figure, axes(i), stages, axis)
        set_axes(figure, i, axis.layout(), {"title": {"text": quantity(trajectory)}})
    return figure


def estimate_curve(name: str, table: pd.DataFrame, axis: StepAxis, color: str, named: bool) -> Curve:
    """The curve of the `shown` quantity in these rows, with its 95 % band of Monte Carlo error."""
    x, y = axis.place(table.step.to_numpy()), table.shown.to_numpy(dtype=float)
    return Curve(name, x, y, color, around(y, table.shown_mcse.to_numpy(dtype=float)), named=named)


def mark_hollow(
    figure: go.Figure, where: dict[str, str], rows: pd.DataFrame, axis: StepAxis, color: str, size: int = 6
) -> None:
    """Draw hollow points at the estimates that did not converge."""
    hollow = rows[rows.hollow.astype(bool)]
    if len(hollow):
        marker = {"symbol": "circle-open", "color": color, "size": size, "line": {"width": 1.4}}
        points = go.Scatter(x=axis.place(hollow.step.to_numpy()), y=hollow.shown, mode="markers", marker=marker)
        figure.add_trace(points.update(name="not converged", hoverinfo="skip", **where))


def _slope_curves(stages: xr.Dataset, axis: StepAxis) -> list[Curve]:
    keep = thinned(stages.sizes["grid"], 1)
    x = axis.place(stages.grid_step.values[keep])
    slope, low, high = (stages[name].values[keep] for name in ("slope", "slope_low", "slope_high"))
    zero = Curve("", x, np.zeros_like(slope), NEUTRAL, width=1.0, named=False, hover=False)
    return [zero, Curve("slope", x, slope, BLUE, (low, high), named=False)]


def _loss_curves(trajectory: xr.Dataset, axis: StepAxis) -> list[Curve]:
    loss = main(trajectory.loss)
    keep = thinned(loss.sizes["step"], 1)
    y, x = loss.values[keep], axis.place(trajectory.step.values[keep])
    name = str(loss.dataset.values) if "dataset" in loss.coords else "loss"
    if "loss_sem" not in trajectory:
        return [Curve(name, x, y, ORANGE)]
    return [Curve(name, x, y, ORANGE, around(y, main(trajectory.loss_sem).values[keep]))]
