"""Figures of a calibrated sampler: how it was set, and when its chains settled."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports.small_multiples import Curve, axes, draw_curves, small_multiples, thinned
from ontogeny.reports.style import NEUTRAL, PALETTE

HEIGHT = 220


def fig_calibration(draws: xr.DataTree) -> go.Figure:
    """Four panels: the chains during calibration, the step size, batch size and its noise, and the draws kept.

    In a trustworthy run the chains rise from 0 and level off before the draws begin. They overlap without a slope in
    the last panel. Minibatch noise adds little; it is subtracted, and a quarter of it is counted as error.

    Args:
        draws: from `estimate_llc` (`estimate.draws`), with the group `calibration`.
    """
    if "calibration" not in draws.children:
        found = ", ".join(draws.children)
        raise InvalidArgument(
            "draws", expected="the group `calibration`", found=found, instead="og.estimate_llc(…).draws"
        )
    evidence = draws["calibration"].to_dataset()
    nbeta = float(evidence.nbeta)
    kept = draws["posterior"].loss_difference.transpose("chain", "draw").values * nbeta
    names = ["Calibration: nβ (L(w) − L(w*))", "Step size", "Batch, and what its noise adds", "Draws kept"]
    figure = small_multiples(names, height=HEIGHT)
    at = evidence.step.values
    _chains(figure, 0, at, evidence.loss_difference.transpose("chain", "step").values * nbeta)
    draw_curves(figure, axes(1), [Curve("step size", at, evidence.step_size.values, NEUTRAL, width=2)], height=HEIGHT)
    batch = Curve("batch size", at, evidence.batch_size.values, NEUTRAL, width=2)
    draw_curves(figure, axes(2), [batch], height=HEIGHT)
    measured = evidence.inflation.notnull().values
    for place, share in zip(at[measured], evidence.inflation.values[measured], strict=True):
        spot = {"x": float(place), "y": float(evidence.batch_size.sel(step=place)), "xref": "x3", "yref": "y3"}
        figure.add_annotation(text=f"+{share:.0%}", showarrow=False, yshift=10, font={"size": 10}, **spot)
    _chains(figure, 3, np.arange(kept.shape[1]), kept)
    figure.update_layout(
        xaxis={"title": {"text": "step"}},
        xaxis2={"title": {"text": "step"}},
        xaxis3={"title": {"text": "step"}},
        xaxis4={"title": {"text": "draw"}},
    )
    return figure


def _chains(figure: go.Figure, panel: int, at: np.ndarray, traces: np.ndarray) -> None:
    keep = thinned(traces.shape[1], 4 * len(traces))
    curves = [
        Curve(f"chain {number}", at[keep], trace[keep], PALETTE[number % len(PALETTE)], width=1.1, opacity=0.8)
        for number, trace in enumerate(traces)
    ]
    draw_curves(figure, axes(panel), curves, height=HEIGHT)
