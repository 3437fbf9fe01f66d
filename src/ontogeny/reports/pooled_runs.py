"""Curves of several runs in one panel: each faint, their median bold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from ontogeny.core.runs import differing_posteriors
from ontogeny.reports.small_multiples import MAX_NAME, Curve
from ontogeny.reports.style import StepAxis, distinct_colors
from ontogeny.reports.wording import shorten_start

FAINT, CLEAR = (0.5, 1.3), (0.85, 1.6)  # opacity and width of the curve of a run, beside a median and without one
BOLD = 1.4  # width of the median, in that of the curve of a single run
NAMED_RUNS = 5  # of one quantity; more names do not fit beside it
HOVERED = 12  # curves of runs; of more the median alone answers the pointer


def shared_axis(runs: Mapping[str, xr.Dataset]) -> StepAxis:
    """The axis of training steps that holds those of every run."""
    return StepAxis.of(np.concatenate([run["step"].values for run in runs.values()]))


def pooled(by_run: Mapping[str, Sequence[Curve]], median: bool = True, alone: bool = False) -> list[Curve]:
    """The curves of every run, those of one name pooled; the curves of a single run are returned as they are.

    The median covers the steps that all runs of a curve share, with each run interpolated in log step. Unnamed curves
    are reference lines, of which the longest is kept. A curve of only one run is kept under the run's name. If a single
    quantity has no median, each run has its own colour.

    Args:
        by_run: label of the run -> its curves.
        median: whether to draw a median; not if values of different runs are not comparable.
        alone: whether the curves are of one quantity, so that runs can be named at their right ends.
    """
    if len(by_run) == 1:
        return list(next(iter(by_run.values())))
    groups: dict[str, dict[str, Curve]] = {}
    for label, curves in by_run.items():
        for curve in curves:
            groups.setdefault(curve.name, {})[label] = curve
    reference = [max(groups.pop("").values(), key=lambda curve: np.ptp(curve.x))] if "" in groups else []
    drawn = {name: {k: c for k, c in group.items() if np.isfinite(c.x * c.y).any()} for name, group in groups.items()}
    groups = {name: group for name, group in drawn.items() if group}
    if alone and not median:
        for name, group in groups.items():
            colors = zip(group, distinct_colors(len(group)), strict=True)
            groups[name] = {label: replace(group[label], color=color) for label, color in colors}
    hover = sum(map(len, groups.values())) <= HOVERED
    faint, bold = [], []
    for name, group in groups.items():
        if len(group) == 1:
            bold += [replace(curve, name=label if alone else f"{name}, {label}") for label, curve in group.items()]
            continue
        faint += _of_runs(name, group, median, alone, hover)
        if median:
            named = alone and len(group) <= NAMED_RUNS
            bold.append(_median(list(group.values()), f"median of {len(group)}" if alone else name, named))
    return [*reference, *faint, *bold]


def _of_runs(name: str, group: Mapping[str, Curve], median: bool, alone: bool, hover: bool) -> list[Curve]:
    """The curves of one quantity, one per run. Without a median, the last one carries the quantity's name."""
    opacity, width = FAINT if median else CLEAR
    faint = []
    for label, curve in group.items():
        named, end = alone and len(group) <= NAMED_RUNS, shorten_start(label, MAX_NAME)
        if not alone and not median:
            named, end = curve.named and label == list(group)[-1], name
        shown = label if alone else f"{name}, {label}"
        look = replace(curve, name=shown, band=None, width=width, opacity=opacity)
        faint.append(replace(look, named=named, end=end, hover=hover and curve.hover))
    return faint


def may_pool(trajectory: xr.Dataset) -> bool:
    """Whether coefficients of different runs are comparable, as far as is known."""
    return not differing_posteriors(trajectory)


def _median(curves: Sequence[Curve], name: str, named: bool) -> Curve:
    finite = [np.isfinite(curve.x * curve.y) for curve in curves]
    known = [(curve.x[there], curve.y[there]) for curve, there in zip(curves, finite, strict=True)]
    x = np.unique(np.concatenate([places for places, _ in known]))
    x = x[(x >= max(places[0] for places, _ in known)) & (x <= min(places[-1] for places, _ in known))]
    scale = np.log if all((places > 0).all() for places, _ in known) else np.asarray
    read = [np.interp(scale(x), scale(places), values) for places, values in known] if len(x) else [x]
    look = replace(curves[0], band=None, width=BOLD * curves[0].width, opacity=1.0, hover=True)
    return replace(look, name=name, x=x, y=np.median(read, axis=0), named=named or curves[0].named)
