"""Small multiples: panels of named curves with bands, side by side on a page and stacked on a phone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ontogeny.core.intervals import Z95
from ontogeny.reports.style import TEMPLATE, color_key, translucent
from ontogeny.reports.wording import plain, shorten

MAX_POINTS = 5_000  # per figure; more are thinned
PANEL_HEIGHT = 210
GAP = 84  # pixels between rows of panels: axis title, ticks and the next panel's title
BETWEEN = 0.18  # of the figure's width, between columns of panels: names of curves and axis labels
# A panel's title begins left of the panel, over the axis labels.
TITLE = {
    **{"xref": "paper", "xanchor": "left", "xshift": -42, "yref": "paper", "yanchor": "bottom", "yshift": 6},
    **{"font": {"size": 13}, "showarrow": False},
}
MAX_NAME = 14  # characters of a curve's name that fit beside a panel
KEY_HEIGHT = 18  # height in pixels of a line of a colour key
LABEL_HEIGHT = 15  # height in pixels of a curve's name at its right end


@dataclass(frozen=True)
class Curve:
    """One curve of a panel: `y` over `x`, with its error band if known, named at its right end.

    Args:
        name: shown at the right end and in hover texts.
        x, y: coordinates.
        band: lower and upper edge of the error band.
        named: whether to write the name at the right end.
        hover: whether the curve has hover texts.
        end: text at the right end, if not the name.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    color: str
    band: tuple[np.ndarray, np.ndarray] | None = None
    width: float = 2.0
    dash: str = "solid"
    opacity: float = 1.0
    named: bool = True
    hover: bool = True
    end: str = ""


def small_multiples(titles: Sequence[str], height: int = PANEL_HEIGHT) -> go.Figure:
    """An empty figure with one titled panel for each title; panel i has the axes `axes(i)`.

    With an odd number of panels the first is as wide as the figure. `layout.meta["narrow"]` has the layout changes that
    put all panels in one column, which the page applies on narrow screens. `layout.meta["panels"]` has the titles, for
    saved data.

    Args:
        titles: one for each panel.
        height: of a panel, in pixels.
    """
    wide, narrow = _layout(titles, min(2, len(titles)), height), _layout(titles, 1, height)
    changes = {"height": narrow["height"]}
    for i in range(len(titles)):
        for key in ("x", "y"):
            name = _axis_name(key, i)
            changes[f"{name}.domain"] = narrow[name]["domain"]
            changes[f"annotations[{i}].{key}"] = narrow["annotations"][i][key]
    meta = {"narrow": changes, "panels": [plain(title) for title in titles]}
    return go.Figure(layout={**wide, "template": TEMPLATE, "meta": meta})


def add_key(figure: go.Figure, colors: Mapping[str, str]) -> None:
    """Write names in their colours below all panels, making the figure taller."""
    text = color_key(colors)
    below = {"y": 0, "yref": "paper", "yanchor": "top", "yshift": -room_below(figure)}
    figure.add_annotation(text=text, x=0, xref="paper", xanchor="left", align="left", showarrow=False, **below)
    lengthen(figure, KEY_HEIGHT * (1 + text.count("<br>")))


def lengthen(figure: go.Figure, pixels: int) -> None:
    """Make room below all panels by making the figure taller, on narrow screens too."""
    narrow = figure.layout.meta["narrow"]
    margin = {"b": room_below(figure) + pixels}
    figure.update_layout(height=figure.layout.height + pixels, margin=margin)
    figure.layout.meta = {**figure.layout.meta, "narrow": {**narrow, "height": narrow["height"] + pixels}}


def room_below(figure: go.Figure) -> float | int:
    """Pixels below all panels."""
    own = figure.layout.margin.b
    return TEMPLATE.layout.margin.b if own is None else own


def axes(panel: int) -> dict[str, str]:
    """The axes of a panel, as a trace names them."""
    suffix = panel + 1 if panel else ""
    return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}


def set_axes(figure: go.Figure, panel: int, x: dict, y: dict) -> None:
    """Update the layout of a panel's axes."""
    figure.update_layout({_axis_name("x", panel): x, _axis_name("y", panel): y})


