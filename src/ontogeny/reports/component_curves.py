"""Refined learning coefficients of heads and other parts along training, on the data and beside a reference model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.runs import one_run
from ontogeny.reports.component_groups import clusters_of, component_colors, group_key, heads_by_layer, ordered
from ontogeny.reports.estimates import estimates, quantity
from ontogeny.reports.learning_curves import NAMED_CURVES, estimate_curve, mark_hollow
from ontogeny.reports.panels import Curve, add_key, around, axes, draw_curves, set_axes, small_multiples, thinned
from ontogeny.reports.stage_marks import mark_boundaries
from ontogeny.reports.style import StepAxis, distinct_colors

DASHES = ("solid", "dash", "dot", "dashdot")  # of parts that are in no cluster and share one colour
CURVES_HEIGHT, RELATIVE_HEIGHT = 250, 320


def fig_component_curves(
    refined: xr.Dataset, signatures: xr.Dataset | None = None, stages: xr.Dataset | None = None
) -> go.Figure:
    """Refined learning coefficients over training steps: one panel the heads of a layer, one all other parts.

    Panels of heads share one range. Hollow points are estimates that did not converge.

    Args:
        refined: of one run, with `llc` (step, component, dataset) and its errors; the first dataset is drawn.
        signatures: clusters of the components, which then give the colours; else every component has its own.
        stages: whose boundaries are drawn behind.
    """
    refined = one_run(refined, "refined")
    table, axis = _on_first_dataset(refined), StepAxis.of(refined.step.values)
    layers = heads_by_layer(table.component)
    heads = [name for names in layers.values() for name in names]
    others = [name for name in ordered(table.component) if name not in heads]
    panels = {f"Heads of layer {layer}": names for layer, names in layers.items()}
    panels |= {"Other parts": others} if others else {}
    figure = small_multiples(list(panels), CURVES_HEIGHT)
    for i, names in enumerate(panels.values()):
        _draw_components(figure, i, table, names, signatures, axis, heads if names != others else others)
        mark_boundaries(figure, axes(i), stages, axis)
        set_axes(figure, i, axis.layout(), {"title": {"text": quantity(refined)}})
    if key := group_key(heads, signatures):
        add_key(figure, key)
    return figure


def fig_relative_llc(relative: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Learning coefficients of heads relative to a reference model: each head thin, the mean of each layer bold.

    A mean is drawn where every head of the layer has a value; its band is of Monte Carlo error, heads taken as
    independent. Hollow points are estimates that did not converge.

    Args:
        relative: of one run, with `llc` (step, component, dataset) under the divergence from the reference, and its
            errors.
        stages: whose boundaries are drawn behind.
    """
    relative = one_run(relative, "relative")
    table, axis = _on_first_dataset(relative), StepAxis.of(relative.step.values)
    layers = heads_by_layer(table.component)
    thin, bold = [], []
    figure = small_multiples(["Heads relative to the reference"], RELATIVE_HEIGHT)
    for color, (layer, heads) in zip(distinct_colors(len(layers)), layers.items(), strict=True):
        for name in heads:
            rows = _rows(table, name)
            x = axis.place(rows.step.to_numpy())
            thin.append(Curve(name, x, rows.shown.to_numpy(), color, width=1.1, opacity=0.55, named=False))
            mark_hollow(figure, axes(0), rows, axis, color, size=4)
        bold.append(_mean_curve(f"layer {layer}", table[table.component.isin(heads)], axis, color))
    draw_curves(figure, axes(0), thin + bold, RELATIVE_HEIGHT, include=[0.0])
    mark_boundaries(figure, axes(0), stages, axis)
    set_axes(figure, 0, axis.layout(), {"title": {"text": f"{quantity(relative)} relative to the reference"}})
    hover = "%{fullData.name} at step %{x:,.0f}: %{y:.3~g}<extra></extra>"
    return figure.update_traces(hovertemplate=hover, selector={"hoverinfo": None}).update_layout(hovermode="closest")


def _on_first_dataset(refined: xr.Dataset) -> pd.DataFrame:
    table = estimates(refined)
    return table[table.dataset == table.dataset.iloc[0]] if len(table) else table


def _rows(table: pd.DataFrame, component: str) -> pd.DataFrame:
    rows = table[table.component == component].sort_values("step")
    return rows.iloc[thinned(len(rows), table.component.nunique())]


def _draw_components(
    figure: go.Figure,
    panel: int,
    table: pd.DataFrame,
    names: list[str],
    signatures: xr.Dataset | None,
    axis: StepAxis,
    sharing: list[str],
) -> None:
    """The curves of these components, in a panel whose range holds those of all that share it."""
    colors, grouped = component_colors(names, signatures), clusters_of(signatures)
    largest = table[table.component.isin(names)].dropna(subset="shown").groupby("component").shown.last()
    named = set(largest.nlargest(NAMED_CURVES).index)
    curves = []
    for name, color in colors.items():
        curve = estimate_curve(name, _rows(table, name), axis, color, named=name in named)
        alike = [other for other in names if grouped and other not in grouped]
        dash = DASHES[alike.index(name) % len(DASHES)] if name in alike else "solid"
        curves.append(replace(curve, dash=dash))
        mark_hollow(figure, axes(panel), _rows(table, name), axis, color)
    shared = table[table.component.isin(sharing)]
    reach = around(shared.shown.to_numpy(), shared.shown_mcse.fillna(0).to_numpy())
    draw_curves(figure, axes(panel), curves, CURVES_HEIGHT, include=np.concatenate(reach))


def _mean_curve(name: str, table: pd.DataFrame, axis: StepAxis, color: str) -> Curve:
    values, errors = (
        table.pivot_table(column, "step", "component", dropna=False) for column in ("shown", "shown_mcse")
    )
    mean = values.mean(axis=1, skipna=False).to_numpy()
    error = np.sqrt((errors**2).sum(axis=1, skipna=False).to_numpy()) / values.shape[1]
    return Curve(name, axis.place(values.index.to_numpy()), mean, color, around(mean, error), width=2.8)
