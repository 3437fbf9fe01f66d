"""Sampler diagnostics: the draws of each chain, the running estimate, and the table of verdicts."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.runs import one_run
from ontogeny.reports.estimates import estimates, main, main_estimates
from ontogeny.reports.small_multiples import Curve, around, axes, draw_curves, small_multiples, thinned
from ontogeny.reports.style import NEUTRAL, PALETTE, translucent

TRACES_SHOWN = 6
TABLE_ROWS = 400  # most converged estimates listed; all others are always listed


def fig_traces(trajectory: xr.Dataset, step: float | int) -> go.Figure:
    """Draws of each chain at one checkpoint, and the running estimate.

    In a trustworthy trace the chains rise during warm-up, level off before the draws begin, and then overlap. The band
    of the running estimate is the reported Monte Carlo error, scaled by √(T/t) to fewer draws t.

    Args:
        trajectory: of one run, with `llc_trace` (step, component, dataset, chain, draw) and, where recorded,
            `llc_warmup_trace` (…, chain, warmup_draw), `llc`, `llc_mcse`.
        step: one of the trajectory's steps.
    """
    trajectory = one_run(trajectory)
    if step not in trajectory.step.values:
        known = ", ".join(str(s) for s in trajectory.step.values)
        raise InvalidArgument("step", expected=f"one of the trajectory's steps ({known})", found=str(step))
    draws = main(trajectory.llc_trace.sel(step=step)).transpose("chain", "draw").values
    warmup = np.zeros((len(draws), 0))
    if "llc_warmup_trace" in trajectory:
        warmup = main(trajectory.llc_warmup_trace.sel(step=step)).transpose("chain", "warmup_draw").values
    chains, count = draws.shape
    figure = small_multiples(["Draws of each chain", "Running estimate"], height=230)
    joined, at = np.concatenate([warmup, draws], axis=1), np.arange(-warmup.shape[1], count)
    keep = thinned(joined.shape[1], 4 * chains)
    colors = [PALETTE[c % len(PALETTE)] for c in range(chains)]
    traces = [Curve(f"chain {c}", at[keep], joined[c, keep], colors[c], width=1.2, opacity=0.85) for c in range(chains)]
    draw_curves(figure, axes(0), traces, height=230)
    _draw_running(figure, draws, colors, trajectory, step)
    if warmup.shape[1]:
        band = {"x0": float(at[0]), "x1": -0.5, "xref": "x", "y0": 0, "y1": 1, "yref": "y domain", "layer": "below"}
        figure.add_shape(type="rect", fillcolor=translucent(NEUTRAL, 0.14), line={"width": 0}, **band)
        place = {"x": float(at[0]), "y": 1, "xref": "x", "yref": "y domain", "xanchor": "left", "yanchor": "top"}
        figure.add_annotation(text=" warm-up, not averaged in", showarrow=False, font={"size": 11}, **place)
    header = {"text": "<b>draw %{x}</b>"}
    figure.update_layout(
        xaxis={"title": {"text": "draw"}, "unifiedhovertitle": header},
        xaxis2={"title": {"text": "draws averaged"}, "unifiedhovertitle": header},
        yaxis={"title": {"text": "nβ (L(w) − L(w*))"}},
        yaxis2={"title": {"text": "LLC"}},
    )
    return figure


def trace_steps(trajectory: xr.Dataset, count: int = TRACES_SHOWN) -> list[int | float]:
    """The checkpoints of a run whose traces a report shows: evenly spaced, plus every kind of failure."""
    trajectory = one_run(trajectory)
    if "llc_trace" not in trajectory:
        return []
    recorded = main(trajectory.llc_trace).notnull().any(["chain", "draw"]).values
    sampled = trajectory.step.values[recorded].tolist()
    even = np.unique(np.linspace(0, len(sampled) - 1, count).round().astype(int)) if sampled else []
    table = main_estimates(estimates(trajectory))
    failures = table[~table.converged & table.step.isin(sampled)].drop_duplicates("outcome").step
    return sorted({sampled[i] for i in even} | set(failures.tolist()))


def listed_estimates(trajectory: xr.Dataset) -> tuple[pd.DataFrame, int]:
    """Rows of the diagnostics table, and the number of converged ones omitted to keep it readable."""
    table = estimates(trajectory)
    good = np.flatnonzero(table.converged)
    shown = good[np.unique(np.linspace(0, len(good) - 1, TABLE_ROWS).round().astype(int))] if good.size else good
    rows = np.sort(np.concatenate([np.flatnonzero(~table.converged), shown]))
    return table.iloc[rows], len(good) - len(shown)


def _draw_running(
    figure: go.Figure, draws: np.ndarray, colors: list[str], trajectory: xr.Dataset, step: float | int
) -> None:
    chains, count = draws.shape
    averaged = np.arange(1, count + 1)
    running = np.cumsum(draws, axis=1) / averaged
    late = thinned(count - count // 10, 4 * (chains + 2)) + count // 10  # the first few draws' mean is mostly noise
    x, pooled = averaged[late], running.mean(0)[late]
    mcse = float(main(trajectory.llc_mcse.sel(step=step))) if "llc_mcse" in trajectory else np.nan
    error = mcse * np.sqrt(count / x)
    curves = [
        Curve(f"chain {c}", x, running[c, late], colors[c], width=1.1, opacity=0.7, named=False) for c in range(chains)
    ]
    curves.append(Curve("all chains", x, pooled, NEUTRAL, around(pooled, error), width=2.4))
    draw_curves(figure, axes(1), curves, height=230)
