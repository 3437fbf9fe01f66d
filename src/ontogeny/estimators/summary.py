"""Mean of a trace, its Monte Carlo error, and how far its chains agree."""

import math

import numpy as np
from arviz_stats.base import array_stats
from jaxtyping import Float

AXES = {"chain_axis": 0, "draw_axis": 1}
_BLOCK = 5  # draws: a quarter of an oscillation at calibrated step sizes


def summarize(trace: Float[np.ndarray, "chain draw"], shared: bool = False) -> tuple[float, float, float, float, float]:
    """Mean, Monte Carlo error, R-hat, bulk and tail ESS of a trace; NaN if there are too few draws.

    Chains that share minibatches are not independent, so their error is at least that of the mean over chains. The
    error of means over `_BLOCK` draws is used as well. The energy of an underdamped kernel oscillates, and the sum over
    its autocorrelation would stop at the first trough.
    """
    if trace.size == 0:
        return (math.nan,) * 5
    if trace.shape[1] < 4 or not np.ptp(trace):
        return float(trace.mean()), *(math.nan,) * 4
    mcse = _error(trace)
    if shared:
        mcse = max(mcse, _error(trace.mean(0, keepdims=True)))
    ess = float(array_stats.ess(trace, **AXES))
    tail = float(array_stats.ess(trace, method="tail", prob=(0.05, 0.95), **AXES))
    return float(trace.mean()), mcse, float(array_stats.rhat(trace, **AXES)), ess, tail


def _error(trace: Float[np.ndarray, "chain draw"]) -> float:
    """Monte Carlo error of the mean: the larger of that from the draws and that from means over blocks of them."""
    blocks = trace.shape[1] // _BLOCK
    swung = trace[:, trace.shape[1] - blocks * _BLOCK :].reshape(len(trace), blocks, _BLOCK).mean(2)
    asked = [trace, swung] if blocks >= 4 else [trace]
    return max(float(array_stats.mcse(each, method="mean", **AXES)) for each in asked)


def mean_of(trace: np.ndarray) -> float:
    """Mean of the numbers that were measured; NaN if none was."""
    return float(np.nanmean(trace)) if np.isfinite(trace).any() else math.nan
