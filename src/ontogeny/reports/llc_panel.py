"""The learning coefficient along training: complexity, descent and their difference on one axis."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.reports.estimates import by_run
from ontogeny.reports.pooled_runs import pooled
from ontogeny.reports.small_multiples import Curve, around, draw_curves, padded_range, thinned
from ontogeny.reports.stage_marks import staged_quantity
from ontogeny.reports.style import BLUE, NEUTRAL, RUST, VIOLET, StepAxis
from ontogeny.reports.wording import number, plain

LLC_HEIGHT, WITHHELD_HEIGHT = 290, 84
_CORE = (0.1, 0.9)  # quantiles that set the vertical range if no estimate converged


class Series(NamedTuple):
    """A quantity of the panel: its column, name and style, and whether it is the main one."""

    column: str
    name: str
    color: str
    dash: str = "solid"
    main: bool = False

    def values(self, table: pd.DataFrame) -> np.ndarray:
        return table[self.column].to_numpy(dtype=float)

    def errors(self, table: pd.DataFrame) -> np.ndarray:
        column = "mcse" if self.column == "llc" else f"{self.column}_mcse"
        return table[column].to_numpy(dtype=float)


ALONE = (Series("llc", "LLC", BLUE, main=True),)
APART = (
    Series("llc", "LLC", VIOLET, "dot"),
    Series("descent", "descent", RUST),
    Series("complexity", "complexity", BLUE, main=True),
)


def series_of(table: pd.DataFrame) -> tuple[Series, ...]:
    """The quantities to draw: three if complexity and descent were recorded, else the LLC."""
    return APART if table.complexity.notna().any() else ALONE


def draw_llc(
    figure: go.Figure,
    where: dict[str, str],
    table: pd.DataFrame,
    stages: Mapping[str, xr.Dataset],
    axis: StepAxis,
    comparable: bool = True,
) -> None:
    """Draw the estimates of one component into a panel: every quantity as points, hollow if not converged.

    The main quantity has bars of 95 % Monte Carlo error, and the smoothed curve if stages were read from it. The
    vertical range is that of the converged estimates, with as much room again on both sides for others. A point beyond
    it is a triangle at the edge, and an estimate that is not a number is a cross at the bottom.

    For several runs only the points of the main quantity are drawn, small and without bars. A run's faint curve is its
    smoothed one, or joins its converged estimates. The median over runs is bold, and omitted if their values are not
    comparable. `stages` are by the label of the run.
    """
    series = series_of(table)
    runs = _thinned_runs(table, 2 * len(series))
    table, alone = pd.concat(runs.values()), len(runs) == 1
    limits = _limits(table, series)
    by_label = {
        label: [
            _curve(drawn, rows if alone else rows[~rows.hollow], stages.get(label), axis, limits, named=len(series) > 1)
            for drawn in series
        ]
        for label, rows in runs.items()
    }
    if not alone:  # names by which the curves of runs are pooled
        by_label = {
            label: [replace(curve, name=drawn.name) for curve, drawn in zip(curves, series, strict=True)]
            for label, curves in by_label.items()
        }
    curves = pooled(by_label, comparable, alone=len(series) == 1)
    if limits[0] < 0 < limits[1]:
        ends = np.array([axis.left, axis.right])
        curves.insert(0, Curve("", ends, np.zeros(2), NEUTRAL, width=1.0, named=False, hover=False))
    draw_curves(figure, where, curves, LLC_HEIGHT, limits=limits)
    if not len(_reach(table, series)):
        figure.update_layout({f"yaxis{where['yaxis'][1:]}": {"showticklabels": False}})
    for drawn in series:
        for label, rows in runs.items():
            if alone or drawn.main:
                points = _points(drawn, rows, axis, limits)
                figure.add_trace((points if alone else _of_run(points, label)).update(**where))
    lost = ~np.isfinite(np.stack([drawn.values(table) for drawn in series])).any(axis=0)
    for row in table[lost & np.isfinite(axis.place(table.step.to_numpy()))].itertuples():
        figure.add_annotation(
            text="<b>×</b>",
            x=float(np.log10(axis.place(np.array([row.step]))[0])),
            y=0,
            yref=f"{where['yaxis']} domain",
            yanchor="bottom",
            showarrow=False,
            hovertext=f"{f'{plain(row.run)}, ' if not alone else ''}step {row.step:,}: {judged(row)}",
            font={"size": 15, "color": BLUE},
        )


def draw_withheld(figure: go.Figure, where: dict[str, str], table: pd.DataFrame, axis: StepAxis) -> None:
    """Draw the share of the value that the localization removes, with its 95 % band; hollow if not converged."""
    drawn, runs = Series("withheld", "withheld", NEUTRAL), _thinned_runs(table, 2)
    curves = {}
    for label, rows in runs.items():
        joined = rows if len(runs) == 1 else rows[~rows.hollow]
        x, y = axis.place(joined.step.to_numpy()), drawn.values(joined)
        band = around(y, drawn.errors(joined))
        curves[label] = [Curve(drawn.name, x, y, drawn.color, band, width=1.4, named=False, hover=False)]
    limits = -0.04, 1.04  # a share of hardly any complexity may be anything
    draw_curves(figure, where, pooled(curves), WITHHELD_HEIGHT, limits=limits)
    for label, rows in runs.items():
        points = _points(drawn, rows, axis, limits).update(name="withheld by localization", **where)
        points.update(customdata=[f"{value:.0%}" for value in drawn.values(rows)])
        figure.add_trace(points if len(runs) == 1 else _of_run(points, label))


def judged(row: Any) -> str:  # a named tuple from pandas, whose type has no name
    """The error and outcome of a drawn estimate, for hover texts: ± 0.8 (converged, R-hat 1.003)."""
    interval = f"± {Z95 * row.shown_mcse:.2g}" if np.isfinite(row.shown_mcse) else ""
    rhat = f", R-hat {row.rhat:.3f}" if np.isfinite(row.rhat) else ""
    return f"{interval} ({plain(row.outcome.replace('_', ' ') or 'not judged')}{rhat})".strip()


def _limits(table: pd.DataFrame, series: tuple[Series, ...]) -> tuple[float, float]:
    """The vertical range: all converged estimates, and others within one span of them."""
    sound = table[~table.hollow]
    every = _reach(table, series)
    if not len(every):
        return padded_range(every)
    core = _reach(sound, series)
    low, high = (core.min(), core.max()) if len(core) else np.quantile(every, _CORE)
    span = high - low or abs(high) or 1.0
    return padded_range(every[(every >= low - span) & (every <= high + span)])


def _reach(table: pd.DataFrame, series: tuple[Series, ...]) -> np.ndarray:
    """Finite values of all quantities, and the ends of the main one's error bars."""
    values = [drawn.values(table) for drawn in series]
    values += [end for drawn in series if drawn.main for end in around(drawn.values(table), drawn.errors(table))]
    joined = np.concatenate(values)
    return joined[np.isfinite(joined)]


