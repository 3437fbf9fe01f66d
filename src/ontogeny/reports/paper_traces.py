"""Traces of a plotly figure drawn by matplotlib."""

import html
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": "--", "longdashdot": "-."}
_MARKERS = {"circle": "o", "square": "s", "diamond": "D", "cross": "P", "x": "X", "triangle-up": "^", "star": "*"}
INK = "#222222"


def draw_trace(axes: Any, trace: Any, figure: go.Figure) -> None:
    """Lines, markers, bands, error bars and texts of a trace, or its heat map, onto axes of matplotlib."""
    if trace.visible is False or trace.visible == "legendonly":
        return
    if trace.type == "heatmap":
        _draw_heatmap(axes, trace)
        return
    x, y = np.asarray(trace.x), np.asarray(trace.y, dtype=float)
    color = trace.line.color or trace.marker.color
    color = color if isinstance(color, str) else INK
    mode, opacity = trace.mode or "lines", 1.0 if trace.opacity is None else trace.opacity
    if trace.fill in ("toself", "tozeroy", "tonexty") and trace.fillcolor:
        _fill(axes, trace, x, y, figure)
    if "lines" in mode and trace.line.width != 0:
        dash = DASHES.get(trace.line.dash or "solid", "-")
        axes.plot(x, y, dash, color=to_color(color), linewidth=0.5 * (trace.line.width or 2), alpha=opacity)
    if "markers" in mode:
        size, colors = _sequence(trace.marker.size, 6), trace.marker.color
        paint = [to_color(each) for each in colors] if _is_colors(colors) else to_color(color)
        symbol = trace.marker.symbol if isinstance(trace.marker.symbol, str) else "circle"
        shape = _MARKERS.get(symbol.removesuffix("-open"), "o")
        edges = {"facecolors": "none", "edgecolors": paint} if symbol.endswith("-open") else {"c": paint}
        axes.scatter(x, y, s=(0.6 * np.asarray(size)) ** 2, marker=shape, alpha=opacity, linewidths=0.5, **edges)
    for bar, along in ((trace.error_y, "yerr"), (trace.error_x, "xerr")):
        if bar.array is not None:
            axes.errorbar(x, y, **{along: np.asarray(bar.array)}, fmt="none", ecolor=to_color(color), elinewidth=0.6)
    if "text" in mode and trace.text is not None:
        for at, height, text in zip(x, y, _sequence(trace.text, ""), strict=False):
            axes.annotate(plain_text(text), (at, height), (2, 2), textcoords="offset points", color=to_color(color))


def _fill(axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, figure: go.Figure) -> None:
    paint = {"color": to_color(trace.fillcolor), "linewidth": 0}
    if trace.fill == "toself":
        axes.fill(x, y, **paint)
    elif trace.fill == "tozeroy":
        axes.fill_between(x, y, 0, **paint)
    else:  # to the trace before it on the same axes
        same = [each for each in figure.data if (each.xaxis, each.yaxis) == (trace.xaxis, trace.yaxis)]
        lower = np.asarray(same[[each is trace for each in same].index(True) - 1].y, dtype=float)
        axes.fill_between(x, lower, y, **paint)


def _draw_heatmap(axes: Any, trace: Any) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    stops = trace.colorscale or ((0, "#ffffff"), (1, "#2f86d8"))
    scale = LinearSegmentedColormap.from_list("scale", [(float(at), to_color(color)) for at, color in stops])
    values = np.asarray(trace.z, dtype=float)
    across, up = (_centres(given, size) for given, size in ((trace.x, values.shape[1]), (trace.y, values.shape[0])))
    limits = {"vmin": trace.zmin, "vmax": trace.zmax}
    axes.pcolormesh(across, up, values, cmap=scale, shading="nearest", linewidth=0, rasterized=True, **limits)
    for given, places, ticks in ((trace.x, across, axes.set_xticks), (trace.y, up, axes.set_yticks)):
        if given is not None and np.asarray(given).dtype.kind not in "iuf":
            ticks(places, [plain_text(each) for each in given])


def _centres(given: Any, size: int) -> np.ndarray:
    numbers = None if given is None else np.asarray(given)
    return np.arange(size) if numbers is None or numbers.dtype.kind not in "iuf" else numbers


def to_color(color: Any) -> Any:
    """A CSS colour as matplotlib takes it."""
    if isinstance(color, str) and (found := re.fullmatch(r"rgba?\(([^)]*)\)", color)):
        numbers = [float(each) for each in found[1].split(",")]
        return (*(each / 255 for each in numbers[:3]), *numbers[3:])
    return color


def _is_colors(value: Any) -> bool:
    return not isinstance(value, str) and isinstance(value, Sequence | np.ndarray) and isinstance(value[0], str)


def _sequence(value: Any, default: Any) -> Any:
    return default if value is None else value


def plain_text(text: Any) -> str:
    """Text without the tags that plotly understands."""
    return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<br\s*/?>", "\n", str(text)))).strip()
