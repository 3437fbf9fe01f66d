"""Trajectories in the plane of their principal components, beside what drift alone would draw."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.reports.panels import MAX_POINTS, axes, padded_range, small_multiples
from ontogeny.reports.style import NEUTRAL, StepAxis, along_sequence, step_text, translucent
from ontogeny.reports.wording import plain

Box = tuple[float, float, float, float]  # left, bottom, right, top
WIDTH, HEIGHT = 280, 300  # of a panel in pixels; the width is that on a page, and nearly that on a phone
SIDES = (("top center", 0, 1), ("bottom center", 0, -1), ("middle right", 1, 0), ("middle left", -1, 0))


def fig_trajectory_pca(pca: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Principal components of the outputs along training; each pair of components beside its Brownian null.

    The principal components of a random walk draw smooth arcs and spirals too. Only what differs from the null beside
    it says anything about training.

    Args:
        pca: with `score` (point, pc), coordinates `trajectory` and `step` (point), `explained_variance` (pc) and,
            of the null, `brownian_score` (point, pc) and `brownian_explained_variance` (pc).
        stages: whose boundaries are marked on the trajectories.
    """
    axis = StepAxis.of(pca.step.values)
    has_null = "brownian_score" in pca
    kinds = [("Measured", "score", "explained_variance")]
    kinds += [("Brownian null", "brownian_score", "brownian_explained_variance")] * has_null
    pairs = [(0, second) for second in (1, 2) if second < pca.sizes["pc"]]
    panels = [(kind, pair) for pair in pairs for kind in kinds]
    figure = small_multiples([f"{kind[0]}: PC{x + 1} and PC{y + 1}" for kind, (x, y) in panels], height=HEIGHT)
    boundaries = [] if stages is None or "boundary_step" not in stages else list(stages.boundary_step.values)
    for i, ((_, score, variance), (x, y)) in enumerate(panels):
        limits = np.array([padded_range(pca[score].values[:, component], 0.12) for component in (x, y)]).T
        for name in dict.fromkeys(pca.trajectory.values):
            points = pca.isel(point=np.flatnonzero(pca.trajectory.values == name)).sortby("step")
            path, steps = points[score].values[:, [x, y]], points.step.values
            _draw_path(figure, axes(i), path, steps, axis, limits, boundaries if score == "score" else [], str(name))
        suffix = i + 1 if i else ""
        for key, component, ends in (("xaxis", x, limits[:, 0]), ("yaxis", y, limits[:, 1])):
            share = f" ({float(pca[variance].values[component]):.0%})".replace("%", " %") if variance in pca else ""
            title = {"text": f"PC{component + 1}{share}"}
            figure.update_layout({f"{key}{suffix}": {"title": title, "range": list(ends), "showspikes": False}})
    return figure.update_layout(hovermode="closest", margin={"r": 40})


def _draw_path(
    figure: go.Figure,
    where: dict[str, str],
    path: np.ndarray,
    steps: np.ndarray,
    axis: StepAxis,
    limits: np.ndarray,
    boundaries: list[float],
    name: str,
) -> None:
    keep = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MAX_POINTS // 8)).round().astype(int))
    path, steps = path[keep], steps[keep]
    colors = [along_sequence(float(fraction)) for fraction in axis.fraction(steps)]
    line = {"color": translucent(NEUTRAL, 0.6), "width": 1.2}
    trace = go.Scatter(x=path[:, 0], y=path[:, 1], mode="lines+markers", line=line, name=plain(name))
    trace.update(marker={"color": colors, "size": 7}, customdata=steps)
    trace.update(hovertemplate="%{fullData.name}, step %{customdata:,}<extra></extra>")
    figure.add_trace(trace.update(**where))
    at_boundary = sorted({int(np.abs(axis.fraction(steps) - axis.fraction([b])).argmin()) for b in boundaries})
    ends = [k for k in (0, len(steps) - 1) if k not in at_boundary]
    marked = at_boundary + ends
    marker = {"color": [colors[k] for k in marked], "size": 12, "line": {"width": 2}}
    marker["symbol"] = ["diamond-open"] * len(at_boundary) + ["circle-open"] * len(ends)
    labels = [f"step {step_text(steps[k])}" for k in marked]
    marks = go.Scatter(x=path[marked, 0], y=path[marked, 1], mode="markers+text", text=labels, marker=marker)
    positions = _clear_positions((path - limits[0]) / (limits[1] - limits[0]), marked, labels)
    marks.update(textposition=positions, textfont={"size": 11}, hoverinfo="skip", cliponaxis=False)
    figure.add_trace(marks.update(**where))


def _clear_positions(path: np.ndarray, marked: list[int], labels: list[str]) -> list[str]:
    """For each label, the side of its mark on which it covers least: other labels above all, then points of the path.

    Places along the path are fractions of the panel's width and height.
    """
    points = [(x - 4, y - 4, x + 4, y + 4) for x, y in path * (WIDTH, HEIGHT)]
    placed: list[Box] = []
    chosen = []
    for (x, y), label in zip(path[marked] * (WIDTH, HEIGHT), labels, strict=True):
        wide, costs = 6.2 * len(label), {}
        for name, right, up in SIDES:
            left, bottom = x + right * (wide / 2 + 9) - wide / 2, y + up * 16 - 7
            box = (left, bottom, left + wide, bottom + 14)
            outside = left < 0 or left + wide > WIDTH
            cost = 10 * sum(_overlap(box, other) for other in placed) + sum(_overlap(box, point) for point in points)
            costs[name] = (cost + 20 * outside, box)
        chosen.append(min(costs, key=lambda name: costs[name][0]))
        placed.append(costs[chosen[-1]][1])
    return chosen


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
