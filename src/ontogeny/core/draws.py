"""The schema of draws: the result of sampling, in ArviZ groups with dimensions `(chain, draw, ...)`.

- `posterior`
    - `loss_difference`: L_B(w) - L_B(w*) on the same minibatch B;
    - per-sample losses of each observable at w.
- `sample_stats`
    - `loss` L_B(w), `loss_at_center` L_B(w*), `distance` |w - w*|, `virial` (w - ŵ)·∇U_B(w) / P;
    - `energy` U_B(w) - U_B(w*), and ½|p|² of kernels that keep a momentum p;
    - `pull` γ (w - ŵ)·(w - w*), `shift` γ (ŵ - w*)·(w - ŵ); without a descent ŵ is w*;
    - `residual` (fold) ∇U(ŵ)·(w - ŵ), by ∇U on samples that a descent on a batch did not use;
    - `control` (∇L_B(w*) - ∇L(w*))·(w - w*), of mean 0, under a control variate;
    - `inflation`: what steps and minibatches add to nβ·loss_difference, by the kernel's formula at the draw;
    - `excess`: what steps and minibatches add to the virial;
    - `heat`: variance injected by the minibatch, relative to that by the kernel; every tenth draw;
    - `failed_at` (chain): the step at which a chain diverged (was no longer finite), or NaN;
    - `half_loss`, `half_virial` (half): loss_difference and virial on each half; every tenth draw;
    - `heat_held`: the part of `heat` in directions that γ alone confines; `heat_along`: the heat along the minibatch
      error, relative to the kernel's, where `heat` is a mean over all directions; both every tenth draw;
    - `NAME_slope`: g·(w - w*), with g the gradient at w* of an observable's mean loss.
- `warmup_posterior`, `warmup_sample_stats`: the same during warm-up, which no estimator reads.
- `calibration`, of calibrated samplers: the trace behind their settings, by step (see `og.calibrate`).
- `constant_data`: `NAME_at_center`, each observable's per-sample losses at w*.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

# variable -> (group, dimensions, shape)
Layout = Mapping[str, tuple[str, tuple[str, ...], tuple[int, ...]]]


@dataclass(frozen=True)
class SamplingSettings:
    """All settings of the draws, printed with every result. With model and data they reproduce it.

    Attributes:
        nbeta: n·β, the effective inverse temperature (default n / log n).
        localization: γ of the Gaussian that confines the chain to the center.
        kernel: the kernel's name; step_size: its ε.
        num_samples: n, the size of the dataset; batch_size: samples per gradient.
        thinning: steps from one recorded draw to the next.
        gradient_evaluations: per-sample gradients spent, warm-up included, over all chains.
        resolution: complexity in nats; errors and biases are taken as shares of it where the complexity is smaller.
        step_error: relative error added for finite steps where the loss is not quadratic.
        descent, descent_error: nβ (L(w*) - L(ŵ)) from a descent from w*, if one was made, and its standard error.
        quadratic, withheld: the value under the quadratic approximation at w*, and the share that γ removes, if
            computed. The share is a lower bound unless the spectrum is `complete`.
        control_variate: whether minibatch gradients were corrected by those at w*, with chains sharing minibatches.
        not_finite: the samples whose loss at w* is not finite, and their count, if that stopped a chain.
    """

    nbeta: float
    localization: float
    kernel: str
    step_size: float
    num_chains: int
    num_draws: int
    num_warmup: int
    thinning: int
    batch_size: int
    seed: int
    num_samples: int
    restriction: str
    num_parameters: int
    gradient_evaluations: int
    control_variate: bool = False
    descent: float | None = None
    descent_error: float = 0.0
    resolution: float = 0.0
    step_error: float = 0.0
    quadratic: float | None = None
    withheld: float = 0.0
    complete: bool = False
    not_finite: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "SamplingSettings":
        return cls(**json.loads(text))


def settings_of(draws: xr.DataTree) -> SamplingSettings:
    """The settings stored in the attributes of draws."""
    return SamplingSettings.from_json(draws.attrs["settings"])


def with_descent(draws: xr.DataTree, value: float, error: float, gradient_evaluations: int) -> xr.DataTree:
    """Add the result and cost of a descent from w* to the settings of the draws."""
    settings = settings_of(draws)
    spent = settings.gradient_evaluations + gradient_evaluations
    draws.attrs["settings"] = replace(
        settings, descent=value, descent_error=error, gradient_evaluations=spent
    ).to_json()
    return draws


class MemorySink:
    """Collects draws in pre-allocated arrays; `close` returns them as a DataTree."""

    def open(self, variables: Layout) -> None:
        self._layout = dict(variables)
        self._arrays = {name: np.full(shape, np.nan, np.float32) for name, (_, _, shape) in variables.items()}

    def write(self, variable: str, index: tuple[int | slice, ...], value: Any) -> None:
        self._arrays[variable][index] = value

    def close(self, attrs: Mapping[str, Any]) -> xr.DataTree:
        return as_tree(self._layout, self._arrays, attrs)


def as_tree(layout: Layout, arrays: Mapping[str, np.ndarray], attrs: Mapping[str, Any]) -> xr.DataTree:
    """Arrays by qualified name (`group/variable`) as a DataTree with integer `chain` and `draw` coordinates."""
    variables: dict[str, dict[str, tuple[tuple[str, ...], np.ndarray]]] = {}
    sizes: dict[str, dict[str, int]] = {}
    for name, (group, dims, shape) in layout.items():
        variables.setdefault(group, {})[name.removeprefix(group + "/")] = dims, arrays[name]
        sizes.setdefault(group, {}).update(zip(dims, shape, strict=True))
    # each group at once: adding variables one by one realigns all earlier ones every time
    groups = {
        group: xr.Dataset(held, {dim: np.arange(size) for dim, size in sizes[group].items()})
        for group, held in variables.items()
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(attrs)
    return tree


def joined(
    trees: Sequence[xr.DataTree], num_warmup: int, settings: SamplingSettings, calibration: xr.Dataset
) -> xr.DataTree:
    """Join successive rounds of the same chains.

    The first `num_warmup` draws become warm-up, and the trace of the calibration its own group.
    """
    groups: dict[str, xr.Dataset] = {}
    if "constant_data" in trees[0]:
        groups["constant_data"] = trees[0]["constant_data"].to_dataset()
    for group in ("posterior", "sample_stats"):
        parts = [tree[group].to_dataset() for tree in trees]
        whole = xr.concat([part.drop_vars("failed_at", errors="ignore") for part in parts], dim="draw")
        whole = whole.assign_coords(draw=np.arange(whole.sizes["draw"]))
        warm, kept = whole.isel(draw=slice(num_warmup)), whole.isel(draw=slice(num_warmup, None))
        groups[f"warmup_{group}"] = warm
        groups[group] = kept.assign_coords(draw=np.arange(kept.sizes["draw"]))
    groups["calibration"] = calibration
    groups["sample_stats"]["failed_at"] = trees[-1]["sample_stats"]["failed_at"]
    tree = xr.DataTree.from_dict(groups)
    tree.attrs["settings"] = settings.to_json()
    return tree
