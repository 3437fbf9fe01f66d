"""Loss and learning coefficient along training, with the stages that were found in them."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports.estimates import WHOLE, estimates, main, main_estimates, trusted
from ontogeny.reports.panels import Z95, Curve, around, axes, draw_curves, set_axes, small_multiples, thinned
from ontogeny.reports.stage_marks import mark_boundaries, mark_boundary_intervals, shade_stages
from ontogeny.reports.style import BLUE, NEUTRAL, ORANGE, TEMPLATE, StepAxis, distinct_colors
from ontogeny.reports.wording import plain

_SPOKEN = {WHOLE: "Whole network"}
NAMED_CURVES = 12  # of one panel: the largest at the end; more names do not fit beside it
LOSS_HEIGHT, LLC_HEIGHT, BETWEEN = 170, 290, 26


def fig_loss_and_llc(trajectory: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Loss above the learning coefficient over training steps, stages shaded behind both.

    Points are estimates with 95 % bars of Monte Carlo error, hollow where the estimate did not converge, a cross at
    the foot where it is not a number; the line through them is the smoothed curve that the stages were read from.

    Args:
        trajectory: with `loss` (step, dataset), `llc` (step, component, dataset) or both, and their errors.
        stages: what was found in it; without it nothing is shaded and the points are joined.
    """
    axis = StepAxis.of(trajectory.step.values)
    losses, table = _loss_curves(trajectory, axis), main_estimates(estimates(trajectory))
    heights = {"loss": LOSS_HEIGHT if losses else 0, "llc": 0 if table.empty else LLC_HEIGHT}
    between = BETWEEN if all(heights.values()) else 0
    total = sum(heights.values()) + between or LOSS_HEIGHT
    margin = TEMPLATE.layout.margin
    figure = go.Figure(layout={"template": TEMPLATE, "height": total + margin.t + margin.b, "hoversubplots": "axis"})
    upper, lower = {"xaxis": "x", "yaxis": "y"}, {"xaxis": "x", "yaxis": "y2"}
    figure.update_layout(
        xaxis=axis.layout() | {"anchor": "y2" if heights["llc"] else "y"},
        yaxis={"domain": [1 - (heights["loss"] or total) / total, 1], "title": {"text": "loss"}},
    )
    if losses:
        draw_curves(figure, upper, losses, LOSS_HEIGHT)
    if heights["llc"]:
        title = {"text": "learning coefficient (LLC)"}
        figure.update_layout(yaxis2={"domain": [0, LLC_HEIGHT / total], "anchor": "x", "title": title})
        _draw_llc(figure, lower, table, stages, axis)
    if not losses:
        figure.update_layout(yaxis={"visible": False})
    if stages is not None:
        shade_stages(figure, stages, axis)
        mark_boundary_intervals(figure, lower if heights["llc"] else upper, stages, axis)
    return figure


def fig_slope(stages: xr.Dataset) -> go.Figure:
    """Slope of the smoothed learning coefficient, d LLC / d log10 step, with its 95 % band and the boundaries.

    A plateau is where the slope is zero, a knee where it is smallest without being zero.

    Args:
        stages: with `grid_step`, `slope`, `slope_low`, `slope_high` (grid) and the boundaries.
    """
    axis = StepAxis.of(stages.grid_step.values)
    keep = thinned(stages.sizes["grid"], 1)
    x = axis.place(stages.grid_step.values[keep])
    slope, low, high = (stages[name].values[keep] for name in ("slope", "slope_low", "slope_high"))
    figure = small_multiples(["Slope of the smoothed LLC"], height=180)
    zero = Curve("", x, np.zeros_like(slope), NEUTRAL, width=1.0, named=False, hover=False)
    draw_curves(figure, axes(0), [zero, Curve("slope", x, slope, BLUE, (low, high), named=False)], height=180)
    mark_boundaries(figure, axes(0), stages, axis)
    mark_boundary_intervals(figure, axes(0), stages, axis)
    set_axes(figure, 0, axis.layout(), {"title": {"text": "d LLC / d log₁₀ step"}})
    return figure


