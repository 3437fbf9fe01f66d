"""Learning coefficients of heads relative to a reference model along training."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.runs import one_run
from ontogeny.reports.component_curves import drawn_rows, on_first_dataset
from ontogeny.reports.component_groups import heads_by_layer
from ontogeny.reports.estimates import quantity
from ontogeny.reports.learning_curves import mark_hollow
from ontogeny.reports.small_multiples import Curve, around, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.stage_marks import mark_boundaries
from ontogeny.reports.style import StepAxis, distinct_colors

HEIGHT = 320


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
    table, axis = on_first_dataset(relative), StepAxis.of(relative.step.values)
    layers = heads_by_layer(table.component)
    thin, bold = [], []
    figure = small_multiples(["Heads relative to the reference"], HEIGHT)
    for color, (layer, heads) in zip(distinct_colors(len(layers)), layers.items(), strict=True):
        for name in heads:
            rows = drawn_rows(table, name)
            x = axis.place(rows.step.to_numpy())
            thin.append(Curve(name, x, rows.shown.to_numpy(), color, width=1.1, opacity=0.55, named=False))
            mark_hollow(figure, axes(0), rows, axis, color, size=4)
        bold.append(_mean_curve(f"layer {layer}", table[table.component.isin(heads)], axis, color))
    draw_curves(figure, axes(0), thin + bold, HEIGHT, include=[0.0])
    mark_boundaries(figure, axes(0), stages, axis)
    set_axes(figure, 0, axis.layout(), {"title": {"text": f"{quantity(relative)} relative to the reference"}})
    hover = "%{fullData.name} at step %{x:,.0f}: %{y:.3~g}<extra></extra>"
    return figure.update_traces(hovertemplate=hover, selector={"hoverinfo": None}).update_layout(hovermode="closest")


def _mean_curve(name: str, table: pd.DataFrame, axis: StepAxis, color: str) -> Curve:
    values, errors = (
        table.pivot_table(column, "step", "component", dropna=False) for column in ("shown", "shown_mcse")
    )
    mean = values.mean(axis=1, skipna=False).to_numpy()
    error = np.sqrt((errors**2).sum(axis=1, skipna=False).to_numpy()) / values.shape[1]
    return Curve(name, axis.place(values.index.to_numpy()), mean, color, around(mean, error), width=2.8)
