"""Trajectories in the plane of their principal components, next to those of pure drift."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.joined_stages import stages_by_run
from ontogeny.reports.mark_names import Frame, clear_sides
from ontogeny.reports.small_multiples import axes, padded_range, set_axes, small_multiples, thinned
from ontogeny.reports.style import NEUTRAL, StepAxis, along_sequence, step_text, translucent
from ontogeny.reports.wording import plain

WIDTH, HEIGHT = 280, 300  # of a panel in pixels; the width is that on a page, and nearly that on a phone


@dataclass(frozen=True)
class Mark:
    """A point of a trajectory that is named: its start, its end or a stage boundary."""

    place: np.ndarray
    label: str
    color: str
    symbol: str


def fig_trajectory_pca(pca: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Principal components of the outputs along training; each pair of components next to its Brownian null.

    The principal components of a random walk also form smooth arcs and spirals. Only differences from the null say
    anything about training.

    Args:
        pca: with `score` (point, pc), coordinates `trajectory` and `step` (point), `explained_variance` (pc) and,
            of the null, `brownian_score` (point, pc) and `brownian_explained_variance` (pc), and of references, which
            are marked by stars, `reference_score` (reference, pc).
        stages: their boundaries are marked on the trajectories; for several runs, on the trajectory of the same name.
    """
    kinds = [("Measured", "score", "explained_variance")]
    if "brownian_score" in pca:
        kinds.append(("Brownian null", "brownian_score", "brownian_explained_variance"))
    pairs = [(0, second) for second in (1, 2) if second < pca.sizes["pc"]]
    panels = [(kind, pair) for pair in pairs for kind in kinds]
    figure = small_multiples([f"{kind[0]}: PC{x + 1} and PC{y + 1}" for kind, (x, y) in panels], height=HEIGHT)
    boundaries = {
        label: each.boundary_step.values for label, each in stages_by_run(stages).items() if "boundary_step" in each
    }
    if len(boundaries) == len(set(pca.trajectory.values)) == 1:
        boundaries = {"": next(iter(boundaries.values()))}
    for i, ((_, score, variance), (x, y)) in enumerate(panels):
        places, marks = pca[score].values[:, [x, y]], list[Mark]()
        if score == "score" and "reference_score" in pca:
            fixed = pca["reference_score"].transpose("reference", "pc").values[:, [x, y]]
            marks = [
                Mark(*each, NEUTRAL, "star") for each in zip(fixed, pca["reference"].values.astype(str), strict=True)
            ]
        limits = np.array(
            [padded_range(each, 0.12) for each in np.concatenate([places, *(m.place[None] for m in marks)]).T]
        )
        marks += _draw_paths(figure, axes(i), pca, places, boundaries if score == "score" else {})
        _draw_marks(figure, axes(i), marks, places, limits)
        titled = []
        for component, ends in zip((x, y), limits, strict=True):
            share = f" ({float(pca[variance].values[component]):.0%})".replace("%", " %") if variance in pca else ""
            title = {"text": f"PC{component + 1}{share}"}
            titled.append({"title": title, "range": list(ends)})
        set_axes(figure, i, *titled)
    return figure.update_layout(hovermode="closest", margin={"r": 40})


def _draw_paths(
    figure: go.Figure, where: dict[str, str], pca: xr.Dataset, places: np.ndarray, boundaries: dict[str, np.ndarray]
) -> list[Mark]:
    """Draw every trajectory and return the marks to name: the steps of one, or the ends of several."""
    axis, names = StepAxis.of(pca.step.values), list(dict.fromkeys(str(name) for name in pca.trajectory.values))
    marks = []
    for run, name in enumerate(names):
        points = np.flatnonzero(pca.trajectory.values == name)
        points = points[np.argsort(pca.step.values[points], kind="stable")]
        points = points[thinned(len(points), 4 * len(names))]
        path, steps = places[points], pca.step.values[points]
        along = axis.fraction(steps)
        colors = [along_sequence(float(fraction)) for fraction in along]
        line = {"color": translucent(NEUTRAL, 0.6), "width": 1.2}
        trace = go.Scatter(x=path[:, 0], y=path[:, 1], mode="lines+markers", line=line, name=plain(name))
        trace.update(marker={"color": colors, "size": 7}, customdata=steps, meta={"told": "training step"})
        trace.update(hovertemplate="%{fullData.name}, step %{customdata:,}<extra></extra>")
        figure.add_trace(trace.update(**where))
        own = boundaries.get(name, boundaries.get("", np.array([])))
        crossed = {int(np.abs(along - fraction).argmin()) for fraction in axis.fraction(own)}
        labels = {k: f"step {step_text(int(steps[k]))}" if run == 0 else "" for k in sorted(crossed | {0})}
        labels[len(steps) - 1] = f"step {step_text(int(steps[-1]))}" if len(names) == 1 else name
        for k, label in labels.items():
            marks.append(Mark(path[k], label, colors[k], "diamond-open" if k in crossed else "circle-open"))
    return marks


def _draw_marks(
    figure: go.Figure, where: dict[str, str], marks: list[Mark], places: np.ndarray, limits: np.ndarray
) -> None:
    marker = {"symbol": [mark.symbol for mark in marks], "color": [mark.color for mark in marks]}
    at = np.array([mark.place for mark in marks])
    labels = [mark.label for mark in marks]
    trace = go.Scatter(x=at[:, 0], y=at[:, 1], mode="markers+text", text=[plain(label) for label in labels])
    trace.update(marker={**marker, "size": 12, "line": {"width": 2}}, hoverinfo="skip", cliponaxis=False)
    trace.update(textposition=clear_sides(at, places, labels, Frame(limits, (WIDTH, HEIGHT))), textfont={"size": 11})
    figure.add_trace(trace.update(**where))
