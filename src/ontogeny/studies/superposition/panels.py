"""Panels of the superposition study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports import Figure, Panel
from ontogeny.reports.small_multiples import Curve, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import BLUE, GREEN, NEUTRAL, ORANGE, StepAxis
from ontogeny.studies.findings import Findings
from ontogeny.studies.pages import trajectory_panels
from ontogeny.studies.superposition.pairs import KINDS as KINDS_OF_PAIRS
from ontogeny.studies.superposition.theory import GEOMETRIES, KINDS


def panels(found: Findings) -> Iterator[Panel]:
    """Geometry over densities, the phase diagram, and one network along its training with its coefficients."""
    caption = (
        "Each dot is a feature of the network trained at that density: the dimensions that it does not share. Lines "
        "are the values of tetrahedra, triangles, opposite pairs, pentagons and square antiprisms. Right, hidden units "
        "over the squared length of all features."
    )
    alt = "Feature dimensionality against one over density, with lines at the values of regular geometries"
    yield Panel("geometry", "Geometry by sparsity", [Figure(fig_geometry(found["geometry"]), alt, caption)], "Geometry")
    caption = (
        "Left, the kind of the best network at each cell; right, the kind of lowest exact loss. Blue: the last feature "
        "is given up; green: it has a dimension of its own; orange: it shares one, in superposition. Crosses: the two "
        "lowest exact losses are close."
    )
    alt = "Kinds of solution by density and relative importance of the last feature, trained and by theory"
    diagrams = {"Two features in one dimension": "diagram", "Three features in two dimensions": "diagram-of-three"}
    figures = [Figure(fig_diagram(found[each]), alt, f"{title}. {caption}") for title, each in diagrams.items()]
    yield Panel("diagram", "Kept or given up", figures, "Phase diagrams")
    caption = (
        "Columns of the first networks of each kind. Features 1 and 2 are a pair, 3 and 4 another: both on at once, at "
        "most one on, or independent."
    )
    alt = "Columns of W in the plane, for pairs that go together, exclude each other, or are independent"
    yield Panel("pairs", "Correlated features", [Figure(fig_pairs(found["angles"]), alt, caption)], "Pairs")
    caption = "Dimensionality of every represented feature along the training of one network."
    alt = "Feature dimensionality over training steps"
    yield Panel("along", "Along training", [Figure(fig_along(found["along"]), alt, caption)])
    yield from trajectory_panels(found)


def fig_geometry(geometry: xr.Dataset) -> go.Figure:
    """Dimensionalities against 1/(1 - S)."""
    figure = small_multiples(["Dimensionality of each feature", "Hidden units per squared length"], 340)
    x = 1 / geometry["density"].values
    ends = np.array([x.min(), x.max()])
    for level in GEOMETRIES.values():
        line = {"color": NEUTRAL, "width": 1, "dash": "dot"}
        figure.add_trace(go.Scatter(x=ends, y=[level, level], mode="lines", line=line, hoverinfo="skip", **axes(0)))
    values = geometry["dimensionality"].values
    marker = {"color": BLUE, "size": 5, "opacity": 0.35}
    dots = go.Scatter(x=np.repeat(x, values.shape[1]), y=values.ravel(), mode="markers", marker=marker, name="feature")
    figure.add_trace(dots.update(**axes(0)))
    shared = go.Scatter(x=x, y=geometry["per_feature"].values, mode="lines+markers", name="m/|W|²")
    figure.add_trace(shared.update(line={"color": ORANGE}, **axes(1)))
    for panel in (0, 1):
        set_axes(figure, panel, {"type": "log", "title": {"text": "1/(1 - S)"}}, {"range": [0, 1.05]})
    return figure.update_layout(hovermode="closest")


def fig_diagram(diagram: xr.Dataset) -> go.Figure:
    """The trained kinds and those of theory."""
    figure = small_multiples(["Trained", "Exact losses"], 340)
    density, importance = (np.log10(diagram[name].values) for name in ("density", "importance"))
    colors = [[0, BLUE], [0.33, BLUE], [0.33, GREEN], [0.67, GREEN], [0.67, ORANGE], [1, ORANGE]]
    close = (diagram["gap"] <= diagram.attrs["margin"]).transpose("importance", "density").values
    for panel, name in enumerate(("trained", "theory")):
        kinds = diagram[name].transpose("importance", "density").values
        text = [[KINDS[kind] for kind in row] for row in kinds]
        cells = go.Heatmap(x=density, y=importance, z=kinds, customdata=text, zmin=0, zmax=2, colorscale=colors)
        cells.update(showscale=False, xgap=2, ygap=2, opacity=0.8, hovertemplate="%{customdata}<extra></extra>")
        figure.add_trace(cells.update(**axes(panel)))
        rows, columns = np.nonzero(close)
        marker = {"symbol": "x", "size": 6, "color": "#ffffff", "opacity": 0.9}
        near = go.Scatter(x=density[columns], y=importance[rows], mode="markers", marker=marker, hoverinfo="skip")
        figure.add_trace(near.update(**axes(panel)))
        titles = ("log₁₀ density", "log₁₀ importance of the last")
        set_axes(figure, panel, {"title": {"text": titles[0]}}, {"title": {"text": titles[1]}, "showgrid": False})
    return figure.update_layout(hovermode="closest")


def fig_along(along: xr.Dataset) -> go.Figure:
    """Dimensionalities along the steps of one training."""
    steps = along["step"].values
    axis, figure = StepAxis.of(steps), small_multiples(["Dimensionality of each feature"], 300)
    curves = [
        Curve("", axis.place(steps), values, BLUE, width=1.0, opacity=0.4, named=False, hover=False)
        for values in along["dimensionality"].transpose("feature", "step").values
    ]
    draw_curves(figure, axes(0), curves, include=[0, 1])
    set_axes(figure, 0, axis.layout(), {"range": [0, 1.05]})
    return figure


def fig_pairs(table: xr.Dataset) -> go.Figure:
    """The first two rows of W of a network of each kind, one line a feature, one colour a pair."""
    figure = small_multiples([f"Pairs {kind}" for kind in KINDS_OF_PAIRS], 300)
    for panel, kind in enumerate(KINDS_OF_PAIRS):
        weights = table["W"].sel(kind=kind).isel(network=0).transpose("hidden", "feature").values[:2]
        for feature, end in enumerate(weights.T):
            color = (BLUE, ORANGE, GREEN)[feature // 2 % 3]
            line = go.Scatter(x=[0, end[0]], y=[0, end[1]], mode="lines+markers", line={"color": color, "width": 2})
            line.update(marker={"size": [0, 8], "color": color}, hovertemplate=f"feature {feature + 1}<extra></extra>")
            figure.add_trace(line.update(showlegend=False, **axes(panel)))
        span = {"range": [-1.5, 1.5], "zeroline": False, "constrain": "domain"}
        set_axes(figure, panel, span | {"constraintoward": "left"}, span | {"scaleanchor": axes(panel)["xaxis"]})
    return figure.update_layout(hovermode="closest")
