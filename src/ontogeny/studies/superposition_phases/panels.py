"""Panels of the superposition-phases study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.circuits import feature_dimensionality
from ontogeny.core.intervals import Z95
from ontogeny.reports import Choice, Column, Figure, Panel, Table, Tag
from ontogeny.reports.small_multiples import Curve, around, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, PALETTE
from ontogeny.studies.findings import Findings
from ontogeny.studies.superposition_phases.evidence import phases
from ontogeny.studies.superposition_phases.free_energies import MORSE_BOTT, critical_n
from ontogeny.studies.superposition_phases.polygons import LANDMARKS, NONE, polygon
from ontogeny.studies.superposition_phases.posterior import log_odds

_SQUARE = 230  # pixels of a picture of W
_EXTENT = 1.6
Picture = tuple[str, np.ndarray, np.ndarray]  # title, W, b


def panels(found: Findings) -> Iterator[Panel]:
    """Pictures of W, opposing staircases, the balance of the phases in n, and the critical points in a table."""
    path, table = found["path"], found["plateaus"]
    exact = [(name, polygon(name)[0].numpy(), polygon(name)[1].numpy()) for name in LANDMARKS]
    visited = {f"path {number}": _visited(path, table, number) for number in np.unique(table["path"].values)}
    pictures = {"exact": fig_columns(exact)} | {name: fig_columns(each) for name, each in visited.items() if each}
    caption = (
        "The columns of W, one a feature, from the origin: blue where the bias is negative, orange where it is not."
    )
    shown = Choice(pictures, "Columns of W as lines from the origin", caption, of="Weights", opened="first")
    yield Panel("geometry", "Features in two dimensions", [shown], "Geometry")

    figures = {f"path {number}": fig_staircase(path, table, found["measured"], number) for number in path.path.values}
    caption = "Left, the exact loss over training steps, with the critical points at which it stays; right, the "
    caption += "coefficient of the network's own function at each of these, with its 95 % interval."
    shown = Choice(figures, "Loss and coefficient along training", caption, of="Network", opened="first")
    yield Panel("staircases", "The loss descends, the coefficient climbs", [shown], "Staircases")

    points, posterior = found["points"], found["posterior"]
    first, second = (str(name) for name in posterior["start"].values)
    pair = phases(points, (first, second))
    caption = (
        f"Left, by how much the free energy of {second} lies above that of {first}: n ΔL + Δλ ln n + Δc, which is "
    )
    caption += f"zero at n = {critical_n(*pair):.0f}, and the same with the volumes of Laplace's approximation, at n = "
    caption += f"{critical_n(*pair, volumes=True):.0f}. Dots are minus the log odds of draws of the posterior, without "
    caption += "any approximation, where there are draws of both. Right, the share of every phase among the draws."
    figure = fig_balance(points, posterior, (first, second))
    yield Panel(
        "balance", "Which phase the posterior prefers", [Figure(figure, "Free energies over n", caption)], "Balance"
    )
    yield Panel("points", "Critical points", [_table(points, found["coefficients"])], "Points")


def fig_columns(pictures: list[Picture]) -> go.Figure:
    """Each W (2, feature) as lines from the origin to its columns, coloured by the sign of the bias."""
    figure = small_multiples([title for title, _, _ in pictures], _SQUARE)
    for i, (_, weight, bias) in enumerate(pictures):
        for sign, color in ((bias < 0, PALETTE[0]), (bias >= 0, PALETTE[1])):
            x, y = (np.stack([0 * row, row, np.nan * row], axis=1).ravel() for row in weight[:, sign])
            trace = go.Scatter(x=x, y=y, mode="lines+markers", line={"color": color}, hoverinfo="skip")
            figure.add_trace(trace.update(marker={"size": 6}, showlegend=False, **axes(i)))
        shown = {"range": [-_EXTENT, _EXTENT], "constrain": "domain", "dtick": 1}
        set_axes(figure, i, shown | {"constraintoward": "left"}, shown | {"scaleanchor": axes(i)["xaxis"]})
    return figure


def fig_staircase(path: xr.Dataset, table: xr.Dataset, measured: xr.Dataset, number: int) -> go.Figure:
    """The loss of one path over steps, and the coefficient at its plateaus."""
    figure = small_multiples(["Loss", "Coefficient at the plateaus"])
    own = table["path"].values == number
    steps, names = table["step"].values[own], table["point"].values[own]
    loss = path["loss"].sel(path=number).values
    later = path["step"].values > 0  # the axis is logarithmic
    draw_curves(
        figure, axes(0), [Curve("loss", path["step"].values[later], loss[later], NEUTRAL, named=False)], include=[0]
    )
    at = go.Scatter(
        x=steps,
        y=table["loss"].values[own],
        text=names,
        mode="markers+text",
        textposition="top center",
        cliponaxis=False,
    )
    figure.add_trace(at.update(marker={"color": PALETTE[1], "size": 8}, showlegend=False, **axes(0)))
    values, errors = measured["complexity"].values[own], measured["complexity_mcse"].values[own]
    curve = Curve("coefficient", steps, values, PALETTE[0], band=around(values, errors), named=False)
    draw_curves(figure, axes(1), [curve], include=[5, 10])
    dots = go.Scatter(x=steps, y=values, mode="markers", marker={"color": PALETTE[0], "size": 8}, showlegend=False)
    figure.add_trace(dots.update(error_y={"array": Z95 * errors, "thickness": 1}, **axes(1)))
    decades = [0, float(np.log10(path["step"][-1]))]
    for i, title in enumerate(("E |x − f(x)|²", "λ̂")):
        x = {"title": {"text": "training step"}, "type": "log", "range": decades}
        set_axes(figure, i, x, {"title": {"text": title}})
    return figure


def fig_balance(points: xr.Dataset, posterior: xr.Dataset, names: tuple[str, str]) -> go.Figure:
    """The difference of two free energies, predicted and sampled, and the shares of all phases, over n."""
    figure = small_multiples([f"Free energy of {names[1]} above {names[0]}", "Share of the draws"], 250)
    n, (first, second) = posterior["n"].values, phases(points, names)
    fine = np.geomspace(n[0], n[-1], 100)
    curves = [Curve("zero", fine, 0 * fine, NEUTRAL, width=1, named=False, hover=False)]
    for label, volumes, color in (("without", False, PALETTE[0]), ("with volumes", True, PALETTE[2])):
        above = second.free_energy(fine, volumes) - first.free_energy(fine, volumes)
        curves.append(Curve(label, fine, above, color))
    draw_curves(figure, axes(0), curves, limits=(-12, 12), height=250)
    draws = posterior["draws"].sum("start")
    both = (draws.sel(phase=list(names)) > 0).all("phase").values
    dots = go.Scatter(x=n[both], y=-log_odds(posterior, names)[both], mode="markers", name="sampled", showlegend=False)
    figure.add_trace(dots.update(marker={"color": PALETTE[1], "size": 7}, hovertemplate="%{y:.2f}", **axes(0)))
    shares = draws / draws.sum("phase")
    colors = dict(zip(("4", "5", "5+", "6", NONE), (*PALETTE[1:4], PALETTE[0], NEUTRAL), strict=True))
    kept = {"4": ["4", "4+", "4++"], **{name: [name] for name in ("5", "5+", "6", NONE)}}
    lines = [Curve(k, n, shares.sel(phase=v).sum("phase").values, colors[k]) for k, v in kept.items()]
    draw_curves(figure, axes(1), lines, limits=(0, 1), height=250)
    for i, title in enumerate(("nats", "share")):
        set_axes(figure, i, {"title": {"text": "n"}, "type": "log"}, {"title": {"text": title}})
    return figure


def _visited(path: xr.Dataset, table: xr.Dataset, number: int) -> list[Picture]:
    own = [
        (str(p), int(s))
        for q, p, s in zip(table.path.values, table.point.values, table.step.values, strict=True)
        if q == number
    ]
    at = path.sel(path=number)
    return [
        (f"{name}, step {step}", at["W"].sel(step=step).values, at["b"].sel(step=step).values) for name, step in own
    ]


def _table(points: xr.Dataset, measured: xr.Dataset) -> Table:
    titles = ("Loss", "Dimensionality", "Exact λ", "Measured", "± (95 %)")
    columns = [Column("Point", head=True), *(Column(title, "number") for title in titles), Column("Outcome")]
    keys = ("complexity", "complexity_mcse", "outcome")
    values = dict(zip(MORSE_BOTT, zip(*(measured[key].values.tolist() for key in keys), strict=True), strict=True))
    rows = list[list]()
    for name in LANDMARKS:
        point = points.sel(point=name)
        told: list = ["", "", "", ""]
        if name in values:
            value, error, outcome = values[name]
            told = [f"{float(point['coefficient']):g}", f"{value:.2f}", f"{Z95 * error:.2f}", Tag(str(outcome))]
        dimensions = float(feature_dimensionality(polygon(name)[0]).max())
        rows.append([name, f"{float(point['loss']):.5f}", dimensions, *told])
    caption = "The dimensionality is that of a feature at a corner. "
    caption += "At a square the biases lie on a kink of the loss, so that λ does not follow from the Hessian."
    return Table(columns, rows, caption, label="Critical points")
