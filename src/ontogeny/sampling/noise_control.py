"""The nβ = 0 control: weights perturbed isotropically, as far from w* as the draws that they control."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress
from ontogeny.estimators.quantity import finite
from ontogeny.sampling.kernels import SGLD
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.samplers import Fixed


def weight_noise(
    posterior: LocalPosterior,
    draws: xr.DataTree,
    *,
    observables: Mapping[str, Any],
    seed: int = 0,
    progress: Progress | bool = False,
) -> xr.DataTree:
    """Independent draws w ~ N(w*, r²/P) of the same free weights, with r² the mean |w - w*|² of `draws` (`radius_of`).

    Chains that diverged do not count.

    What an estimate shows on these draws as well is geometry of the weights, not of the loss of the sampled data.

    Args:
        posterior: the one that `draws` came from.
        draws: from it; their displacement and their numbers of chains and draws are used.
        observables: name -> samples whose losses are recorded at every draw.
        seed: root of the seed tree; give another than that of `draws`.
        progress: a `Progress`, or True for a bar in the terminal.

    Raises:
        InvalidArgument: for draws of which every chain diverged, or one is infinitely far from w*.

    Returns:
        Draws at nβ = 0 (see `ontogeny.core.draws`).
    """
    radius = radius_of(draws)
    if not (finite(draws, "sample_stats/distance").size and math.isfinite(radius)):
        found = "one infinitely far away" if radius else "none"
        raise InvalidArgument("draws", expected="chains that did not diverge", found=found)
    variance = max(radius**2 / max(posterior.num_parameters, 1), 1e-30)
    at_random = posterior.at(nbeta=0.0, localization=2 / variance)
    lengths = {"num_chains": draws["posterior"].sizes["chain"], "num_draws": draws["posterior"].sizes["draw"]}
    # at nβ = 0 and ε = 2/γ steps are independent of each other; the first draw is at w*
    fixed = Fixed(kernel=SGLD(variance), num_warmup=1, **lengths)
    return fixed.draw(at_random, observables=observables, seed=seed, progress=progress)


def radius_of(draws: xr.DataTree) -> float:
    """Root mean square distance from w* over the chains that never diverged; 0 if all did."""
    distances = finite(draws, "sample_stats/distance")
    return math.sqrt(float(np.mean(distances**2))) if distances.size else 0.0
