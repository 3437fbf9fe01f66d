"""Behaviour of the network along training: use of context, distance to n-grams, attention of its heads."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.runs import one_run, runs_of
from ontogeny.reports.estimates import main
from ontogeny.reports.pooled_runs import pooled, shared_axis
from ontogeny.reports.small_multiples import Curve, around, axes, draw_curves, set_axes, small_multiples, thinned
from ontogeny.reports.stage_marks import mark_boundaries
from ontogeny.reports.style import BLUE, NEUTRAL, PALETTE, StepAxis, along_sequence, distinct_colors, step_text

POSITION_CURVES = 6
HEADS_DRAWN = 24  # the strongest heads of a score; more are indistinguishable
SCORE_TITLES = {
    "previous_token": "Previous token",
    "current_token": "Current token",
    "duplicate_token": "Duplicate token",
    "prefix_matching": "Prefix matching (induction)",
}


def fig_behaviour(trajectory: xr.Dataset, stages: xr.Dataset | None = None) -> go.Figure:
    """Behaviour over training steps: n-gram cross-entropies, in-context learning, loss by position, loss by dataset.

    For several runs each curve is faint and the median bold. Loss by position is drawn at the steps that all runs
    share.

    Args:
        trajectory: with any of `ngram_cross_entropy` (step, order) and `ngram_entropy` (order), `icl_score` (step),
            `repeated_gain` (step), `loss_by_position` (step, distribution, position), `test_loss` (step, distribution);
            `ngram_by_sequence` and `icl_by_sequence` give bands of 1.96 standard errors over probe sequences.
        stages: whose boundaries are drawn behind.
    """
    runs = runs_of(trajectory)
    axis = shared_axis(runs)
    drawn = {
        title: pooled({label: draw(run, axis) for label, run in _with_common_steps(runs, title).items()})
        for title, draw in _BEHAVIOURS.items()
    }
    panels = {title: curves for title, curves in drawn.items() if curves}
    figure = small_multiples(list(panels))
    for i, (title, curves) in enumerate(panels.items()):
        over_positions = title == BY_POSITION
        draw_curves(figure, axes(i), curves)
        horizontal = {"title": {"text": "position in the context"}} if over_positions else axis.layout()
        set_axes(figure, i, horizontal, {"title": {"text": "nats"}})
        if not over_positions:
            mark_boundaries(figure, axes(i), stages, axis)
    return figure


def fig_head_scores(
    trajectory: xr.Dataset, controls: Mapping[str, xr.Dataset] | None = None, stages: xr.Dataset | None = None
) -> go.Figure:
    """Scores of every attention head over training steps, one panel per score, one colour per layer.

    The strongest head of each layer (by its last score) is drawn bold and named. For a control run the largest score
    over its heads is drawn, dashed.

    Args:
        trajectory: of one run (heads of different runs share no more than their names), with `head_score`
            (step, score, layer, head).
        controls: trajectories of control runs by name.
        stages: whose boundaries are drawn behind.

    Raises:
        InvalidArgument: for several runs.
    """
    trajectory = one_run(trajectory)
    controls = {name: one_run(control, f"controls[{name!r}]") for name, control in (controls or {}).items()}
    axis = StepAxis.of(trajectory.step.values)
    scores = [str(score) for score in trajectory.score.values]
    figure = small_multiples([SCORE_TITLES.get(score, score.replace("_", " ")) for score in scores])
    for i, score in enumerate(scores):
        curves = _head_curves(trajectory, score, axis, len(scores))
        for name, control in controls.items():
            if "head_score" in control and score in control.score:
                best = control.head_score.sel(score=score).max(["layer", "head"])
                keep = thinned(best.sizes["step"], len(scores) * len(curves))
                x = axis.place(control.step.values[keep])
                curves.append(Curve(name, x, best.values[keep], NEUTRAL, dash="dash", width=1.8))
        draw_curves(figure, axes(i), curves, include=[0.0])
        mark_boundaries(figure, axes(i), stages, axis)
        set_axes(figure, i, axis.layout(), {})
    hover = "%{fullData.name} at step %{x:,.0f}: %{y:.3f}<extra></extra>"
    return figure.update_traces(hovertemplate=hover, selector={"hoverinfo": None}).update_layout(hovermode="closest")


def _with_common_steps(runs: Mapping[str, xr.Dataset], title: str) -> Mapping[str, xr.Dataset]:
    """The runs. For curves drawn per step they are restricted to the steps that all runs share, if any."""
    common = set.intersection(*(set(run["step"].values.tolist()) for run in runs.values()))
    if title != BY_POSITION or not common:
        return runs
    return {label: run.sel(step=sorted(common)) for label, run in runs.items()}


def _head_curves(trajectory: xr.Dataset, score: str, axis: StepAxis, panels: int) -> list[Curve]:
    table = trajectory.head_score.sel(score=score).stack(unit=("layer", "head")).transpose("step", "unit")
    final = table.dropna("step", how="all").values[-1:].sum(0)
    strongest = np.argsort(-np.nan_to_num(table.max("step").values), kind="stable")[:HEADS_DRAWN]
    layers = list(dict.fromkeys(int(layer) for layer in trajectory["layer"].values))
    keep = thinned(table.sizes["step"], panels * len(strongest))
    x, leaders, colors = axis.place(trajectory.step.values[keep]), {}, distinct_colors(len(layers))
    for k in strongest:
        layer = int(table["layer"].values[k])
        if layer not in leaders or final[k] > final[leaders[layer]]:
            leaders[layer] = k
    thin, bold = [], []
    for k in strongest:
        layer, head = int(table["layer"].values[k]), int(table["head"].values[k])
        color = colors[layers.index(layer)]
        y = table.values[keep, k]
        if k != leaders[layer]:
            thin.append(Curve(f"L{layer}H{head}", x, y, color, width=1.1, opacity=0.45, named=False))
            continue
        band = _sequence_band(y, trajectory, "head_score", {"score": score, "layer": layer, "head": head}, keep)
        bold.append(Curve(f"L{layer}H{head}", x, y, color, band, width=2.4))
    return thin + bold


def _ngram_curves(trajectory: xr.Dataset, axis: StepAxis) -> list[Curve]:
    if "ngram_cross_entropy" not in trajectory:
        return []
    keep = thinned(trajectory.sizes["step"], trajectory.sizes["order"])
    x, curves = axis.place(trajectory.step.values[keep]), []
    for color, order in zip(PALETTE, trajectory.order.values, strict=False):
        y = trajectory.ngram_cross_entropy.sel(order=order).values[keep]
        band = _sequence_band(y, trajectory, "ngram", {"order": order}, keep)
        curves.append(Curve(str(order), x, y, color, band))
        if "ngram_entropy" in trajectory:
            entropy = trajectory.ngram_entropy.sel(order=order).broadcast_like(trajectory.step).values[keep]
            curves.append(Curve(f"{order}: its entropy", x, entropy, color, dash="dot", width=1.2, named=False))
    return curves


def _icl_curves(trajectory: xr.Dataset, axis: StepAxis) -> list[Curve]:
    return _context_curve(trajectory, axis, "icl_score", "icl")


def _repeated_curves(trajectory: xr.Dataset, axis: StepAxis) -> list[Curve]:
    return _context_curve(trajectory, axis, "repeated_gain", "repeated")


def _context_curve(trajectory: xr.Dataset, axis: StepAxis, name: str, stem: str) -> list[Curve]:
    if name not in trajectory:
        return []
    keep = thinned(trajectory.sizes["step"], 2)
    x, y = axis.place(trajectory.step.values[keep]), trajectory[name].values[keep]
    band = _sequence_band(y, trajectory, stem, {}, keep)
    zero = Curve("", x, np.zeros_like(y), NEUTRAL, width=1.0, named=False, hover=False)
    return [zero, Curve("score" if stem == "icl" else "gain", x, y, BLUE, band, named=False)]


def _position_curves(trajectory: xr.Dataset, axis: StepAxis) -> list[Curve]:
    if "loss_by_position" not in trajectory:
        return []
    table = main(trajectory.loss_by_position).transpose("step", "position").dropna("step", how="all")
    keep = thinned(table.sizes["position"], POSITION_CURVES)
    fractions = axis.fraction(table.step.values)
    chosen = np.unique([int(np.abs(fractions - f).argmin()) for f in np.linspace(0.1, 1, POSITION_CURVES)])
    return [
        Curve(
            f"step {step_text(int(table.step.values[k]))}",
            table.position.values[keep].astype(float),
            table.values[k, keep],
            along_sequence(float(fractions[k])),
            width=1.8,
        )
        for k in chosen
    ]


def _dataset_curves(trajectory: xr.Dataset, axis: StepAxis) -> list[Curve]:
    """Test loss on every distribution, or else the loss on every dataset if there are several."""
    given = "distribution" in trajectory.get("test_loss", xr.DataArray(0)).dims
    loss, dim = ("test_loss", "distribution") if given else ("loss", "dataset")
    if loss not in trajectory or trajectory[loss].sizes.get(dim, 0) < 2:
        return []
    keep = thinned(trajectory.sizes["step"], trajectory.sizes[dim])
    x, losses = axis.place(trajectory.step.values[keep]), trajectory[loss].transpose("step", dim).values[keep].T
    names = [str(name) for name in trajectory[dim].values]
    colors = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    return [Curve(name, x, y, color) for name, y, color in zip(names, losses, colors, strict=True)]


def _sequence_band(
    y: np.ndarray, trajectory: xr.Dataset, stem: str, where: dict, keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """The 95 % band from the spread over probe sequences, if `{stem}_by_sequence` was recorded."""
    if f"{stem}_by_sequence" not in trajectory:
        return None
    values = trajectory[f"{stem}_by_sequence"].sel(where).transpose("step", ...).values[keep]
    return around(y, values.std(1, ddof=1) / np.sqrt(values.shape[1]))


BY_POSITION = "Loss by position in the context"
_BEHAVIOURS = {
    "Cross-entropy against n-grams of the text": _ngram_curves,
    "In-context score: late minus early loss": _icl_curves,
    "Repeated tokens: second copy minus first": _repeated_curves,
    BY_POSITION: _position_curves,
    "Test loss by dataset": _dataset_curves,
}