def around(y: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % band around a curve with these standard errors."""
    return y - Z95 * error, y + Z95 * error


def draw_curves(
    figure: go.Figure,
    where: dict[str, str],
    curves: Sequence[Curve],
    height: int = PANEL_HEIGHT,
    include: Sequence[float | int] | np.ndarray = (),
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw curves into a panel, set its vertical range and write each curve's name at its right end.

    Args:
        figure: what to draw in.
        where: the panel's axes, from `axes`.
        curves: what to draw; later ones lie on top.
        height: of the panel in pixels, by which names are kept apart.
        include: values that the vertical range must include besides the curves.
        limits: the vertical range, if it is not to follow from the curves.
    """
    bands = [_band(curve, where) for curve in curves if curve.band is not None]
    figure.add_traces(bands + [_line(curve, where) for curve in curves])
    values = np.concatenate([np.asarray(include), *(v for c in curves for v in (c.y, *(c.band or ())))])
    limits = limits or padded_range(values)
    names = _end_names(where, [curve for curve in curves if curve.named], limits, height)
    figure.update_layout({f"yaxis{where['yaxis'][1:]}": {"range": limits}})
    figure.layout.annotations += tuple(go.layout.Annotation(name) for name in names)


def padded_range(values: np.ndarray, share: float = 0.07) -> tuple[float, float]:
    """The range of the finite values, padded on both sides by a share of it."""
    finite = np.asarray(values, dtype=float)[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = share * (high - low) or 0.5 * abs(high) or 1.0
    return low - room, high + room


def spread(values: Sequence[float | int], gap: float, low: float | int, high: float | int) -> list[float]:
    """Spread values until neighbours differ by `gap`, keeping their order, inside [low, high] as far as they fit."""
    order = np.argsort(values, kind="stable")
    placed = np.clip(np.asarray(values, dtype=float)[order], low, high)
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    ceiling = high
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    result = np.empty(len(placed))
    result[order] = placed
    return [float(value) for value in result]


def thinned(length: int, curves: int) -> np.ndarray:
    """Indices of the points to draw if this many curves of this length share a figure: evenly spaced, ends kept."""
    count = max(2, min(length, MAX_POINTS // max(curves, 1)))
    return np.unique(np.linspace(0, length - 1, count).round().astype(int)) if length else np.arange(0)


def _layout(titles: Sequence[str], columns: int, height: int) -> dict[str, Any]:
    """Domains and titles of panels filled row by row; the first row holds one wide panel where the number is odd."""
    rows = ceil(len(titles) / columns)
    plot_height = rows * height + (rows - 1) * GAP
    width = (1 - BETWEEN * (columns - 1)) / columns
    margin = TEMPLATE.layout.margin
    layout: dict[str, Any] = {"height": plot_height + margin.t + margin.b, "annotations": []}
    for i, title in enumerate(titles):
        wide = i == 0 and len(titles) % columns != 0
        row, column = divmod(i + len(titles) % columns * (i > 0), columns)
        left, top = column * (width + BETWEEN), 1 - row * (height + GAP) / plot_height
        bottom = max(top - height / plot_height, 0)
        x, y = axes(i).values()
        layout[_axis_name("x", i)] = {"domain": [left, 1 if wide else left + width], "anchor": y}
        layout[_axis_name("y", i)] = {"domain": [bottom, top], "anchor": x}
        layout["annotations"].append({"text": f"<b>{plain(title)}</b>", "x": left, "y": top, **TITLE})
    return layout


def _axis_name(key: str, panel: int) -> str:
    return f"{key}axis{panel + 1 if panel else ''}"


def _line(curve: Curve, where: dict[str, str]) -> go.Scatter:
    return go.Scatter(
        x=curve.x,
        y=curve.y,
        mode="lines" if np.isfinite(curve.x * curve.y).sum() > 1 else "markers",
        name=plain(curve.name),
        line={"color": curve.color, "width": curve.width, "dash": curve.dash},
        opacity=curve.opacity,
        hoverinfo=None if curve.hover else "skip",
        hovertemplate="%{y:.3f}" if curve.hover else None,
        **where,
    )


def _band(curve: Curve, where: dict[str, str]) -> go.Scatter:
    low, high = curve.band or (curve.y, curve.y)
    known = np.isfinite(curve.x) & np.isfinite(low) & np.isfinite(high)
    x, low, high = curve.x[known], low[known], high[known]
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=translucent(curve.color, 0.18),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        meta={"band": plain(curve.name)},
        **where,
    )


def _end_names(
    where: dict[str, str], curves: Sequence[Curve], limits: tuple[float, float], height: int
) -> list[dict[str, Any]]:
    ended = [(curve, curve.y[np.isfinite(curve.y)]) for curve in curves]
    ended = [(curve, float(known[-1])) for curve, known in ended if known.size]
    gap = LABEL_HEIGHT * (limits[1] - limits[0]) / height
    heights = spread([end for _, end in ended], gap, *limits)
    place = {"x": 1, "xref": f"{where['xaxis']} domain", "xanchor": "left", "xshift": 6, "yref": where["yaxis"]}
    return [
        {
            "text": plain(shorten(curve.end or curve.name, MAX_NAME)),
            "y": y,
            "font": {"size": 11.5, "color": curve.color},
            "showarrow": False,
            **place,
        }
        for (curve, _), y in zip(ended, heights, strict=True)
    ]
