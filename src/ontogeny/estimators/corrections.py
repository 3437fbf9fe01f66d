"""Corrections of the complexity: what steps and minibatches add, and what a descent on few samples misses."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from ontogeny.core.draws import SamplingSettings
from ontogeny.estimators.summary import mean_of

MIDDLE = 0.75  # of what a descent on few samples misses: between the half and the whole (`along_tangent`)


def inflation_of(trace: Callable[[str], np.ndarray], settings: SamplingSettings) -> tuple[float, float]:
    """Bias from steps and minibatches: the kernel's prediction, without noise in directions that only γ confines.

    Noise of relative variance `heat` adds ½ P heat where the loss alone confines the chain, and nothing where γ alone
    does. `heat_held` is the part that γ holds, but measured on chains that are heated themselves: too large by up to
    `heat_along`. The result is the middle of both bounds. Its error is half of their distance, and the Monte Carlo
    error of the draws at which the noise was measured, which are few.
    """
    found, heat, held = mean_of(trace("inflation")), mean_of(trace("heat")), trace("heat_held")
    if math.isnan(found):
        return 0.0, 0.0
    if math.isnan(mean_of(held)) or not settings.localization:
        return found, 0.0
    sized = max(mean_of(held), 0.0)
    doubled = max(float(np.nan_to_num(mean_of(held * trace("heat_along")))), 0.0)
    most = min(sized, heat) * settings.num_parameters / 2
    least = min(sized**2 / (sized + doubled) if sized else 0.0, heat) * settings.num_parameters / 2
    each = trace("inflation") - held * settings.num_parameters / 2
    each = each[np.isfinite(each)]  # tens of steps apart
    error = float(each.std()) / math.sqrt(each.size)
    return found - (most + least) / 2, math.hypot((most - least) / 2, error)


def along_tangent(stats: Any, kept: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, "chain draw"]:
    """The slope of the tangent T along w - ŵ, with its sign turned; zero without a descent.

    At the minimum ŵ of U the slope of nβL is -γ (ŵ - w*), known without error. A descent on few samples ends at some
    distance d from it, where U has the slope r = -(A + γ) d, with A the Hessian of nβL. The complexity would then be
    low by q/2 to q, with q = -r·(E[w] - ŵ) = d·(A + γ) d ≥ 0: by γ|d|² + ½ d·A d for a quadratic loss. r is measured
    on samples that the descent did not use, and the middle of both bounds is added.
    """
    found = stats.get("shift")
    if found is None:
        return np.zeros(shape)
    shift = np.nan_to_num(np.asarray(found, dtype=np.float64)[kept])
    residual = stats.get("residual")
    return shift if residual is None else shift - MIDDLE * np.asarray(residual, dtype=np.float64)[kept].mean(-1)


def missed_by_descent(stats: Any, kept: np.ndarray) -> tuple[float, float]:
    """The q of `along_tangent`, and its error by samples; 0 after a descent on all samples."""
    residual = stats.get("residual")
    if residual is None or not kept.any():
        return 0.0, 0.0
    folds = np.asarray(residual, dtype=np.float64)[kept].mean((0, 1))
    return abs(float(folds.mean())), float(folds.std(ddof=1)) / math.sqrt(len(folds)) if len(folds) > 1 else 0.0
