"""Draws that are exact, independent samples of a known posterior, in the tree that `sample` returns."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import xarray as xr
from scipy.signal import fftconvolve

from ontogeny.core.draws import SamplingSettings, as_tree

CHAINS = 4


class Crossing:
    """A w₁^(2k₁) w₂^(2k₂) … of any number of factors, by the density of the logarithm of the product.

    Args:
        exponents: the kᵢ ≥ 1.
        box: weights uniform on [-1, 1] in place of the localizing Gaussian of γ = 1.
    """

    step = 0.01

    def __init__(self, *exponents: int, box: bool = False) -> None:
        log = np.arange(-160, 8, self.step)
        self.density = np.ones(1)
        for k in exponents:
            y = log / (2 * k)
            factor = np.exp(y) * (y < 0) if box else np.exp(y - np.exp(2 * y) / 2)
            self.density = fftconvolve(self.density, factor)
            self.density /= self.density.max()
        self.log = -160 * len(exponents) + self.step * np.arange(len(self.density))

    def weights(self, nbeta: float) -> np.ndarray:
        weights = np.maximum(self.density, 0) * np.exp(-nbeta * np.exp(np.minimum(self.log, 50)))
        return weights / weights.sum()

    def llc(self, nbeta: float) -> float:
        return float(self.weights(nbeta) @ np.exp(self.log) * nbeta)

    def sample(self, nbeta: float, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        """Independent losses at nβ; within a cell of the grid the logarithm is uniform."""
        cells = random.choice(len(self.log), shape, p=self.weights(nbeta))
        return np.exp(self.log[cells] + self.step * random.uniform(-0.5, 0.5, shape))


def tree(
    nbeta: float,
    difference: np.ndarray,
    *,
    seed: int = 0,
    num_samples: int = 8,
    batch_size: int = 8,
    localization: float = 1.0,
    observables: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    slopes: Mapping[str, np.ndarray] | None = None,
    again: np.ndarray | None = None,
    loss_at_center: float = 0.0,
    distance: np.ndarray | None = None,
    failed_at: np.ndarray | None = None,
    inflation: float | None = None,
) -> xr.DataTree:
    """Draws at nβ whose paired losses are given, observables as (at each draw, at the center)."""
    settings = SamplingSettings(
        **{"nbeta": nbeta, "localization": localization, "kernel": "exact", "step_size": 0.0, "seed": seed},
        **{"num_chains": len(difference), "num_draws": difference.shape[1], "num_warmup": 0, "thinning": 1},
        **{"batch_size": batch_size, "num_samples": num_samples, "restriction": "all", "num_parameters": 2},
        **{"gradient_evaluations": 0},
    )
    trace = ("chain", "draw")
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "posterior/loss_difference": (trace, difference),
        "warmup_posterior/loss_difference": (trace, difference[:, :0]),
        "sample_stats/loss": (trace, difference + loss_at_center),
        "sample_stats/distance": (trace, np.zeros_like(difference) if distance is None else distance),
        "sample_stats/failed_at": (("chain",), np.full(len(difference), np.nan) if failed_at is None else failed_at),
    }
    if inflation is not None:
        arrays["sample_stats/inflation"] = (trace, np.full(difference.shape, inflation))
    if again is not None:
        arrays["posterior/loss_difference_again"] = (trace, again)
    for name, (losses, at_center) in (observables or {}).items():
        arrays[f"posterior/{name}"] = ((*trace, f"{name}_sample"), losses)
        arrays[f"constant_data/{name}_at_center"] = ((f"{name}_sample",), at_center)
    for name, slope in (slopes or {}).items():
        arrays[f"sample_stats/{name}_slope"] = (trace, slope)
    layout = {name: (name.split("/")[0], dims, array.shape) for name, (dims, array) in arrays.items()}
    return as_tree(layout, {name: array for name, (_, array) in arrays.items()}, {"settings": settings.to_json()})


@pytest.fixture(scope="session")
def make_tree() -> Callable[..., xr.DataTree]:
    return tree


@pytest.fixture(scope="session")
def crossing() -> type[Crossing]:
    return Crossing
