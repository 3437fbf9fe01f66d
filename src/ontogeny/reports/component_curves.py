"""Refined learning coefficients of heads and other components along training."""

from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.runs import one_run
from ontogeny.reports.component_groups import clusters_of, component_colors, group_key, heads_by_layer, ordered
from ontogeny.reports.estimates import estimates, quantity
from ontogeny.reports.learning_curves import NAMED_CURVES, estimate_curve, mark_hollow
from ontogeny.reports.small_multiples import (
    add_key,
    around,
    axes,
    draw_curves,
    set_axes,
    small_multiples,
    thinned,
)
from ontogeny.reports.stage_marks import mark_boundaries
from ontogeny.reports.style import StepAxis

DASHES = ("solid", "dash", "dot", "dashdot")  # for components that are in no cluster and share one colour
CURVES_HEIGHT = 250


def fig_component_curves(
    refined: xr.Dataset, signatures: xr.Dataset | None = None, stages: xr.Dataset | None = None
) -> go.Figure:
    """Refined learning coefficients over training steps: one panel per layer of heads, one for all other components.

    Panels of heads share one range. Hollow points are estimates that did not converge.

    Args:
        refined: one run, with `llc` (step, component, dataset) and its errors; the first dataset is drawn.
        signatures: clusters of the components, which set the colours; without them every component has its own.
        stages: whose boundaries are drawn behind.
    """
    refined = one_run(refined, "refined")
    table, axis = on_first_dataset(refined), StepAxis.of(refined.step.values)
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


def on_first_dataset(refined: xr.Dataset) -> pd.DataFrame:
    """The estimates on the main dataset, the first."""
    table = estimates(refined)
    return table[table.dataset == table.dataset.iloc[0]] if len(table) else table


def drawn_rows(table: pd.DataFrame, component: str) -> pd.DataFrame:
    """The estimates of a component in order of steps, thinned so that all components can be drawn."""
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
    """Draw the curves of these components, in a panel whose range covers all that share it."""
    colors, grouped = component_colors(names, signatures), clusters_of(signatures)
    largest = table[table.component.isin(names)].dropna(subset="shown").groupby("component").shown.last()
    named = set(largest.nlargest(NAMED_CURVES).index)
    curves = []
    for name, color in colors.items():
        curve = estimate_curve(name, drawn_rows(table, name), axis, color, named=name in named)
        alike = [other for other in names if grouped and other not in grouped]
        dash = DASHES[alike.index(name) % len(DASHES)] if name in alike else "solid"
        curves.append(replace(curve, dash=dash))
        mark_hollow(figure, axes(panel), drawn_rows(table, name), axis, color)
    shared = table[table.component.isin(sharing)]
    reach = around(shared.shown.to_numpy(), shared.shown_mcse.fillna(0).to_numpy())
    draw_curves(figure, axes(panel), curves, CURVES_HEIGHT, include=np.concatenate(reach))
