"""The schema of draws: what a sampling run leaves behind, in ArviZ groups with dimensions `(chain, draw, ...)`.

| group | variables |
|---|---|
| `posterior` | `loss_difference`: L_B(w) - L_B(w*) on the same minibatch B; per-sample losses of each observable at w |
| `sample_stats` | `loss` L_B(w), `loss_at_center` L_B(w*), `distance` |w - w*|, `virial` (w - ŵ)·∇U_B(w) / P |
| `sample_stats` | `pull` γ (w - ŵ)·(w - w*), `shift` γ (ŵ - w*)·(w - ŵ); ŵ is w* where no descent was made |
| `sample_stats` | `control` (∇L_B(w*) - ∇L(w*))·(w - w*), of mean 0, under a control variate |
| `sample_stats` | `inflation` what steps and minibatches add to nβ·loss_difference, as the kernel sees it at the draw |
| `sample_stats` | `excess` what steps and minibatches add to the virial |
| `sample_stats` | `heat` variance injected by the minibatch over that injected by the kernel; every tenth draw |
| `sample_stats` | `failed_at` (chain): the step at which a chain left the finite numbers, or NaN |
| `sample_stats` | `half_loss`, `half_virial` (half): loss_difference and virial on each half; every tenth draw |
| `sample_stats` | `half_product` |nβ∇L(w)|², the product of both halves' gradients; every tenth draw |
| `warmup_posterior`, `warmup_sample_stats` | the same during warm-up, which no estimator reads |
| `calibration` | of calibrated runs: what the sampler was set from, by step (see `og.calibrate`) |
| `constant_data` | `NAME_at_center`: each observable's per-sample losses at w* |
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
    """Everything that was set when draws were made, printed with every result; with model and data it can be run again.

    Attributes:
        nbeta: n·β, the effective inverse temperature (default n / log n).
        localization: γ of the Gaussian that holds the chain at the center.
        kernel: the kernel's name; step_size: its ε.
        num_samples: n, the size of the dataset; batch_size: samples a gradient is taken on.
        thinning: steps from one recorded draw to the next.
        gradient_evaluations: per-sample gradients spent, warm-up included, over all chains.
        resolution: complexity, in nats, below which errors and biases count as shares of this one.
        step_error: relative error that is counted for finite steps where the loss is not quadratic.
        descent, descent_error: nβ (L(w*) - L(ŵ)) found by descent from w*, where one was made, and its standard error.
        quadratic, withheld: what the quadratic at w* would give, and the share of it that γ takes, if it was looked at;
            that share is a lower bound unless the spectrum is `complete`.
        control_variate: whether minibatch gradients were corrected by those at w*, chains sharing the minibatches.
        not_finite: numbers of samples whose loss at w* is not finite, and how many, if that is what stopped a chain.
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
    """The settings that draws carry in their attributes."""
    return SamplingSettings.from_json(draws.attrs["settings"])


def with_descent(draws: xr.DataTree, value: float, error: float, gradient_evaluations: int) -> xr.DataTree:
    """The draws with what a descent from w* found, and what it cost, in their settings."""
    settings = settings_of(draws)
    spent = settings.gradient_evaluations + gradient_evaluations
    draws.attrs["settings"] = replace(
        settings, descent=value, descent_error=error, gradient_evaluations=spent
    ).to_json()
    return draws


class MemorySink:
    """Collects draws in pre-allocated arrays; `close` gives them as a DataTree."""

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
    # each group at once: variables that are added one by one are aligned with all before them, every time
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
    """Successive rounds of the same chains as one run whose first `num_warmup` draws are warm-up, with the trace of
    its calibration as a group of its own.
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
