"""Small multiples: panels of named curves with bands, side by side on a page and below each other on a phone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ontogeny.reports.style import TEMPLATE, translucent
from ontogeny.reports.wording import plain, shorten

Z95 = 1.96  # standard errors from the middle to the edge of a 95 % interval
MAX_POINTS = 5_000  # of one figure; more are thinned for drawing
PANEL_HEIGHT = 210
GAP = 84  # pixels between rows of panels: axis title, ticks and the next panel's title
TITLE_INSET = 42  # pixels by which a panel's title begins left of the panel, over the axis labels
MAX_NAME = 14  # characters of a curve's name that fit beside a panel
LABEL_HEIGHT = 15  # pixels that a curve's name at its right end takes


@dataclass(frozen=True)
class Curve:
    """One curve of a panel: `y` over `x`, inside its error band where one is known, named at its right end.

    Args:
        name: shown at the right end and in hover texts.
        x, y: coordinates.
        band: lower and upper edge of the error band.
        named: whether the name stands at the right end.
        hover: whether the curve answers the pointer.
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


def small_multiples(titles: Sequence[str], height: int = PANEL_HEIGHT) -> go.Figure:
    """An empty figure with one titled panel for each title; panel i has the axes `axes(i)`.

    An odd panel out comes first and is as wide as the figure. `layout.meta["narrow"]` holds the changes to the layout
    that put all panels in one column, for the page to apply on a narrow screen.

    Args:
        titles: one for each panel.
        height: of a panel, in pixels.
    """
    figure = _grid(titles, min(2, len(titles)), height)
    narrow = _grid(titles, 1, height).layout
    changes: dict = {"height": narrow.height}
    for i in range(len(titles)):
        for key in ("xaxis", "yaxis"):
            name = f"{key}{i + 1 if i else ''}"
            changes[f"{name}.domain"] = list(narrow[name].domain)
        changes[f"annotations[{i}].x"] = narrow.annotations[i].x
        changes[f"annotations[{i}].y"] = narrow.annotations[i].y
    figure.update_layout(meta={"narrow": changes})
    return figure


def axes(panel: int) -> dict[str, str]:
    """The axes of a panel, as a trace names them."""
    suffix = panel + 1 if panel else ""
    return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}


def set_axes(figure: go.Figure, panel: int, x: dict, y: dict) -> None:
    """Update the layout of a panel's axes."""
    suffix = panel + 1 if panel else ""
    figure.update_layout({f"xaxis{suffix}": x, f"yaxis{suffix}": y})


def around(y: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % band around a curve with these standard errors."""
    return y - Z95 * error, y + Z95 * error


def draw_curves(
    figure: go.Figure,
    where: dict[str, str],
    curves: Sequence[Curve],
    height: int = PANEL_HEIGHT,
    include: Sequence[float | int] | np.ndarray = (),
) -> None:
    """Draw curves into a panel, set its vertical range and write each curve's name at its right end.

    Args:
        figure: what to draw in.
        where: the panel's axes, from `axes`.
        curves: what to draw; later ones lie on top.
        height: of the panel in pixels, by which names are kept apart.
        include: values that the vertical range must hold besides the curves.
    """
    for curve in curves:
        if curve.band is not None:
            figure.add_trace(_band(curve.x, *curve.band, curve.color).update(**where))
    for curve in curves:
        line = {"color": curve.color, "width": curve.width, "dash": curve.dash}
        mode = "lines" if np.isfinite(curve.x * curve.y).sum() > 1 else "markers"
        trace = go.Scatter(x=curve.x, y=curve.y, mode=mode, name=plain(curve.name), line=line, opacity=curve.opacity)
        trace.update(hovertemplate="%{y:.3f}") if curve.hover else trace.update(hoverinfo="skip")
        figure.add_trace(trace.update(**where))
    values = np.concatenate([np.asarray(include), *(v for c in curves for v in (c.y, *(c.band or ())))])
    bottom, top = padded_range(values)
    figure.update_layout({f"yaxis{where['yaxis'][1:]}": {"range": [bottom, top]}})
    _name_ends(figure, where, [c for c in curves if c.named], (bottom, top), height)


def padded_range(values: np.ndarray, share: float = 0.07) -> tuple[float, float]:
    """The range of the finite values with a share of it as room on both sides."""
    finite = np.asarray(values, dtype=float)[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = share * (high - low) or 0.5 * abs(high) or 1.0
    return low - room, high + room


def spread(values: Sequence[float | int], gap: float, low: float | int, high: float | int) -> list[float]:
    """Move values apart until neighbours differ by `gap`, in their order and inside [low, high] as far as they fit."""
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
    """Indices of the points to draw when so many curves of this length share a figure: evenly spaced, ends kept."""
    count = max(2, min(length, MAX_POINTS // max(curves, 1)))
    return np.unique(np.linspace(0, length - 1, count).round().astype(int)) if length else np.arange(0)


def _grid(titles: Sequence[str], columns: int, height: int) -> go.Figure:
    wide: list[list[dict | None]] = [[{"colspan": columns}, *[None] * (columns - 1)]]
    cells = wide * (len(titles) % columns) + [[{}] * columns for _ in range(len(titles) // columns)]
    rows = len(cells)
    plot_height = rows * height + (rows - 1) * GAP
    figure = make_subplots(
        rows=rows,
        cols=columns,
        specs=cells,
        subplot_titles=[f"<b>{plain(title)}</b>" for title in titles],
        vertical_spacing=GAP / plot_height if rows > 1 else 0,
        horizontal_spacing=0.36 / columns if columns > 1 else 0,
    )
    margin = TEMPLATE.layout.margin
    figure.update_layout(template=TEMPLATE, height=plot_height + margin.t + margin.b)
    for i, title in enumerate(figure.layout.annotations):
        left = figure.layout[f"xaxis{i + 1 if i else ''}"].domain[0]
        title.update(x=left, xanchor="left", xshift=-TITLE_INSET, yshift=6, font={"size": 13})
    return figure


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray, color: str) -> go.Scatter:
    known = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=translucent(color, 0.18),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
    )


def _name_ends(
    figure: go.Figure, where: dict[str, str], curves: Sequence[Curve], limits: tuple[float, float], height: int
) -> None:
    ended = [(curve, curve.y[np.isfinite(curve.y)]) for curve in curves]
    ended = [(curve, float(known[-1])) for curve, known in ended if known.size]
    gap = LABEL_HEIGHT * (limits[1] - limits[0]) / height
    for (curve, _), y in zip(ended, spread([end for _, end in ended], gap, *limits), strict=True):
        figure.add_annotation(
            text=plain(shorten(curve.name, MAX_NAME)),
            x=1,
            xref=f"{where['xaxis']} domain",
            xanchor="left",
            xshift=6,
            y=y,
            yref=where["yaxis"],
            showarrow=False,
            align="left",
            font={"size": 11.5, "color": curve.color},
        )
