"""Composition between heads, and the effects of ablating them, along training."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.runs import one_run
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
