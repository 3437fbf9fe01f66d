"""Beliefs as places and colours: the simplex, true beside regressed, and the colours of states and of sites."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports.small_multiples import MAX_POINTS, axes, padded_range, set_axes, small_multiples
from ontogeny.reports.style import (
    BLUE,
    GREEN,
    NEUTRAL,
    ORANGE,
    along_sequence,
    color_key,
    distinct_colors,
    translucent,
)
from ontogeny.reports.wording import plain, shorten

HEIGHT = 270
SMALLEST, LARGEST = 2.4, 13.0  # diameter of a context's dot in pixels
ALL = "all sites"
CORNERS = (ORANGE, BLUE, GREEN)  # of a simplex of up to three states


def fig_simplex(picture: xr.Dataset) -> go.Figure:
    """True beliefs beside those regressed from activations, on the same axes: one dot a context.

    Dots are as large as their contexts are probable and coloured by the true belief in both panels: with up to three
    states a mix of the corners' colours, inside the outline of the simplex; with more, the colour of the likeliest.

    Args:
        picture: with `true` and `predicted` (context, axis), `belief` (context, state), `weight` (context), `corner`
            (state, axis), coordinate `context`, the attribute `site`.
    """
    kept = np.argsort(-picture.weight.values, kind="stable")[: MAX_POINTS // 2]
    chosen = picture.isel(context=kept)
    corners = picture.corner.transpose("state", "axis").values
    beliefs = chosen.belief.transpose("context", "state").values
    outlined = len(corners) <= len(CORNERS) and beliefs.min() > -1e-9
    panels = {"true": "Exact beliefs", "predicted": f"Read from {picture.attrs.get('site', 'activations')}, held out"}
    places = {name: chosen[name].transpose("context", "axis").values for name in panels}
    if outlined and len(corners) == 3:
        turn = _upright(corners)
        corners, places = corners @ turn, {name: place @ turn for name, place in places.items()}
    extent = np.concatenate([*places.values(), *([corners] if outlined else [])])
    x_range, y_range = (list(padded_range(extent[:, k], 0.09)) for k in (0, 1))
    marker = {"color": belief_colors(beliefs), "size": _sizes(chosen.weight.values), "line": {"width": 0}}
    hover = [_hover(*each) for each in zip(chosen.context.values, beliefs, strict=True)]
    states = np.eye(len(corners))
    key = color_key({f"state {k}": color for k, color in enumerate(belief_colors(states))})
    figure = small_multiples(list(panels.values()), HEIGHT)
    for i, place in enumerate(places.values()):
        if outlined:
            _outline(figure, axes(i), corners)
        trace = go.Scatter(x=place[:, 0], y=place[:, 1], mode="markers", marker={**marker, "opacity": 0.85})
        trace.update(customdata=hover, hovertemplate="%{customdata}<extra></extra>", cliponaxis=False)
        figure.add_trace(trace.update(**axes(i)))
        shown = {"constrain": "domain", "visible": not outlined}
        x = {"range": x_range, "constraintoward": "left", "title": {"text": f"first principal axis<br>{key}"}}
        y = {"range": y_range, "constraintoward": "top", "title": {"text": "second"}}
        set_axes(figure, i, x | shown, y | shown | {"scaleanchor": axes(i)["xaxis"]})
    return figure.update_layout(hovermode="closest", margin={"r": 40} | ({"l": 42, "b": 26} if outlined else {"b": 76}))


def belief_colors(beliefs: np.ndarray) -> list[str]:
    """A colour for each belief (row): up to three states, a mix of the corners' colours; above, the likeliest's."""
    states = beliefs.shape[1]
    if states > len(CORNERS):
        colors = distinct_colors(states)
        return [colors[k] for k in beliefs.argmax(axis=1)]
    shares = np.clip(beliefs, 0, None)
    shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    channels = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in CORNERS[:states]])
    mixed = np.sqrt(shares @ channels.astype(float) ** 2)  # of light, so that the middle is not muddy
    return ["#" + "".join(f"{round(value):02x}" for value in row) for row in mixed]


def site_colors(sites: Sequence[str] | np.ndarray) -> dict[str, str]:
    """A colour for each site: in the order of the network, and one apart for all sites together."""
    names = [str(site) for site in sites]
    single = [name for name in names if name != ALL]
    colors = {name: along_sequence(k / max(len(single) - 1, 1)) for k, name in enumerate(single)}
    return {name: colors.get(name, GREEN) for name in names}


def belief_text(belief: np.ndarray) -> str:
    """A belief as people write it: (0.12, 0.50, 0.38)."""
    return f"({', '.join(f'{max(value, 0) if value > -5e-3 else value:.2f}' for value in belief)})"


def _hover(context: str, belief: np.ndarray) -> str:
    return f"after {plain(shorten(str(context), 30))}<br>belief {belief_text(belief)}"


def _upright(corners: np.ndarray) -> np.ndarray:
    """(axis, axis): the rotation or reflection that puts the last corner on top and the first to the left."""
    wanted = np.array([[-1, -1 / np.sqrt(3)], [1, -1 / np.sqrt(3)], [0, 2 / np.sqrt(3)]])
    left, _, right = np.linalg.svd((corners - corners.mean(axis=0)).T @ wanted)
    return left @ right


def _sizes(weights: np.ndarray) -> np.ndarray:
    share = np.sqrt(np.clip(weights, 0, None) / max(float(weights.max(initial=0)), 1e-300))
    return (SMALLEST + (LARGEST - SMALLEST) * share).round(1)


def _outline(figure: go.Figure, where: dict[str, str], corners: np.ndarray) -> None:
    """The simplex with its corners named after the states."""
    closed = np.concatenate([corners, corners[:1]])
    line = {"color": translucent(NEUTRAL, 0.55), "width": 1.2}
    edge = go.Scatter(x=closed[:, 0], y=closed[:, 1], mode="lines", line=line, hoverinfo="skip")
    middle = corners.mean(axis=0)
    text = [f"state {k}" for k in range(len(corners))]
    sides = ["top center" if corner[1] > middle[1] else "bottom center" for corner in corners]
    x, y = (middle + 1.06 * (corners - middle)).T
    names = go.Scatter(x=x, y=y, mode="text", text=text, textposition=sides, hoverinfo="skip")
    names.update(textfont={"size": 11, "color": CORNERS[: len(corners)]}, cliponaxis=False)
    figure.add_traces([edge.update(**where), names.update(**where)])
