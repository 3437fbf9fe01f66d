"""The learning coefficient along training: complexity, descent and their difference on one axis."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports.estimates import by_run
from ontogeny.reports.pooled_runs import pooled
from ontogeny.reports.small_multiples import Z95, Curve, around, draw_curves, padded_range, thinned
from ontogeny.reports.stage_marks import staged_quantity
from ontogeny.reports.style import BLUE, NEUTRAL, RUST, VIOLET, StepAxis
from ontogeny.reports.wording import number, plain

LLC_HEIGHT, WITHHELD_HEIGHT = 290, 84
_CORE = (0.1, 0.9)  # quantiles that set the vertical range where no estimate converged


class Part(NamedTuple):
    """A quantity of the panel: its column, its name, how it is drawn, and whether it is the main one."""

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


ALONE = (Part("llc", "LLC", BLUE, main=True),)
APART = (
    Part("llc", "LLC", VIOLET, "dot"),
    Part("descent", "descent", RUST),
    Part("complexity", "complexity", BLUE, main=True),
)


def parts_of(table: pd.DataFrame) -> tuple[Part, ...]:
    """What there is to draw: three quantities where complexity and descent were measured apart, else the LLC."""
    return APART if table.complexity.notna().any() else ALONE


def draw_llc(
    figure: go.Figure,
    where: dict[str, str],
    table: pd.DataFrame,
    stages: Mapping[str, xr.Dataset],
    axis: StepAxis,
    comparable: bool = True,
) -> None:
    """Draw the estimates of one component into a panel: every part with points, hollow where they did not converge.

    The main part has bars of 95 % Monte Carlo error and the smoothed curve that stages were read from, if they were
    read from it. The vertical range is that of the converged estimates, with as much room again on both sides for
    others; a point beyond it is a triangle at the edge, and an estimate that is no number a cross at the foot.

    Of several runs the points of the main part alone are drawn, small and without bars. A run's faint curve is its
    smoothed one, or joins the estimates that converged; the median over runs is bold, unless their values do not
    compare. `stages` are by the label of the run.
    """
    parts = parts_of(table)
    runs = _thinned_runs(table, 2 * len(parts))
    table, alone = pd.concat(runs.values()), len(runs) == 1
    limits = _limits(table, parts)
    by_label = {
        label: [
            _curve(part, rows if alone else rows[~rows.hollow], stages.get(label), axis, limits, named=len(parts) > 1)
            for part in parts
        ]
        for label, rows in runs.items()
    }
    if not alone:  # the names by which curves of runs are pooled
        by_label = {
            label: [replace(curve, name=part.name) for curve, part in zip(curves, parts, strict=True)]
            for label, curves in by_label.items()
        }
    curves = pooled(by_label, comparable, alone=len(parts) == 1)
    if limits[0] < 0 < limits[1]:
        ends = np.array([axis.left, axis.right])
        curves.insert(0, Curve("", ends, np.zeros(2), NEUTRAL, width=1.0, named=False, hover=False))
    draw_curves(figure, where, curves, LLC_HEIGHT, limits=limits)
    if not len(_reach(table, parts)):
        figure.update_layout({f"yaxis{where['yaxis'][1:]}": {"showticklabels": False}})
    for part in parts:
        for label, rows in runs.items():
            if alone or part.main:
                points = _points(part, rows, axis, limits)
                figure.add_trace((points if alone else _of_run(points, label)).update(**where))
    lost = ~np.isfinite(np.stack([part.values(table) for part in parts])).any(axis=0)
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
    """Draw the share of the value that the localization takes, with its 95 % band, hollow as everywhere."""
    part, runs = Part("withheld", "withheld", NEUTRAL), _thinned_runs(table, 2)
    curves = {}
    for label, rows in runs.items():
        joined = rows if len(runs) == 1 else rows[~rows.hollow]
        x, y = axis.place(joined.step.to_numpy()), part.values(joined)
        band = around(y, part.errors(joined))
        curves[label] = [Curve(part.name, x, y, part.color, band, width=1.4, named=False, hover=False)]
    limits = _limits(pd.concat(runs.values()), (part,))
    limits = min(limits[0], -0.04), max(limits[1], 1.04)
    draw_curves(figure, where, pooled(curves), WITHHELD_HEIGHT, limits=limits)
    for label, rows in runs.items():
        points = _points(part, rows, axis, limits).update(name="withheld by localization", **where)
        points.update(customdata=[f"{value:.0%}" for value in part.values(rows)])
        figure.add_trace(points if len(runs) == 1 else _of_run(points, label))


def judged(row: Any) -> str:  # a named tuple from pandas, whose type has no name
    """The error of what is drawn of an estimate and how it ended, for hover texts: ± 0.8 (converged, R-hat 1.003)."""
    interval = f"± {Z95 * row.shown_mcse:.2g}" if np.isfinite(row.shown_mcse) else ""
    rhat = f", R-hat {row.rhat:.3f}" if np.isfinite(row.rhat) else ""
    return f"{interval} ({plain(row.outcome.replace('_', ' ') or 'not judged')}{rhat})".strip()


def _limits(table: pd.DataFrame, parts: tuple[Part, ...]) -> tuple[float, float]:
    """The vertical range: all of what converged, and of the rest as much as lies within one span of that."""
    sound = table[~table.hollow]
    every = _reach(table, parts)
    if not len(every):
        return padded_range(every)
    core = _reach(sound, parts)
    low, high = (core.min(), core.max()) if len(core) else np.quantile(every, _CORE)
    span = high - low or abs(high) or 1.0
    return padded_range(every[(every >= low - span) & (every <= high + span)])


def _reach(table: pd.DataFrame, parts: tuple[Part, ...]) -> np.ndarray:
    """Finite values of all parts, and the ends of the main one's error bars."""
    values = [part.values(table) for part in parts]
    values += [end for part in parts if part.main for end in around(part.values(table), part.errors(table))]
    joined = np.concatenate(values)
    return joined[np.isfinite(joined)]


