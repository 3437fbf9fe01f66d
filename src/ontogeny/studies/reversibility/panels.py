"""Panels of the reversibility study."""

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports import Choice, Figure, Panel
from ontogeny.reports.small_multiples import Curve, add_key, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import PALETTE
from ontogeny.studies.findings import Findings
from ontogeny.studies.reversibility.config import PROCEDURES

_COLORS = dict(zip(PROCEDURES, PALETTE, strict=True))
_NAMES = {
    "distance": "L2 distance from the original",
    "barrier": "barrier of the loss on class N (nats)",
    "gap": "logit gap",
    "basin": "mean refusal in random directions",
    "cross": "cross-coefficient of the answers",
    "refused": "refined coefficient of the refusal",
}


def panels(found: Findings) -> Iterator[Panel]:
    """Steps by procedure and rate, predictors against steps, and basins."""
    caption = (
        "Each dot is a network. Those at the top were not undone within the steps allowed. Right, the most of the "
    )
    caption += (
        "answers to class R that fine-tuning on class N alone brings back, and on class R with answers of others."
    )
    figure = Figure(fig_steps(found["attacks"]), "Steps that undo the refusal, and answers that come back", caption)
    yield Panel("steps", "Steps to undo the refusal", [figure], "Steps")
    caption = "Mean log steps over learning rates against each predictor, one dot a network."
    figures = {title: fig_predictor(found, name) for name, title in _NAMES.items()}
    shown = Choice(figures, "Steps against a predictor", caption, of="Predictor", opened="first")
    yield Panel("predictors", "What predicts the steps", [shown], "Predictors")
    caption = "Probability of a refusal along random directions, each tensor scaled to the norm of its weights: median "
    caption += "of the networks of a procedure."
    figure = Figure(fig_basins(found["landscape"], found["attacks"]), "Refusals around the weights", caption)
    yield Panel("basins", "Basins", [figure], "Basins")


def fig_steps(table: xr.Dataset) -> go.Figure:
    """Steps over learning rates, and what the other attacks reach."""
    figure = small_multiples(["Steps of fine-tuning on class R", "Answers brought back"], 280)
    rates, of = table["rate"].values, table["procedure"].values
    steps = table["steps"].sel(attack="class").transpose("network", "rate").values
    top = 2 * np.max(steps[np.isfinite(steps)], initial=1.0)
    for place, (name, color) in enumerate(_COLORS.items()):
        own = np.where(np.isfinite(steps[of == name]), steps[of == name], top)
        x = np.repeat(rates[None] * 1.06 ** (place - 2), len(own), 0)
        _dots(figure, 0, x.ravel(), own.ravel(), color, name)
        for at, attack in enumerate(("unrelated", "shuffled")):
            most = table["reached"].sel(attack=attack).max("rate").values[of == name]
            _dots(figure, 1, np.full(len(most), at + 0.12 * (place - 2)), most, color, name)
    set_axes(
        figure, 0, {"title": {"text": "learning rate"}, "type": "log"}, {"title": {"text": "steps"}, "type": "log"}
    )
    ticks = {"tickvals": [0, 1], "ticktext": ["class N", "answers of others"]}
    set_axes(figure, 1, ticks, {"title": {"text": "probability"}})
    add_key(figure, _COLORS)
    return figure


def fig_predictor(found: Findings, name: str) -> go.Figure:
    """Mean log steps over one predictor."""
    figure = small_multiples(["Steps"], 280)
    steps = found["attacks"]["steps"].sel(attack="class").transpose("network", "rate").values
    logs = np.log(np.where(np.isfinite(steps), steps, 2 * np.max(steps[np.isfinite(steps)], initial=1.0))).mean(axis=1)
    if name in ("cross", "refused"):
        probe = "answer" if name == "cross" else "refusal"
        x = found["responses"]["cross_llc"].sel(component="all", probe=probe).values
    else:
        x = found["landscape"][name].values
    of = found["attacks"]["procedure"].values
    for procedure, color in _COLORS.items():
        _dots(figure, 0, x[of == procedure], np.exp(logs[of == procedure]), color, procedure)
    set_axes(figure, 0, {"title": {"text": _NAMES[name]}}, {"title": {"text": "steps"}, "type": "log"})
    add_key(figure, _COLORS)
    return figure


def fig_basins(table: xr.Dataset, attacks: xr.Dataset) -> go.Figure:
    """Refusals over α."""
    figure = small_multiples(["Probability of a refusal"], 280)
    curve, of = table["curve"].transpose("network", "alpha").values, attacks["procedure"].values
    drawn = [
        Curve(name, table["alpha"].values, np.median(curve[of == name], axis=0), color, named=False)
        for name, color in _COLORS.items()
    ]
    draw_curves(figure, axes(0), drawn, include=[0, 1], height=280)
    set_axes(figure, 0, {"title": {"text": "α"}}, {"title": {"text": "probability"}})
    add_key(figure, _COLORS)
    return figure


def _dots(figure: go.Figure, panel: int, x: np.ndarray, y: np.ndarray, color: str, name: str) -> None:
    marker = {"color": color, "size": 7, "opacity": 0.7}
    dots = go.Scatter(x=x, y=y, mode="markers", marker=marker, hovertemplate=f"{name}: %{{y:.3g}}<extra></extra>")
    figure.add_trace(dots.update(showlegend=False, **axes(panel)))
