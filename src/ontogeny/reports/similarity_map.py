"""How alike the parts of two networks are: a matrix, and which of them were paired."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports.small_multiples import axes, set_axes, small_multiples
from ontogeny.reports.style import BLUE, ORANGE, translucent

ROW_HEIGHT = 19  # pixels
COLORS = [[0, translucent(ORANGE, 0.9)], [0.5, translucent(BLUE, 0.03)], [1, translucent(BLUE, 0.95)]]


def fig_similarity(similarity: xr.DataArray, partner: np.ndarray | None = None, title: str = "Similarity") -> go.Figure:
    """A matrix of similarities from -1 to 1, one row per part of the first network, one column per part of the second.

    Args:
        similarity: (first, second), with the names of the parts as coordinates.
        partner: of each row, the number of the column that it was paired with, -1 for none; pairs are framed.
        title: of the measure.
    """
    rows, columns = ([str(name) for name in similarity[name].values] for name in similarity.dims)
    figure = small_multiples([title], ROW_HEIGHT * len(rows))
    cells = go.Heatmap(z=similarity.values, x=columns, y=rows, colorscale=COLORS, zmin=-1, zmax=1, showscale=False)
    hover = "<b>%{y}</b> and <b>%{x}</b>: %{z:.2f}<extra></extra>"
    figure.add_trace(cells.update(xgap=1, ygap=1, hovertemplate=hover, **axes(0)))
    for row, column in enumerate([] if partner is None else partner.tolist()):
        if column >= 0:
            frame = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
            figure.add_shape(type="rect", line={"width": 1.6, "color": ORANGE}, **frame)
    names = {"showgrid": False, "tickfont": {"size": 10}, "nticks": max(len(rows), len(columns))}
    first, second = (str(name) for name in similarity.dims)
    set_axes(
        figure,
        0,
        names | {"title": {"text": f"heads of the {second}"}, "tickangle": -90},
        names | {"autorange": "reversed", "title": {"text": f"heads of the {first}"}},
    )
    return figure.update_layout(hovermode="closest", margin={"r": 12, "l": 74, "b": 74})