def _curve(
    part: Part,
    table: pd.DataFrame,
    stages: xr.Dataset | None,
    axis: StepAxis,
    limits: tuple[float, float],
    named: bool,
) -> Curve:
    """The smoothed curve where stages were read from this part, else its points joined, those beyond the edge not."""
    name = part.name if named else ""
    if stages is not None and "llc_smooth" in stages and staged_quantity(stages) == part.name:
        keep = thinned(stages.sizes["grid"], 1)
        smooth, error = stages.llc_smooth.values[keep], stages.llc_smooth_sd.values[keep]
        x = axis.place(stages.grid_step.values[keep])
        return Curve(name, x, smooth, part.color, around(smooth, error), named=named, hover=False)
    y = part.values(table)
    y = np.where((y >= limits[0]) & (y <= limits[1]), y, np.nan)
    band = around(y, part.errors(table)) if part.main else None
    width, x = 2.0 if part.main else 1.4, axis.place(table.step.to_numpy())
    return Curve(name, x, y, part.color, band, width, part.dash, named=named, hover=False)


def _thinned_runs(table: pd.DataFrame, curves: int) -> dict[str, pd.DataFrame]:
    """The estimates of each run in the order of steps, few enough for so many curves a run."""
    runs = {label: rows.sort_values("step") for label, rows in by_run(table).items()}
    return {label: rows.iloc[thinned(len(rows), curves * len(runs))] for label, rows in runs.items()}


def _of_run(points: go.Scatter, label: str) -> go.Scatter:
    """The points of one run among several: small, without bars and under its name."""
    marker = {"size": 4.5, "line": {"width": 1.0}}
    return points.update(name=f"{points.name}, {plain(label)}", marker=marker, error_y=None, opacity=0.6)


def _points(part: Part, table: pd.DataFrame, axis: StepAxis, limits: tuple[float, float]) -> go.Scatter:
    y = part.values(table)
    symbol = np.where(table.hollow, "circle-open", "circle").astype(object)
    for beyond, shape in ((y < limits[0], "triangle-down"), (y > limits[1], "triangle-up")):
        symbol[beyond] = np.where(table.hollow[beyond], f"{shape}-open", shape)
    bar = {"array": Z95 * part.errors(table), "thickness": 1.2, "width": 0, "color": part.color}
    told = [
        f"{number(value)} {judged(row)}" if part.main else number(value)
        for value, row in zip(y, table.itertuples(), strict=True)
    ]
    width = 1.6 if part.main else 0.9  # a thicker line would fill a small circle
    return go.Scatter(
        x=axis.place(table.step.to_numpy()),
        y=np.clip(y, *limits),
        mode="markers",
        name=part.name,
        marker={"color": part.color, "size": 7 if part.main else 5, "line": {"width": width, "color": part.color}},
        marker_symbol=symbol,
        error_y=bar if part.main else None,
        cliponaxis=False,
        customdata=np.array(told, dtype=object),
        hovertemplate="%{customdata}",
    )