def _curve(
    drawn: Series,
    table: pd.DataFrame,
    stages: xr.Dataset | None,
    axis: StepAxis,
    limits: tuple[float, float],
    named: bool,
) -> Curve:
    """The smoothed curve if stages were read from it, else the points joined, except those beyond the edge."""
    name = drawn.name if named else ""
    if stages is not None and "llc_smooth" in stages and staged_quantity(stages) == drawn.name:
        keep = thinned(stages.sizes["grid"], 1)
        smooth, error = stages.llc_smooth.values[keep], stages.llc_smooth_sd.values[keep]
        x = axis.place(stages.grid_step.values[keep])
        return Curve(name, x, smooth, drawn.color, around(smooth, error), named=named, hover=False)
    y = drawn.values(table)
    y = np.where((y >= limits[0]) & (y <= limits[1]), y, np.nan)
    band = around(y, drawn.errors(table)) if drawn.main else None
    width, x = 2.0 if drawn.main else 1.4, axis.place(table.step.to_numpy())
    return Curve(name, x, y, drawn.color, band, width, drawn.dash, named=named, hover=False)


def _thinned_runs(table: pd.DataFrame, curves: int) -> dict[str, pd.DataFrame]:
    """The estimates of each run in order of steps, thinned for this many curves per run."""
    runs = {label: rows.sort_values("step") for label, rows in by_run(table).items()}
    return {label: rows.iloc[thinned(len(rows), curves * len(runs))] for label, rows in runs.items()}


def _of_run(points: go.Scatter, label: str) -> go.Scatter:
    """The points of one run among several: small, without bars, under its name."""
    marker = {"size": 4.5, "line": {"width": 1.0}}
    return points.update(name=f"{points.name}, {plain(label)}", marker=marker, error_y=None, opacity=0.6)


def _points(drawn: Series, table: pd.DataFrame, axis: StepAxis, limits: tuple[float, float]) -> go.Scatter:
    y = drawn.values(table)
    symbol = np.where(table.hollow, "circle-open", "circle").astype(object)
    for beyond, shape in ((y < limits[0], "triangle-down"), (y > limits[1], "triangle-up")):
        symbol[beyond] = np.where(table.hollow[beyond], f"{shape}-open", shape)
    bar = {"array": Z95 * drawn.errors(table), "thickness": 1.2, "width": 0, "color": drawn.color}
    told = [
        f"{number(value)} {judged(row)}" if drawn.main else number(value)
        for value, row in zip(y, table.itertuples(), strict=True)
    ]
    width = 1.6 if drawn.main else 0.9  # a thicker line would fill a small circle
    return go.Scatter(
        x=axis.place(table.step.to_numpy()),
        y=np.clip(y, *limits),
        mode="markers",
        name=drawn.name,
        marker={"color": drawn.color, "size": 7 if drawn.main else 5, "line": {"width": width, "color": drawn.color}},
        marker_symbol=symbol,
        error_y=bar if drawn.main else None,
        cliponaxis=False,
        customdata=np.array(told, dtype=object),
        hovertemplate="%{customdata}",
    )
