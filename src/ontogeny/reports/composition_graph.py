"""Heads as nodes by layer, and how much each later one reads of what an earlier one writes, as lines between them."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.runs import one_run
from ontogeny.reports.component_groups import head_of
from ontogeny.reports.small_multiples import add_key, axes, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, PALETTE, step_text
from ontogeny.reports.wording import plain

HEIGHT = 330
LINES = 24  # the strongest; more hide each other
WIDEST = 7.0  # pixels
INPUTS = {"K": "keys", "Q": "queries", "V": "values"}
GRAPHS = 6  # checkpoints of a report


def fig_composition_graph(circuits: xr.Dataset, step: float | int) -> go.Figure:
    """Composition between heads at a checkpoint: nodes are heads, layer by layer from left to right.

    A line is as wide as its score is above that of heads turned at random, the widest of all checkpoints the same
    width, and has the colour of the input through which the later head reads. The strongest lines are drawn.

    Args:
        circuits: of one run, with `composition` (step, input, sender, receiver) relative to chance, of which the heads
            are named as "L0H1"; NaN where one does not follow the other.
        step: one of its steps.

    Raises:
        InvalidArgument: for several runs, or a step that was not measured.
    """
    circuits = one_run(circuits, "circuits")
    known = circuits["step"].values
    if step not in known:
        listed = ", ".join(f"{each:g}" for each in known)
        raise InvalidArgument("step", expected=f"one of {listed}", found=str(step))
    scores = circuits["composition"].transpose("step", "input", "sender", "receiver") - 1
    widest = float(np.nanmax(scores.values, initial=0.0)) or 1.0
    shown = scores.sel(step=step)
    nodes = {str(name): head_of(str(name)) or (0, 0) for name in shown["sender"].values}
    layers = sorted({layer for layer, _ in nodes.values()})
    figure = small_multiples([f"Composition at step {step_text(step)}"], HEIGHT)
    colors = dict(zip(INPUTS, PALETTE, strict=False))
    for value, letter, sender, receiver in _strongest(shown):
        (x0, y0), (x1, y1) = nodes[sender], nodes[receiver]
        line = {"color": colors[letter], "width": max(WIDEST * value / widest, 0.5)}
        text = f"{plain(sender)} → {plain(receiver)} through {INPUTS[letter]}: {value + 1:.2f} times chance"
        x, y = np.linspace(x0, x1, 9), np.linspace(y0, y1, 9)  # points along it, to hover over
        trace = go.Scatter(x=x, y=y, mode="lines", line=line, opacity=0.75, text=[text] * 9, hoverinfo="text")
        figure.add_trace(trace.update(name=f"{sender} {receiver} {letter}", **axes(0)))
    places = np.array(list(nodes.values()), dtype=float)
    dots = go.Scatter(x=places[:, 0], y=places[:, 1], mode="markers+text", text=[plain(name) for name in nodes])
    sides = ["middle left" if layer == layers[0] else "middle right" for layer, _ in nodes.values()]
    dots.update(textposition=sides, marker={"size": 10, "color": NEUTRAL}, hoverinfo="skip", cliponaxis=False)
    figure.add_trace(dots.update(name="heads", **axes(0)))
    last = float(places[:, 1].max())
    columns = {"tickvals": layers, "ticktext": [f"layer {layer}" for layer in layers], "showgrid": False}
    rows = {"range": [last + 0.7, -0.7], "showgrid": False, "showticklabels": False}
    set_axes(figure, 0, columns | {"range": [layers[0] - 0.35, layers[-1] + 0.35]}, rows)
    add_key(figure, {f"through {INPUTS[letter]}": color for letter, color in colors.items()})
    return figure.update_layout(hovermode="closest", margin={"r": 12})


def graph_steps(circuits: xr.Dataset) -> list[int | float]:
    """The checkpoints whose graphs a report shows: evenly spaced over those measured."""
    known = circuits["step"].values
    return [known[k].item() for k in np.unique(np.linspace(0, len(known) - 1, GRAPHS).round().astype(int))]


def _strongest(shown: xr.DataArray) -> list[tuple[float, str, str, str]]:
    """Score above chance, input, sender and receiver of each line, the weakest first."""
    flat = shown.stack(line=("input", "sender", "receiver")).dropna("line")
    order = np.argsort(flat.values)[-LINES:]
    chosen = []
    for k in order:
        letter, sender, receiver = flat["line"].values[k]
        chosen.append((float(flat.values[k]), str(letter), str(sender), str(receiver)))
    return [each for each in chosen if each[0] > 0]
