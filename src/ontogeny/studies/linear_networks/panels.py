"""Panels of the linear-networks study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.reports import Choice, Column, Figure, Panel, Table, Tag
from ontogeny.reports.small_multiples import Curve, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import BLUE, NEUTRAL, ORANGE, PALETTE, StepAxis
from ontogeny.studies.findings import Findings
from ontogeny.studies.linear_networks.hierarchy import parted_at

_SEEN = 0.01  # of the largest covariance, from which the figure shows it


def panels(found: Findings) -> Iterator[Panel]:
    """The staircases of loss and complexity, every plateau in a table, influence along training, and two phases."""
    table = found["plateaus"]
    names = list(dict.fromkeys(table["network"].values.tolist()))
    figures = {name: _staircase(found[f"path-{name}"], table.sel(plateau=table["network"] == name)) for name in names}
    caption = "Left, the loss over training steps; right, complexity at each plateau, and Aoyagi's exact value, dashed."
    shown = Choice(figures, "Loss and complexity of a deep linear network", caption, of="Network", opened="first")
    yield Panel("staircases", "Loss descends, complexity climbs", [shown], "Staircases")
    columns = [Column("Network", head=True), "Rank", "Step", "Complexity", "± (95 %)", "Exact", Column("Outcome")]
    keys = ("network", "rank", "step", "complexity", "complexity_mcse", "exact", "outcome")
    rows = [
        [str(n), r, s, c, Z95 * e, x, Tag(str(o))]
        for n, r, s, c, e, x, o in zip(*(table[k].values.tolist() for k in keys), strict=True)
    ]
    yield Panel("plateaus", "Every plateau", [Table(columns, rows, label="Plateaus", tall=True)], "Plateaus")

    caption = "Influence of an item on the loss of another, mean over the pairs that part at a level of the tree: the "
    caption += "rise of the loss without the item, trained anew and by the exact flow, dashed; and the covariance of "
    caption += "both losses over the local posterior, scaled to the same largest value. Below 0 the item does harm."
    figure = Figure(fig_influence(found["influence-0"]), "Influence between items over training steps", caption)
    yield Panel("influence", "Influence along training", [figure], "Influence")
    caption = (
        "Covariance of the losses of two items over networks with initial weights of many sizes, mean over pairs, "
    )
    caption += "and the part of it that lies between those that have learned a level and those that have not. Vertical "
    caption += "lines: half of the networks have learned it."
    figure = Figure(fig_phases(found["phases"]), "Covariance of losses over training steps, and shares", caption)
    yield Panel("phases", "Covariance between two phases", [figure], "Phases")
    caption = "Loss and complexity at every plateau of networks that differ in their initial weights, one line each."
    figure = Figure(fig_stairs(found["stairs-found"], found["stairs-measured"]), "Complexity over loss", caption)
    yield Panel("stairs", "Staircases of many networks", [figure], "Many networks")


def _staircase(path: xr.Dataset, table: xr.Dataset) -> go.Figure:
    figure = small_multiples(["Loss", "Complexity at the plateaus"])
    steps, ranks, error = path["step"].values, table["rank"].values, Z95 * table["complexity_mcse"].values
    draw_curves(figure, axes(0), [Curve("loss", steps, path["loss"].values, NEUTRAL)])
    values, exact = table["complexity"].values, table["exact"].values
    measured = Curve("measured", ranks, values, PALETTE[0], band=(values - error, values + error))
    draw_curves(figure, axes(1), [measured, Curve("exact", ranks, exact, NEUTRAL, dash="dash")])
    set_axes(figure, 0, {"title": {"text": "training step"}}, {"title": {"text": "|P − T|²"}})
    set_axes(figure, 1, {"title": {"text": "rank"}, "dtick": 1}, {"title": {"text": "complexity"}})
    return figure


def fig_influence(table: xr.Dataset) -> go.Figure:
    """Influence over steps, one panel for each level at which items part."""
    parts, steps = parted_at(table.sizes["level"]), table["step"].values[1:]
    levels = range(1, table.sizes["level"])
    figure = small_multiples([f"Items that part at level {level}" for level in levels], 240)
    most = {name: np.abs(table[name].values[:, parts > 0]).max() for name in ("retrained", "sampled")}
    for panel, level in enumerate(levels):
        curves = []
        for name, color in (("retrained", BLUE), ("exact", NEUTRAL), ("sampled", ORANGE)):
            scale = most["retrained"] / most["sampled"] if name == "sampled" else 1.0
            values = scale * table[name].values[1:, parts == level].mean(axis=1)
            curves.append(Curve(name, steps, values, color, dash="dash" if name == "exact" else "solid"))
        draw_curves(figure, axes(panel), curves, height=240, include=[0])
        x = StepAxis.of(steps).layout()
        set_axes(figure, panel, x, {"title": {"text": "change of the loss"}, "zeroline": True})
    return figure


def fig_phases(table: xr.Dataset) -> go.Figure:
    """Total covariance and its part between the phases of each level, and the shares of networks, over steps."""
    figure = small_multiples(["Covariance of losses", "Share that has learned a level"], 260)
    total = table["total"].values
    later = table["step"].values > table["step"].values[total > _SEEN * total.max()][0] / 2
    steps, colors = table["step"].values[later], PALETTE[: table.sizes["level"]]
    between = [
        Curve(f"level {level}", steps, np.where(values > 0, values, np.nan), color, named=False)
        for level, (values, color) in enumerate(zip(table["between"].values[:, later], colors, strict=True))
    ]
    draw_curves(figure, axes(0), [Curve("total", steps, total[later], NEUTRAL), *between], height=260, include=[0])
    shares = [
        Curve(f"level {level}", steps, values, color)
        for level, (values, color) in enumerate(zip(table["share"].values[:, later], colors, strict=True))
    ]
    draw_curves(figure, axes(1), shares, height=260, include=[0, 1])
    for curve in shares:
        half, line = steps[np.abs(curve.y - 0.5).argmin()], {"color": curve.color, "width": 1, "dash": "dot"}
        figure.add_shape(type="line", x0=half, x1=half, y0=0, y1=1, xref="x", yref="y domain", line=line)
    for panel, title in enumerate(("covariance", "share")):
        set_axes(figure, panel, StepAxis.of(steps).layout(), {"title": {"text": title}})
    return figure


def fig_stairs(table: xr.Dataset, measured: xr.Dataset) -> go.Figure:
    """Complexity over the loss at the plateaus of each network, from the largest loss on."""
    figure = small_multiples(["Complexity at the plateaus"], 260)
    paths = table["path"].values
    for path in np.unique(paths):
        own = paths == path
        x, y = table["loss"].values[own], measured["complexity"].values[own]
        line = go.Scatter(x=x, y=y, mode="lines+markers", line={"color": BLUE, "width": 1}, opacity=0.6)
        figure.add_trace(line.update(showlegend=False, hoverinfo="skip", **axes(0)))
    set_axes(figure, 0, {"title": {"text": "loss"}, "autorange": "reversed"}, {"title": {"text": "complexity"}})
    return figure
