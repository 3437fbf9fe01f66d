"""The complexity of each head on one dataset beside that on another."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.core.runs import one_run
from ontogeny.reports.component_groups import (
    clusters_of,
    component_colors,
    group_key,
    head_of,
    heads_by_layer,
    labels_of,
    ordered,
)
from ontogeny.reports.estimates import estimates, quantity
from ontogeny.reports.mark_names import Frame, write_names
from ontogeny.reports.small_multiples import add_key, around, axes, padded_range, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, distinct_colors, translucent
from ontogeny.reports.wording import plain, shorten, steps, with_error

WIDE, NARROW, HEIGHT = 800, 270, 400  # pixels of the panel: its width on a page and on a phone, its height
NAMED_HEADS = 24  # the farthest from the line; more names have no room
MAX_TITLE = 24  # characters of a dataset's name that fit an axis on a phone


def fig_data_refinement(
    refined: xr.Dataset, first: str, second: str, signatures: xr.Dataset | None = None
) -> go.Figure:
    """Refined learning coefficients of heads on one dataset against those on another, at the last checkpoint.

    Bars are 95 % of Monte Carlo error, in both directions; a head on the dotted line is as complex on the one dataset
    as on the other. Hollow heads did not converge on at least one of them.

    Args:
        refined: of one run, with `llc` (step, component, dataset) and its errors.
        first: the dataset along the horizontal axis.
        second: the one along the vertical axis.
        signatures: clusters of the heads, which then give the colours, else layers do; their labels are said on hover.
    """
    refined = one_run(refined, "refined")
    table, labels = _side_by_side(refined, first, second), labels_of(signatures)
    at, errors = table[["x", "y"]].to_numpy(), table[["x_mcse", "y_mcse"]].fillna(0).to_numpy()
    low, high = padded_range(np.concatenate(around(at, errors)).ravel(), 0.09)
    figure = small_multiples([f"Heads at step {steps(float(refined.step.values.max()))}"], HEIGHT)
    line = {"color": translucent(NEUTRAL, 0.8), "width": 1.2, "dash": "dot"}
    ends = {"x0": low, "x1": high, "y0": low, "y1": high, "xref": "x", "yref": "y", "layer": "below"}
    figure.add_shape(type="line", line=line, **ends)
    colors, key = _colors(table.index, signatures)
    for color in dict.fromkeys(colors.values()):
        rows = table[[colors[name] == color for name in table.index]]
        _draw_heads(figure, rows, color, [_hover(row, labels, (first, second)) for row in rows.itertuples()])
    panels = (Frame(np.array([[low, high], [low, high]]), (width, HEIGHT)) for width in (WIDE, NARROW))
    told = set((table.x - table.y).abs().nlargest(NAMED_HEADS).index)
    names = [name if name in told else "" for name in table.index]
    write_names(figure, at, Z95 * errors, names, [colors[name] for name in table.index], *panels)
    titles = [
        {"title": {"text": f"{quantity(refined)} on {plain(shorten(name, MAX_TITLE))}"}} for name in (first, second)
    ]
    set_axes(figure, 0, *(title | {"range": [low, high]} for title in titles))
    add_key(figure, key)
    return figure.update_layout(hovermode="closest", margin={"r": 28})


def dataset_pairs(refined: xr.Dataset) -> list[tuple[str, str]]:
    """The pairs of datasets after the first on both of which a head was measured at the last checkpoint."""
    names = list(dict.fromkeys(estimates(refined).dataset))[1:]
    return [pair for pair in combinations(names, 2) if len(_side_by_side(refined, *pair))]


def _side_by_side(refined: xr.Dataset, first: str, second: str) -> pd.DataFrame:
    """One row a head with finite values on both datasets at the last step: x, y, x_mcse, y_mcse, sound."""
    table = estimates(refined)
    table = table[(table.step == refined.step.values.max()) & table.component.map(head_of).notna()]
    one, other = (table[table.dataset == name].set_index("component") for name in (first, second))
    both = pd.DataFrame({"x": one.shown, "y": other.shown, "x_mcse": one.shown_mcse, "y_mcse": other.shown_mcse})
    both["sound"] = ~one.hollow & ~other.hollow
    both = both[np.isfinite(both.x) & np.isfinite(both.y)]
    return both.loc[ordered(both.index)]


def _colors(heads: pd.Index, signatures: xr.Dataset | None) -> tuple[dict[str, str], dict[str, str]]:
    """The colour of each head, and what colours mean: clusters where there are any, else layers."""
    if clusters_of(signatures):
        return component_colors(heads, signatures), group_key(heads, signatures)
    layers = heads_by_layer(heads)
    key = dict(zip(layers, distinct_colors(len(layers)), strict=True))
    colors = {name: key[layer] for layer, names in layers.items() for name in names}
    return colors, {f"layer {layer}": color for layer, color in key.items()}


def _draw_heads(figure: go.Figure, rows: pd.DataFrame, color: str, hover: list[str]) -> None:
    trace = go.Scatter(x=rows.x, y=rows.y, mode="markers", name="heads", customdata=hover, cliponaxis=False)
    bars = {"thickness": 1.2, "width": 0, "color": translucent(color, 0.6)}
    trace.update(error_x={"array": Z95 * rows.x_mcse, **bars}, error_y={"array": Z95 * rows.y_mcse, **bars})
    trace.update(marker={"color": color, "size": 8, "line": {"width": 1.6, "color": color}})
    trace.update(marker_symbol=np.where(rows.sound, "circle", "circle-open"))
    figure.add_trace(trace.update(hovertemplate="%{customdata}<extra></extra>", **axes(0)))


def _hover(row: Any, labels: dict[str, str], datasets: tuple[str, str]) -> str:  # a named tuple from pandas
    name, values = str(row.Index), ((row.x, row.x_mcse), (row.y, row.y_mcse))
    label = f" ({plain(labels[name])})" if name in labels else ""
    told = (f"{plain(d)} {with_error(v, Z95 * e)}" for d, (v, e) in zip(datasets, values, strict=True))
    doubt = "" if row.sound else "<br>not converged on both"
    return f"<b>{plain(name)}</b>{label}<br>{'<br>'.join(told)}{doubt}"
