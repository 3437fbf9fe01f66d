"""The share of the complexity that localization removes."""

import math

import numpy as np
import xarray as xr
from jaxtyping import Float

from ontogeny.core.draws import SamplingSettings
from ontogeny.estimators.summary import summarize

_QUADRATIC = 0.15  # largest relative difference between quadratic approximation and value at which the spectrum is used
_FEW = 8  # terms of all chains with which there is a share at all, and of each with which their correlation is seen


def withheld_share(
    draws: xr.DataTree,
    kept: np.ndarray,
    settings: SamplingSettings,
    energy: Float[np.ndarray, "chain draw"],
    virial: Float[np.ndarray, "chain draw"],
    pull: Float[np.ndarray, "chain draw"],
    shift: Float[np.ndarray, "chain draw"],
    complexity: float,
) -> tuple[float, float]:
    """The share that γ removes, and its error: from the draws, or from the spectrum if that is larger."""
    each = _elasticity(energy, virial, shift, complexity)
    stats = draws["sample_stats"]
    if settings.batch_size < settings.num_samples and "half_loss" in stats:  # K and V from halves that share no sample
        losses, virials = (np.asarray(stats[name], dtype=np.float64)[kept] for name in ("half_loss", "half_virial"))
        at = np.isfinite(losses).all(axis=(0, 2))
        first = settings.nbeta * losses[:, at]
        second = settings.num_parameters * virials[:, at] - pull[:, at, None]
        crossed = [_elasticity(first[..., i], second[..., 1 - i], shift[:, at], complexity) for i in (0, 1)]
        each = np.mean(crossed, axis=0)
    share, error = _mean(each, settings.control_variate)
    known = settings.quadratic is not None and complexity and abs(settings.quadratic / complexity - 1) < _QUADRATIC
    if known and (settings.complete or not settings.withheld <= share):
        return settings.withheld, 0.0 if settings.complete else error
    return share, error


def _mean(terms: Float[np.ndarray, "chain draw"], shared: bool) -> tuple[float, float]:
    """Mean and its error. Halves are taken every tenth draw, so a few of them are as good as independent."""
    if terms.shape[1] >= _FEW:
        return summarize(terms, shared=shared)[:2]
    return (float(terms.mean()), float(terms.std(ddof=1) / math.sqrt(terms.size))) if terms.size else (math.nan,) * 2


def _elasticity(
    energy: Float[np.ndarray, "chain draw"],
    virial: Float[np.ndarray, "chain draw"],
    shift: Float[np.ndarray, "chain draw"],
    complexity: float,
) -> Float[np.ndarray, "chain draw"]:
    """Terms of mean -∂ln λ̂/∂ln γ = (E[V] - Cov(K, V)) / 2λ̂.

    Here K = nβ(L - T), V = nβ(w - ŵ)·∇(L - T), and T is the tangent of L at ŵ.
    It follows by partial integration from ½γ Cov(K, |w - ŵ|²), which is far noisier.
    """
    if energy.size == 0 or energy.size < _FEW or np.isnan(virial).any() or not complexity:
        return np.full(energy.shape, math.nan)
    energy, virial = energy + shift, virial + shift
    return (virial - (energy - energy.mean()) * (virial - virial.mean())) / (2 * complexity)
