"""Panels of the memorisation study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports import Choice, Figure, Panel
from ontogeny.reports.small_multiples import Curve, around, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import BLUE, GREEN, NEUTRAL, ORANGE
from ontogeny.studies.findings import Findings

_SQUARE = 230  # pixels of a picture of vectors


def panels(found: Findings) -> Iterator[Panel]:
    """Features and points in two dimensions, losses, dimensionalities and coefficients over T, and repeated points."""
    weak, strong = found["measures-weak"], found["measures-strong"]
    if weak.sizes["unit"] == 2:
        figures = {f"{size}": fig_vectors(weak, int(size)) for size in weak["size"].values}
        caption = (
            "The first network of a size. Left, columns of W, one a feature; right, hidden vectors W x of its data "
        )
        caption += "points."
        shown = Choice(figures, "Features and data points in two dimensions", caption, of="Data points", opened="first")
        yield Panel("vectors", "What is stored: points or features", [shown], "Vectors")

    names = ("weak", "strong")
    caption = "Mean over datasets of one size, and each network as a dot. A network whose output is 0 has loss 1."
    figure = fig_losses({name: found[f"measures-{name}"] for name in names})
    shown = Figure(figure, "Training and test losses over the number of data points", caption)
    yield Panel("double-descent", "Double descent", [shown], "Double descent")

    caption = "The dimensionality of a typical vector, ΣD²/ΣD, of data points and of features. Dashed, 2/T, that of T "
    caption += "corners of a regular polygon, and 2/5, that of features at the corners of a pentagon."
    figure = fig_dimensionalities(weak, strong)
    shown = Figure(figure, "Dimensionality of data points and of features over the number of data points", caption)
    yield Panel("dimensionality", "Dimensionality of points and features", [shown], "Dimensionality")

    caption = "Coefficient of the training loss of one network of each size with weak decay, with 95 % intervals; open "
    caption += "circles have not converged. All datasets are repeated to one number of rows, so that nβ is the same."
    shown = Figure(
        fig_coefficients(found["coefficients"], weak["size"].values),
        "Coefficient over the number of data points",
        caption,
    )
    yield Panel("coefficients", "Coefficient over the number of data points", [shown], "Coefficient")

    caption = "Left, the dimensionality of a data point over how often it occurs, and that of the largest other point; "
    caption += "right, that of a typical feature of the same networks."
    shown = Figure(fig_repeated(found["repeated"]), "Dimensionality of a repeated data point", caption)
    yield Panel("repeated", "A repeated data point", [shown], "Repeated")


def fig_vectors(measures: xr.Dataset, size: int) -> go.Figure:
    """Columns of W and hidden vectors of the data points, as lines from the origin."""
    figure = small_multiples(["Features, columns of W", "Data points, W x"], _SQUARE)
    pictures = measures["W"].sel(size=size, copy=0).values, measures[f"hidden-{size}"].values
    for panel, (vectors, color) in enumerate(zip(pictures, (GREEN, BLUE), strict=True)):
        x, y = (np.stack([0 * row, row, np.nan * row], axis=1).ravel() for row in vectors)
        lines = go.Scatter(x=x, y=y, mode="lines", line={"color": color, "width": 1}, hoverinfo="skip", opacity=0.6)
        dots = go.Scatter(x=vectors[0], y=vectors[1], mode="markers", marker={"color": color, "size": 4})
        figure.add_trace(lines.update(showlegend=False, **axes(panel)))
        figure.add_trace(dots.update(showlegend=False, hoverinfo="skip", opacity=0.6, **axes(panel)))
        extent = 1.1 * max(float(np.abs(vectors).max()), 1e-3)
        shown = {"range": [-extent, extent], "constrain": "domain", "nticks": 5}
        set_axes(figure, panel, shown | {"constraintoward": "left"}, shown | {"scaleanchor": axes(panel)["xaxis"]})
    return figure


def fig_losses(measures: dict[str, xr.Dataset]) -> go.Figure:
    """Test and training losses over T, with weak and with strong decay."""
    figure = small_multiples(["Test loss", "Training loss"], 260)
    for panel, kind in enumerate(("test", "train")):
        curves = list[Curve]()
        for (name, table), color in zip(measures.items(), (ORANGE, BLUE), strict=True):
            sizes, values = table["size"].values, table[kind].transpose("size", "copy").values
            _dots(figure, panel, sizes, values, color)
            curves.append(Curve(f"{name} decay", sizes, values.mean(axis=1), color))
        draw_curves(figure, axes(panel), curves, height=260, include=[0, 1])
        set_axes(figure, panel, _over_sizes(), {"title": {"text": "|x − f(x)|²"}})
    return figure


def fig_dimensionalities(weak: xr.Dataset, strong: xr.Dataset) -> go.Figure:
    """Typical dimensionalities over T."""
    figure = small_multiples(["Weak decay", "Strong decay"], 260)
    for panel, table in enumerate((weak, strong)):
        sizes, units = table["size"].values.astype(float), table.sizes["unit"]
        polygon = Curve("2/T", sizes, np.minimum(units / sizes, 1), NEUTRAL, width=1, dash="dash", named=False)
        pentagon = Curve("2/5", sizes, np.full(len(sizes), 0.4), NEUTRAL, width=1, dash="dash", named=False)
        curves = [polygon, *([pentagon] if units == 2 else [])]
        for name, color in (("data", BLUE), ("features", GREEN)):
            values = table[f"typical_{name}"].transpose("size", "copy").values
            _dots(figure, panel, sizes, values, color)
            curves.append(Curve("points" if name == "data" else name, sizes, values.mean(axis=1), color))
        draw_curves(figure, axes(panel), curves, height=260, include=[0])
        set_axes(figure, panel, _over_sizes(), {"title": {"text": "ΣD²/ΣD"}})
    return figure


def fig_coefficients(coefficients: xr.Dataset, sizes: np.ndarray) -> go.Figure:
    """λ̂ of one network of each size."""
    figure = small_multiples(["λ̂"], 260)
    value, error = (coefficients[name].values.ravel() for name in ("llc_complexity", "llc_complexity_mcse"))
    curve = Curve("complexity", sizes, value, BLUE, band=around(value, error), named=False)
    draw_curves(figure, axes(0), [curve], height=260, include=[0])
    converged = coefficients["llc_outcome"].values.ravel() == "converged"
    symbols = np.where(converged, "circle", "circle-open")
    marker = {"color": BLUE, "size": 8, "symbol": symbols}
    figure.add_trace(go.Scatter(x=sizes, y=value, mode="markers", marker=marker, showlegend=False, **axes(0)))
    set_axes(figure, 0, _over_sizes(), {"title": {"text": "complexity"}})
    return figure


def fig_repeated(repeated: xr.Dataset) -> go.Figure:
    """Dimensionalities over the number of times that a point occurs."""
    figure = small_multiples(["Data points", "Features"], 260)
    counts = repeated["count"].values
    shown = [("dimensionality", "repeated", BLUE), ("other", "largest other", NEUTRAL)]
    for panel, curves in enumerate((shown, [("typical_features", "features", GREEN)])):
        drawn = list[Curve]()
        for key, name, color in curves:
            values = repeated[key].transpose("count", "copy").values
            _dots(figure, panel, counts, values, color)
            drawn.append(Curve(name, counts, values.mean(axis=1), color, named=len(curves) > 1))
        draw_curves(figure, axes(panel), drawn, height=260, include=[0])
        set_axes(figure, panel, {"title": {"text": "times"}, "type": "log"}, {"title": {"text": "D"}})
    return figure


def _dots(figure: go.Figure, panel: int, x: np.ndarray, values: np.ndarray, color: str) -> None:
    """Each network as a dot, values (x, copy)."""
    marker = {"color": color, "size": 5, "opacity": 0.45}
    dots = go.Scatter(x=np.repeat(x, values.shape[1]), y=values.ravel(), mode="markers", marker=marker)
    figure.add_trace(dots.update(showlegend=False, hoverinfo="skip", **axes(panel)))


def _over_sizes() -> dict:
    return {"title": {"text": "data points T"}, "type": "log"}
