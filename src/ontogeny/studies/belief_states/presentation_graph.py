"""The mixed-state presentation as a graph: what can be known of the hidden state, and how one symbol changes it."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports.small_multiples import MAX_POINTS, axes, set_axes, small_multiples
from ontogeny.reports.style import BLUE, NEUTRAL, color_key, distinct_colors
from ontogeny.reports.wording import plain, probability
from ontogeny.studies.belief_states.belief_pictures import belief_text

MAX_NODES = 200  # more cannot be told apart; the deepest levels are left out
LEVEL, WIDTH = 62, 560  # pixels between levels, and across a page: only the bend of an edge depends on it
SWEEPS = 6
SHADES = (0.3, 0.5, 0.75, 1.0)  # opacity of edges whose probability is up to 1/4, 1/2, 3/4, 1
GRAPH_SHARE, MODES_FROM = 0.66, 0.79  # of the figure's width: where the graph ends and the eigenvalues begin


def fig_presentation(presentation: xr.Dataset) -> go.Figure:
    """Mixed states by the number of symbols that first reach them, and the moduli of the transient eigenvalues.

    A filled dot is recurrent: it comes back for ever; a hollow one is passed through while the hidden state is being
    found. An edge is a symbol, in its colour, the stronger the likelier.

    Args:
        presentation: with `source`, `target`, `token`, `probability` (edge), `depth`, `recurrent` (node), `belief`
            (node, state), where known `transient_modulus` (mode), and the attribute `complete`.
    """
    drawn = drawn_levels(presentation)
    depth = presentation.depth.values
    kept = depth < drawn
    inside = kept[presentation.source.values] & kept[presentation.target.values]
    edges = presentation.isel(edge=np.flatnonzero(inside))
    modes = presentation["transient_modulus"].values if "transient_modulus" in presentation else np.array([])
    figure = small_multiples([_title(presentation, drawn), *(["Transient eigenvalues"] if len(modes) else [])])
    _set_height(figure, max(LEVEL * (drawn - 1), 120), 1 + bool(len(modes)))
    places = _places(depth, edges.source.values, edges.target.values, kept)
    colors = _token_colors(presentation.token.values)
    _draw_edges(figure, edges, places, colors)
    _draw_nodes(figure, presentation, places, kept)
    key = {"text": color_key({f"symbol {token}": color for token, color in colors.items()}), "standoff": 4}
    y = {"range": [-(drawn - 1) - 0.4, 0.55], "title": {"text": "symbols to reach it"}, "showgrid": False}
    y |= {"tickvals": [-k for k in range(drawn)], "ticktext": list(range(drawn))}
    x = {"range": [-0.02, 1.02], "showticklabels": False, "showgrid": False, "title": key}
    set_axes(figure, 0, x, y)
    if len(modes):
        _draw_modes(figure, modes)
    return figure.update_layout(hovermode="closest", margin={"r": 24})


def drawn_levels(presentation: xr.Dataset) -> int:
    """How many levels `fig_presentation` draws: all, or as many as have no more than `MAX_NODES` nodes."""
    reached = np.cumsum(np.bincount(presentation.depth.values.astype(int)))
    return max(int((reached <= MAX_NODES).sum()), 1)


def _title(presentation: xr.Dataset, drawn: int) -> str:
    levels = int(presentation.depth.max()) + 1
    if not presentation.attrs.get("complete", 0) or drawn < levels:
        return f"Mixed states: the first {drawn} levels"
    return f"Mixed states: {presentation.sizes['node']}, of which {int(presentation.recurrent.sum())} recurrent"


def _set_height(figure: go.Figure, height: int, panels: int) -> None:
    """Lay the panels out again at this height, the graph wider than the eigenvalues."""
    laid = small_multiples([""] * panels, height).layout
    figure.update_layout(height=laid.height, meta={**figure.layout.meta, "narrow": laid.meta["narrow"]})
    if panels > 1:
        figure.update_layout(xaxis={"domain": [0, GRAPH_SHARE]}, xaxis2={"domain": [MODES_FROM, 1]})
        figure.layout.annotations[1].x = MODES_FROM


def _places(depth: np.ndarray, source: np.ndarray, target: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """(node, 2): levels from top to bottom, each spread over the width, ordered so that few edges cross."""
    x, levels = np.zeros(len(depth)), [np.flatnonzero(kept & (depth == d)) for d in np.unique(depth[kept])]
    for level in levels:
        x[level] = (np.arange(len(level)) + 0.5) / len(level)
    down = depth[source] < depth[target]
    above, below = source[down], target[down]
    for sweep in range(SWEEPS):
        upwards = sweep % 2 == 1
        here, there = (above, below) if upwards else (below, above)
        for level in reversed(levels) if upwards else levels:
            known = np.bincount(here, minlength=len(depth))
            mean = np.bincount(here, weights=x[there], minlength=len(depth)) / np.maximum(known, 1)
            wanted = np.where(known > 0, mean, x)[level]
            x[level[np.argsort(wanted, kind="stable")]] = (np.arange(len(level)) + 0.5) / len(level)
    return np.column_stack([x, -depth.astype(float)])


def _draw_edges(figure: go.Figure, edges: xr.Dataset, places: np.ndarray, colors: dict[str, str]) -> None:
    """One trace for each symbol and shade: curved lines, broken by gaps, each with an arrow head on its way."""
    count = edges.sizes["edge"]
    if not count:
        return
    points = int(np.clip(MAX_POINTS // count, 4, 10))
    tokens, names = edges.token.values, [str(token) for token in edges.token.values]
    bends = 0.10 + 0.07 * np.unique(tokens, return_inverse=True)[1]
    paths = [
        _path(places[a], places[b], bend, points)
        for a, b, bend in zip(edges.source.values, edges.target.values, bends, strict=True)
    ]
    shade = np.clip(np.ceil(edges.probability.values * len(SHADES)).astype(int) - 1, 0, len(SHADES) - 1)
    for token, color in colors.items():
        for level, opacity in enumerate(SHADES):
            chosen = [path for path, name, s in zip(paths, names, shade, strict=True) if name == token and s == level]
            if not chosen:
                continue
            line = np.concatenate([np.vstack([path, [np.nan, np.nan]]) for path in chosen])
            arrows = np.tile([9.0 * (k == round(0.62 * points)) for k in range(points + 1)], len(chosen))
            trace = go.Scatter(x=line[:, 0], y=line[:, 1], mode="lines+markers", hoverinfo="skip", opacity=opacity)
            plain_fill = {"color": color, "opacity": 1, "line": {"width": 0}}
            trace.update(marker={"symbol": "arrow", "angleref": "previous", "size": arrows, **plain_fill})
            trace.update(line={"color": color, "width": 1.3 if count < 200 else 0.8}, name=plain(f"symbol {token}"))
            figure.add_trace(trace.update(**axes(0)))


def _path(start: np.ndarray, end: np.ndarray, bend: float, points: int) -> np.ndarray:
    """(point, 2): an arc from one node to another, so that there and back lie apart; a loop above a single node."""
    scale = np.array([WIDTH, LEVEL])
    a, b = start * scale, end * scale
    if np.allclose(a, b):
        angle = np.linspace(-0.5, 1.5, points) * np.pi
        radius = 40 * bend + 5
        return (a + [0, radius] + radius * np.column_stack([np.cos(angle), np.sin(angle)])) / scale
    away = np.array([a[1] - b[1], b[0] - a[0]])
    downwards_by_one = np.isclose(b[1], a[1] - LEVEL)
    middle = (a + b) / 2 + away * (bend - 0.08 if downwards_by_one else bend + 0.12)
    t = np.linspace(0, 1, points)[:, None]
    return ((1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b) / scale


def _draw_nodes(figure: go.Figure, presentation: xr.Dataset, places: np.ndarray, kept: np.ndarray) -> None:
    recurrent, nodes = presentation.recurrent.values.astype(bool), np.flatnonzero(kept)
    widest = int(np.bincount(presentation.depth.values[nodes].astype(int)).max())
    size = float(np.clip(0.55 * WIDTH / widest, 4, 15))
    belief = presentation.belief.transpose("node", "state").values
    laws = {int(node): [] for node in nodes}
    columns = (presentation[name].values for name in ("source", "token", "probability"))
    for source, token, chance in zip(*columns, strict=True):
        if int(source) in laws:
            laws[int(source)].append(f"{plain(token)}: {probability(float(chance))}")
    hover = [
        f"belief {belief_text(belief[k])}<br>{'recurrent' if recurrent[k] else 'transient'}, "
        f"reached by {int(presentation.depth.values[k])} symbols<br>next {', '.join(laws[int(k)]) or 'not followed'}"
        if presentation.attrs.get("complete", 0)
        else f"belief {belief_text(belief[k])}<br>next {', '.join(laws[int(k)]) or 'not followed'}"
        for k in nodes
    ]
    symbols = ["circle" if recurrent[k] else "circle-open" for k in nodes]
    trace = go.Scatter(x=places[nodes, 0], y=places[nodes, 1], mode="markers", name="mixed states", cliponaxis=False)
    trace.update(
        marker={
            "symbol": symbols,
            "size": size,
            "color": NEUTRAL,
            "opacity": 1,
            "line": {"width": 1.6, "color": NEUTRAL},
        }
    )
    trace.update(customdata=hover, hovertemplate="%{customdata}<extra></extra>")
    figure.add_trace(trace.update(**axes(0)))


def _draw_modes(figure: go.Figure, modes: np.ndarray) -> None:
    at = np.arange(1, len(modes) + 1)
    stems = np.column_stack([np.zeros(len(modes)), modes, np.full(len(modes), np.nan)]).ravel()
    lines = go.Scatter(x=np.repeat(at, 3), y=stems, mode="lines", line={"color": BLUE, "width": 1.2}, hoverinfo="skip")
    dots = go.Scatter(x=at, y=modes, mode="markers", marker={"color": BLUE, "size": 6}, cliponaxis=False)
    dots.update(hovertemplate="mode %{x}: %{y:.3f}<extra></extra>", name="modulus")
    figure.add_traces([lines.update(**axes(1)), dots.update(**axes(1))])
    x = {"title": {"text": "mode"}, "range": [0.3, len(modes) + 0.7], "tickformat": "d", "nticks": 5}
    set_axes(figure, 1, x, {"range": [-0.03, 1.05], "title": {"text": "modulus"}})


def _token_colors(tokens: np.ndarray) -> dict[str, str]:
    names = [str(token) for token in np.unique(tokens)]
    return dict(zip(names, distinct_colors(len(names)), strict=True))
