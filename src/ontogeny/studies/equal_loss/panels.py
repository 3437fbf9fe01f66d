"""Panels of the study of networks of equal loss."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go

from ontogeny.core.intervals import Z95
from ontogeny.reports import Choice, Panel, Table
from ontogeny.reports.small_multiples import add_key, axes, set_axes, small_multiples
from ontogeny.reports.style import PALETTE
from ontogeny.studies.equal_loss.evidence import instruments, told
from ontogeny.studies.equal_loss.recipe import PAIRS
from ontogeny.studies.findings import Findings

SHOWN = 8
TITLES = {"sums": "Adding and remembering", "brackets": "Nesting and counting"}


def panels(found: Findings) -> Iterator[Panel]:
    """What each instrument says of both algorithms, drawn and as a table."""
    figures = {TITLES[pair]: fig_instruments(found, pair) for pair in PAIRS}
    caption = "Each dot is a network, with a 95 % interval of the instrument's own error. Networks of one number have "
    caption += "the same training loss."
    shown = Choice(figures, "What each instrument reads of two algorithms", caption, of="Pair", opened="first")
    yield Panel("instruments", "Instruments at equal loss", [shown], "Instruments")
    tables = [_table(found, pair) for pair in PAIRS]
    yield Panel("table", "Which instrument tells them apart", tables, "Table")


def _table(found: Findings, pair: str) -> Table:
    seen = told(instruments(found, pair), Z95)
    rows = [
        [str(name), *(float(seen[column].sel(instrument=name)) for column in ("separation", "told", "alarms"))]
        for name in seen["instrument"].values
    ]
    columns = ["instrument", "separation", "told apart", "false alarms"]
    caption = f"{TITLES[pair]}. Separation is the distance of both means in standard deviations of networks. Told "
    caption += "apart are pairs of two algorithms that differ by more than 1.96 of the instrument's own errors; false "
    caption += "alarms are such pairs of one algorithm. An instrument without an error of its own has neither."
    return Table(columns, [[*row] for row in rows], caption, label=f"Instruments: {TITLES[pair]}")


def fig_instruments(found: Findings, pair: str) -> go.Figure:
    """One small panel an instrument: values of both algorithms by network."""
    table = instruments(found, pair)
    names = [str(name) for name in table["instrument"].values][:SHOWN]
    figure = small_multiples([name.split(" (")[0].capitalize() for name in names], 200)
    for place, name in enumerate(names):
        own = table.sel(instrument=name)
        for number, algorithm in enumerate(PAIRS[pair]):
            value, error = own["value"].values[number], np.nan_to_num(own["error"].values[number])
            marks = {"size": 6, "color": PALETTE[number]}
            dots = go.Scatter(
                x=np.arange(1, len(value) + 1),
                y=value,
                mode="markers",
                marker=marks,
                error_y={"array": Z95 * error, "width": 0, "color": PALETTE[number]},
                hovertemplate=f"{algorithm} %{{x}}: %{{y:.3g}}<extra></extra>",
                showlegend=False,
            )
            figure.add_trace(dots.update(**axes(place)))
        set_axes(figure, place, {"title": {"text": "network"}, "tickformat": "d", "nticks": 5}, {})
    add_key(figure, {name: PALETTE[number] for number, name in enumerate(PAIRS[pair])})
    return figure
