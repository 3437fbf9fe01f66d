"""The tails of activations: how many values lie beyond a size, on a logarithmic scale."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from scipy.stats import halfnorm

from ontogeny.reports.small_multiples import Curve, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, distinct_colors

POINTS = 60
COLORED = 5  # units with the heaviest tails
HEIGHT = 300


def fig_tails(values: xr.DataArray, quantile: float = 0.9) -> go.Figure:
    """log10 of the share of values beyond x, over x in units of the tail's beginning, one curve per unit.

    A straight line is an exponential tail; a curve that bends down falls faster, as a Gaussian does (dotted, one that
    begins alike), and one that bends up more slowly. The units that reach farthest are coloured and named.

    Args:
        values: (unit, sample), positive where the tail is.
        quantile: where the tail begins, and the unit of x.
    """
    sizes = values.transpose("unit", "sample").values
    starts = np.quantile(sizes, quantile, axis=1)
    reach = np.sort(sizes, axis=1)[:, -2] / starts
    order = np.argsort(reach)
    figure = small_multiples(["Share of values beyond x"], HEIGHT)
    colors = [NEUTRAL] * (len(order) - COLORED) + distinct_colors(min(COLORED, len(order)))
    end = float(reach.max())
    curves = [_gaussian(end, quantile, sizes.shape[1])]
    for unit, color in zip(order, colors, strict=True):
        name, bright = str(values["unit"].values[unit]), color != NEUTRAL
        x = np.linspace(1, reach[unit], POINTS)
        beyond = (sizes[unit] > x[:, None] * starts[unit]).mean(axis=1)
        y = np.log10(np.where(beyond > 0, beyond, np.nan))
        curves.append(
            Curve(name, x, y, color, width=1.8 if bright else 1.0, opacity=1 if bright else 0.5, named=bright)
        )
    draw_curves(figure, axes(0), curves, HEIGHT)
    across = {"title": {"text": f"x, in units of the {quantile:.0%} quantile".replace("%", " %")}}
    set_axes(figure, 0, across, {"title": {"text": "log10 of the share"}})
    return figure.update_layout(hovermode="closest")


def _gaussian(end: float, quantile: float, count: int) -> Curve:
    """The tail of the size of a Gaussian value that has the same quantile."""
    x = np.linspace(1, end, POINTS)
    share = halfnorm.sf(x * halfnorm.ppf(quantile))
    y = np.log10(np.where(share * count >= 1, share, np.nan))
    return Curve("Gaussian", x, y, NEUTRAL, width=1.2, dash="dot", named=False)
