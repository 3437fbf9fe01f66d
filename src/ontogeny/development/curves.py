"""Features of a curve along training: half time, steepest rise and relative fall; and bootstrap resamples."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int, Real

Steps = Real[np.ndarray, " step"]
_LEVEL = (0.025, 0.975)


def half_time(steps: Steps, curve: Real[np.ndarray, " step"]) -> float:
    """Step at which a curve first reaches half of its final value, interpolated in log step.

    Args:
        steps: increasing; step 0 counts as 1.
        curve: value at each step; its last one is taken as final.
    """
    reached = np.flatnonzero(curve >= curve[-1] / 2)[0]
    if reached == 0:
        return float(max(steps[0], 1))
    low, high = np.log10(np.maximum(steps[reached - 1 : reached + 1], 1))
    part = (curve[-1] / 2 - curve[reached - 1]) / (curve[reached] - curve[reached - 1])
    return float(10 ** (low + part * (high - low)))


def steepest(steps: Steps, curve: Real[np.ndarray, " step"], *, smoothing: float = 0.08, first_step: int = 1) -> float:
    """Step at which a curve, smoothed by a Gaussian kernel in log step, rises most per decade. For a fall pass -curve.

    Args:
        steps: increasing; step 0 counts as a half.
        curve: value at each step.
        smoothing: standard deviation of the kernel, in decades.
        first_step: earlier steps are ignored.
    """
    x = np.log10(np.maximum(steps, 0.5))
    grid = np.linspace(np.log10(first_step), x[-1], 400)
    weights = np.exp(-0.5 * ((grid[:, None] - x) / smoothing) ** 2)
    smooth = weights @ curve / weights.sum(axis=1)
    return float(10 ** grid[np.gradient(smooth, grid).argmax()])


def falls(
    values: Float[np.ndarray, "curve step"], errors: Float[np.ndarray, "curve step"]
) -> tuple[Float[np.ndarray, " curve"], Float[np.ndarray, " curve"]]:
    """Relative fall of each curve from its peak to its end, and its standard error.

    Args:
        values, errors: NaN where there is no usable estimate.

    Returns:
        fall, error: NaN if less than half of a curve is usable, or its end is not; 0 for a curve that ends at its peak.
    """
    fall, error = np.full((2, len(values)), np.nan)
    for row, (curve, spread) in enumerate(zip(values, errors, strict=True)):
        if np.isfinite(curve).mean() < 0.5 or not np.isfinite(curve[-1]):
            continue
        peak = int(np.nanargmax(curve))
        fall[row] = (curve[peak] - curve[-1]) / curve[peak]
        error[row] = 0.0 if peak == len(curve) - 1 else np.hypot(spread[peak], spread[-1]) / curve[peak]
    return fall, error


def resamples(size: int, count: int, rng: np.random.Generator) -> Int[np.ndarray, "count size"]:
    """Rows of `size` indices drawn with replacement, for example to bootstrap over probe sequences."""
    return rng.integers(size, size=(count, size))


def bootstrap(
    statistic: Callable[[Int[np.ndarray, " size"]], float], size: int, count: int, rng: np.random.Generator
) -> Float[np.ndarray, " count"]:
    """A statistic of the selected units, on `count` bootstrap resamples."""
    return np.array([statistic(chosen) for chosen in resamples(size, count, rng)])


def interval(resampled: Float[np.ndarray, " count"]) -> tuple[float, float]:
    """The central 95 % of a bootstrap. It covers the variation of the resampled units, not that between seeds."""
    low, high = np.quantile(resampled, _LEVEL)
    return float(low), float(high)


def spaced_in_log(steps: Sequence[int], count: int) -> list[int]:
    """The `steps` ≥ 1 nearest to `count` values evenly spaced in log step, including the first and last."""
    trained = np.array([step for step in steps if step >= 1])
    wanted = np.geomspace(trained[0], trained[-1], count)
    return sorted({int(trained[np.abs(np.log(trained / step)).argmin()]) for step in wanted})


def log_ratio(
    upper: Float[np.ndarray, " unit"],
    upper_error: Float[np.ndarray, " unit"],
    lower: Float[np.ndarray, " unit"],
    lower_error: Float[np.ndarray, " unit"],
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """ln(upper / lower) and its standard error; NaN if either is not positive."""
    ratio, error = np.full((2, len(upper)), np.nan)
    at = (upper > 0) & (lower > 0)
    ratio[at] = np.log(upper[at] / lower[at])
    error[at] = np.hypot(upper_error[at] / upper[at], lower_error[at] / lower[at])
    return ratio, error
