"""Panels of the memorised-items study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.reports import Column, Figure, Panel, Table
from ontogeny.reports.small_multiples import Curve, around, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, PALETTE
from ontogeny.studies.findings import Findings


def panels(found: Findings) -> Iterator[Panel]:
    """λ̂ over the items of look-up tables with the exact line, and networks that learn a rule with exceptions."""
    caption = (
        "Left, at fixed nβ/N with 95 % intervals, and the exact values, dashed. Right, the same tables at one nβ, "
    )
    caption += "where the coefficient is not linear in the items."
    figure = Figure(fig_tables(found), "Coefficient over the items of look-up tables", caption)
    yield Panel("tables", "Look-up tables", [figure], "Tables")
    caption = "Each dot is a network on the same number of pairs. Bits and rank are those of the coarsest compression "
    caption += "that the loss tolerates."
    figure = Figure(fig_exceptions(found), "Coefficient over exceptions and over compressibility", caption)
    yield Panel("exceptions", "A rule with exceptions", [figure, _networks(found)], "Exceptions")


def fig_tables(found: Findings) -> go.Figure:
    """λ̂ over N at fixed nβ/N and at one nβ."""
    figure = small_multiples(["At fixed nβ/N", "At one nβ"], 260)
    exact = found["exact"]
    items = exact["items"].values
    for i, kind in enumerate(("fixed", "same")):
        value, error = (
            np.array([float(found[f"{kind}-{n}"][name].squeeze()) for n in items]) for name in ("llc", "llc_mcse")
        )
        drawn = [Curve("measured", items, value, PALETTE[0], band=around(value, error))]
        if kind == "fixed":
            drawn.append(Curve("exact", items, exact["llc"].values, NEUTRAL, dash="dash"))
        draw_curves(figure, axes(i), drawn, include=[0], height=260)
        set_axes(figure, i, {"title": {"text": "items N"}}, {"title": {"text": "λ̂"}})
    return figure


def fig_exceptions(found: Findings) -> go.Figure:
    """λ̂ over the number of exceptions, and over critical bits and rank."""
    figure = small_multiples(["Over exceptions", "Over critical bits", "Over critical rank"], 230)
    table, value = found["witnesses"], found["beside"]["llc_complexity"].values.ravel()
    for i, (name, title) in enumerate(
        (("exceptions", "exceptions"), ("bits", "bits a weight"), ("rank", "rank of all matrices"))
    ):
        colors = table["exceptions"].values
        marker = {"size": 8, "color": colors, "colorscale": [[0, PALETTE[0]], [1, PALETTE[1]]]}
        dots = go.Scatter(x=table[name].values, y=value, mode="markers", marker=marker, showlegend=False)
        figure.add_trace(dots.update(text=colors, hovertemplate="%{y:.1f}, %{text} exceptions", **axes(i)))
        set_axes(figure, i, {"title": {"text": title}}, {"title": {"text": "complexity"}})
    return figure


def _networks(found: Findings) -> Table:
    table, measured = found["witnesses"], found["beside"]
    titles = ("Loss", "Accuracy", "Share of the sum", "λ̂", "± (95 %)", "Bits", "Rank", "Norm")
    columns = [Column("Exceptions", head=True), *titles]
    flat: dict[str, np.ndarray] = {
        name: measured[name].values.ravel() for name in measured.data_vars if _one(measured[name])
    }
    rows = [
        [
            f"{table['exceptions'].values[i]:.0f}",
            float(flat["loss"][i]),
            *(float(table[name].values[i]) for name in ("accuracy", "sum_share")),
            float(flat["llc_complexity"][i]),
            float(Z95 * flat["llc_complexity_mcse"][i]),
            *(float(table[name].values[i]) for name in ("bits", "rank", "norm")),
        ]
        for i in range(table.sizes["network"])
    ]
    return Table(columns, rows, label="Networks", tall=True)


def _one(values: xr.DataArray) -> bool:
    return {"chain", "draw"}.isdisjoint(values.dims) and values.dtype.kind == "f"
