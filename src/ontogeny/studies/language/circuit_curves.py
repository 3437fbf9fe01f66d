"""Composition between heads, what ablating them costs, and the patterns that they know, along training."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.runs import one_run
from ontogeny.reports.component_groups import heads_by_layer
from ontogeny.reports.small_multiples import Curve, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.stage_marks import mark_boundaries
from ontogeny.reports.style import NEUTRAL, StepAxis, distinct_colors

_NAMED = 3  # curves of a panel that are named and coloured, the largest at the end
_TITLES = {"K": "Composition through keys", "Q": "Through queries", "V": "Through values"}


def fig_circuits(circuits: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Composition of every pair of heads through keys, queries and values, and the rise of the loss without each head.

    Args:
        circuits: of one run, of `measurement.HeadCircuits`: `composition` (step, input, sender, receiver) and
            `repeat_rise` (step, head).
        stages: whose boundaries are drawn behind.
    """
    circuits = one_run(circuits, "circuits")
    steps = circuits["step"].values
    axis = StepAxis.of(steps)
    figure = small_multiples([*_TITLES.values(), "Loss on repeats without a head"])
    for panel, letter in enumerate(_TITLES):
        pairs = list(_pairs(circuits["composition"].sel(input=letter)))
        _draw(figure, panel, pairs, axis.place(steps), 1.0)
        set_axes(figure, panel, axis.layout(), {"title": {"text": "score / random"}})
    rises = [(str(name), circuits["repeat_rise"].sel(head=name).values) for name in circuits["head"].values]
    _draw(figure, len(_TITLES), rises, axis.place(steps), 0.0)
    set_axes(figure, len(_TITLES), axis.layout(), {"title": {"text": "nats"}})
    for panel in range(len(_TITLES) + 1):
        mark_boundaries(figure, axes(panel), stages, axis)
    return figure


def fig_patterns(circuits: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Different patterns of each kind that the heads of a layer are needed for: one panel per kind, a curve per layer.

    Args:
        circuits: of one run, of `measurement.HeadPatterns`: `pattern_multigrams` (step, head, kind).
        stages: whose boundaries are drawn behind.
    """
    circuits = one_run(circuits, "circuits")
    steps = circuits["step"].values
    axis = StepAxis.of(steps)
    layers = heads_by_layer(circuits["head"].values)
    kinds = [str(kind) for kind in circuits["kind"].values if str(kind) != "other"]
    figure = small_multiples([kind[0].upper() + kind[1:] for kind in kinds])
    for panel, kind in enumerate(kinds):
        counts = circuits["pattern_multigrams"].sel(kind=kind)
        curves = [
            Curve(f"layer {layer}", axis.place(steps), counts.sel(head=names).sum("head").values.astype(float), color)
            for color, (layer, names) in zip(distinct_colors(len(layers)), layers.items(), strict=True)
        ]
        draw_curves(figure, axes(panel), curves, include=[0.0])
        mark_boundaries(figure, axes(panel), stages, axis)
        set_axes(figure, panel, axis.layout(), {"title": {"text": "patterns"}})
    return figure


def _pairs(scores: xr.DataArray) -> Iterator[tuple[str, np.ndarray]]:
    """The curve of each pair of which the receiver is in a later layer."""
    for sender in scores["sender"].values:
        for receiver in scores["receiver"].values:
            curve = scores.sel(sender=sender, receiver=receiver).transpose("step").values
            if not np.isnan(curve).all():
                yield f"{sender}→{receiver}", curve


def _draw(figure: go.Figure, panel: int, curves: list[tuple[str, np.ndarray]], x: np.ndarray, level: float) -> None:
    """The curves, the largest at the end in colour and with their names, over a line at the level of no effect."""
    order = sorted(curves, key=lambda named: np.nan_to_num(named[1][-1], nan=-np.inf))
    faint, named = order[:-_NAMED], order[-_NAMED:]
    none = Curve("", x, np.full(len(x), level), NEUTRAL, width=1.0, dash="dot", named=False, hover=False)
    drawn = [Curve(name, x, y, NEUTRAL, width=1.0, opacity=0.35, named=False) for name, y in faint]
    drawn += [Curve(name, x, y, color) for (name, y), color in zip(named, distinct_colors(_NAMED), strict=False)]
    draw_curves(figure, axes(panel), [none, *drawn])