def fig_refined_llc(trajectory: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Learning coefficients refined to components and datasets: a panel a dataset, with a curve for each component.

    Of a single component, there is one panel with a curve for each dataset.

    Args:
        trajectory: with `llc` (step, component, dataset) over more than one component or dataset.
        stages: whose boundaries are drawn behind.
    """
    axis = StepAxis.of(trajectory.step.values)
    table = estimates(trajectory)
    by, over = ("component", "dataset") if table.component.nunique() > 1 else ("dataset", "component")
    names, panels = list(dict.fromkeys(table[by])), list(dict.fromkeys(table[over]))
    titles = {"dataset": "On {}", "component": "{}, by dataset"}
    figure = small_multiples([titles[over].format(_SPOKEN.get(panel, panel)) for panel in panels])
    final = table.dropna(subset="llc").groupby(by).llc.last().nlargest(NAMED_CURVES)
    for i, panel in enumerate(panels):
        curves = []
        for name, color in zip(names, distinct_colors(len(names)), strict=True):
            rows = table[(table[over] == panel) & (table[by] == name)].sort_values("step")
            rows = rows.iloc[thinned(len(rows), len(panels) * len(names))]
            curves.append(estimate_curve(name, rows, axis, color, named=name in final.index))
        draw_curves(figure, axes(i), curves)
        mark_boundaries(figure, axes(i), stages, axis)
        set_axes(figure, i, axis.layout(), {"title": {"text": "LLC"}})
    return figure


def estimate_curve(name: str, table: pd.DataFrame, axis: StepAxis, color: str, named: bool) -> Curve:
    """The curve of the estimates in these rows, with its 95 % band of Monte Carlo error."""
    x, y = axis.place(table.step.to_numpy()), table.llc.to_numpy()
    return Curve(name, x, y, color, around(y, table.mcse.to_numpy()), named=named, hover=bool(name))


def judged(row: Any) -> str:  # a named tuple from pandas, whose type has no name
    """The error of an estimate and how it ended, for hover texts: ± 0.8 (converged, R-hat 1.003)."""
    interval = f"± {Z95 * row.mcse:.2g}" if np.isfinite(row.mcse) else ""
    rhat = f", R-hat {row.rhat:.3f}" if np.isfinite(row.rhat) else ""
    return f"{interval} ({plain(row.outcome.replace('_', ' ') or 'not judged')}{rhat})".strip()


def _loss_curves(trajectory: xr.Dataset, axis: StepAxis) -> list[Curve]:
    if "loss" not in trajectory:
        return []
    loss = main(trajectory.loss)
    keep = thinned(loss.sizes["step"], 1)
    y, x = loss.values[keep], axis.place(trajectory.step.values[keep])
    name = str(loss.dataset.values) if "dataset" in loss.coords else "loss"
    if "loss_sem" not in trajectory:
        return [Curve(name, x, y, ORANGE)]
    return [Curve(name, x, y, ORANGE, around(y, main(trajectory.loss_sem).values[keep]))]


def _draw_llc(
    figure: go.Figure, where: dict[str, str], table: pd.DataFrame, stages: xr.Dataset | None, axis: StepAxis
) -> None:
    table = table.sort_values("step").iloc[thinned(len(table), 1)]
    if stages is not None and "llc_smooth" in stages:
        keep = thinned(stages.sizes["grid"], 1)
        smooth, error = stages.llc_smooth.values[keep], stages.llc_smooth_sd.values[keep]
        x = axis.place(stages.grid_step.values[keep])
        line = Curve("", x, smooth, BLUE, around(smooth, error), named=False, hover=False)
    else:
        line = estimate_curve("", table, axis, BLUE, named=False)
    reach = around(table.llc.to_numpy(), table.mcse.fillna(0).to_numpy())
    draw_curves(figure, where, [line], LLC_HEIGHT, include=np.concatenate(reach))
    sound = trusted(table) | (table.outcome == "")
    points = go.Scatter(
        x=axis.place(table.step.to_numpy()),
        y=table.llc,
        mode="markers",
        name="LLC",
        marker={"color": BLUE, "size": 7, "line": {"width": 1.6, "color": BLUE}},
        marker_symbol=np.where(sound, "circle", "circle-open"),
        error_y={"array": Z95 * table.mcse, "thickness": 1.2, "width": 0, "color": BLUE},
        cliponaxis=False,
        customdata=np.array([judged(row) for row in table.itertuples()], dtype=object),
        hovertemplate="%{y:.4~g} %{customdata}",
        **where,
    )
    figure.add_trace(points)
    for row in table[~np.isfinite(table.llc) & np.isfinite(axis.place(table.step.to_numpy()))].itertuples():
        figure.add_annotation(
            text="<b>×</b>",
            x=float(np.log10(axis.place(np.array([row.step]))[0])),
            y=0,
            yref=f"{where['yaxis']} domain",
            yanchor="bottom",
            showarrow=False,
            hovertext=f"step {row.step:,}: {judged(row)}",
            font={"size": 15, "color": BLUE},
        )
