"""Probes at several sites of a network as one Dataset, and their R² within kinds of context."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped

from ontogeny.probes.probe import Probe


def over_sites(probes: Mapping[str, Probe]) -> xr.Dataset:
    """`Probe.to_dataset` over `site`, with the mean of the shuffles (`shuffled_mean`) beside them.

    Probes of the same contexts at one seed share their shuffles, so that the best of several sites can be held against
    the best of each shuffle.

    Args:
        probes: site -> probe, all of the same targets, rivals and config.
    """
    rows = [probe.to_dataset() for probe in probes.values()]
    found = xr.concat(rows, dim="site", combine_attrs="drop").assign_coords(site=list(probes))
    return found.assign(shuffled_mean=("site", [float(probe.shuffled_r2.mean()) for probe in probes.values()]))


def r2_within(
    labels: Shaped[np.ndarray, " context"],
    target: Float[np.ndarray, "context dimension"],
    predicted: Float[np.ndarray, "context dimension"],
    weights: Float[np.ndarray, " context"],
) -> list[float]:
    """R² among the contexts of each label, about their own mean, in the order of `np.unique(labels)`.

    1 − Σ w |y − ŷ|² / Σ w |y − ȳ|², ȳ of that label: a probe that knows the label alone has 0, whatever its R² over
    all contexts. NaN where the targets of a label do not differ.
    """
    found = []
    for label in np.unique(labels):
        at = labels == label
        weight, true = weights[at], target[at]
        error = weight @ ((true - predicted[at]) ** 2).sum(1)
        spread = weight @ ((true - weight @ true / weight.sum()) ** 2).sum(1)
        found.append(float(1 - error / spread) if spread > 1e-12 * (weight @ (true**2).sum(1)) else float("nan"))
    return found
