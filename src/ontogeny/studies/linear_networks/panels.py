"""Panels of the linear-networks study."""

from collections.abc import Iterator

import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports import Choice, Column, Panel, Table, Tag
from ontogeny.reports.small_multiples import Curve, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, PALETTE
from ontogeny.studies.findings import Findings


def panels(found: Findings) -> Iterator[Panel]:
    """The staircases of loss and complexity, and every plateau in a table."""
    table = found["plateaus"]
    names = list(dict.fromkeys(table["network"].values.tolist()))
    figures = {name: _staircase(found[f"path-{name}"], table.sel(plateau=table["network"] == name)) for name in names}
    caption = "Left, the loss over training steps; right, complexity at each plateau, and Aoyagi's exact value, dashed."
    shown = Choice(figures, "Loss and complexity of a deep linear network", caption, of="Network", opened="first")
    yield Panel("staircases", "Loss descends, complexity climbs", [shown], "Staircases")
    columns = [Column("Network", head=True), "Rank", "Step", "Complexity", "± (95 %)", "Exact", Column("Outcome")]
    keys = ("network", "rank", "step", "complexity", "complexity_mcse", "exact", "outcome")
    rows = [
        [str(n), r, s, c, 1.96 * e, x, Tag(str(o))]
        for n, r, s, c, e, x, o in zip(*(table[k].values.tolist() for k in keys), strict=True)
    ]
    yield Panel("plateaus", "Every plateau", [Table(columns, rows, label="Plateaus", tall=True)], "Plateaus")


def _staircase(path: xr.Dataset, table: xr.Dataset) -> go.Figure:
    figure = small_multiples(["Loss", "Complexity at the plateaus"])
    steps, ranks, error = path["step"].values, table["rank"].values, 1.96 * table["complexity_mcse"].values
    draw_curves(figure, axes(0), [Curve("loss", steps, path["loss"].values, NEUTRAL)])
    values, exact = table["complexity"].values, table["exact"].values
    measured = Curve("measured", ranks, values, PALETTE[0], band=(values - error, values + error))
    draw_curves(figure, axes(1), [measured, Curve("exact", ranks, exact, NEUTRAL, dash="dash")])
    set_axes(figure, 0, {"title": {"text": "training step"}}, {"title": {"text": "|P − T|²"}})
    set_axes(figure, 1, {"title": {"text": "rank"}, "dtick": 1}, {"title": {"text": "complexity"}})
    return figure
