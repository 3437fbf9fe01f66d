"""Ready-made measurements: losses, learning coefficients, and any function of the model."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from ontogeny.core import arguments
from ontogeny.core.draws import settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import Restriction
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive, generator
from ontogeny.estimators import Estimate, llc
from ontogeny.measurement.protocol import Cell
from ontogeny.sampling import Calibrated, LocalPosterior, Mass, PosteriorConfig, Sampler

WHOLE = "all"
LOSS_SAMPLES = 512
RESOLVED = 0.25  # resolution of a curve, as a share of the run's largest complexity
LEAST = 0.25  # nats: least resolution of a curve, half of what one direction confined by the loss adds
TRACE = {"": 200, "warmup_": 100}  # evenly spaced draws per chain that are kept of a trace


@dataclass(frozen=True)
class Losses:
    """The loss on each dataset: `loss`, and `loss_sem`, its standard error over the samples used.

    Args:
        datasets: name -> samples.
        loss_fn: per-sample losses.
        num_samples: number of samples per dataset, the same ones at every checkpoint.
        seed: selects these samples.
    """

    datasets: Mapping[str, Any]
    loss_fn: LossFn
    num_samples: int = LOSS_SAMPLES
    seed: int = 0
    name: str = "loss"

    def cells(self) -> Sequence[Cell]:
        return [
            Cell(
                name,
                partial(_loss, data, self.loss_fn, self.num_samples, self.seed),
                (data, self.loss_fn, self.num_samples, self.seed),
                {"dataset": name},
                weight=self.num_samples / 1000,
            )
            for name, data in self.datasets.items()
        ]


@dataclass(frozen=True)
class Behaviour:
    """The result of `function(model)`: an `xr.Dataset` with its own dimensions."""

    function: Callable[[nn.Module], xr.Dataset]
    name: str = "behaviour"
    weight: float = 5.0

    def cells(self) -> Sequence[Cell]:
        return [Cell("", partial(_behaviour, self.function), self.function, weight=self.weight)]


@dataclass(frozen=True)
class LLC:
    """Learning coefficients of components on datasets, all at one nβ and γ.

    Args:
        datasets: name -> samples that the posterior is sampled on.
        loss_fn: per-sample losses.
        posterior: nβ, γ and the other settings of the posterior.
        sampler: how it is sampled.
        components: name -> restriction; None for the whole network.
        masses: step of a pilot checkpoint -> the mass found by its calibration. Each calibration starts from the
            nearest one in log step, restricted to the component.
        largest: largest complexity of the whole network. A sampler without its own resolution gets a quarter of this,
            times √(weights of the component / all weights), but at least a quarter of a nat.
        seed: root of the seed tree; each cell at each step has its own seed.
    """

    datasets: Mapping[str, Any]
    loss_fn: LossFn
    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    sampler: Sampler = field(default_factory=Calibrated)
    components: Mapping[str, Restriction | None] = field(default_factory=lambda: {WHOLE: None})
    masses: Mapping[int, Mass] = field(default_factory=dict, repr=False)
    largest: float = 0.0
    seed: int = 0
    name: str = "llc"

    def cells(self) -> Sequence[Cell]:
        budget = getattr(self.sampler, "budget", None) or 200_000
        return [
            Cell(
                (component if component != WHOLE else "whole network") + (f" on {name}" if i else ""),
                partial(self._at, component, name),
                (
                    data,
                    self.loss_fn,
                    self.posterior,
                    self.sampler,
                    restriction and (restriction.name, dict(restriction.indices)),
                    self.masses,
                    self.largest,
                    derive(self.seed, component, name),
                ),
                {"component": component, "dataset": name},
                weight=3 * budget / 1000,
            )
            for component, restriction in self.components.items()
            for i, (name, data) in enumerate(self.datasets.items())
        ]

    def _at(self, component: str, dataset: str, model: nn.Module, step: int, progress: Progress) -> xr.Dataset:
        posterior = LocalPosterior(
            model,
            self.datasets[dataset],
            self.loss_fn,
            restriction=self.components[component],
            **self.posterior.options(),
        )
        start = self.masses[min(self.masses, key=lambda pilot: _log_distance(pilot, step))] if self.masses else None
        seed = derive(self.seed, component, dataset, step)
        sampler = self._resolved(posterior.num_parameters / max(_free(model), 1))
        return as_dataset(llc(sampler.draw(posterior, seed=seed, progress=progress, start=start)), self.seed)

    def _resolved(self, share: float) -> Sampler:
        """The sampler, with its resolution set from the largest complexity."""
        if not isinstance(self.sampler, Calibrated) or self.sampler.resolution is not None:
            return self.sampler
        resolution = max(RESOLVED * self.largest * math.sqrt(share), LEAST)
        return self.sampler.model_copy(update={"resolution": resolution})


def _free(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def as_dataset(estimate: Estimate, seed: int) -> xr.Dataset:
    """An estimate as variables of a trajectory, with traces thinned to a fixed length."""
    assert estimate.draws is not None
    assert estimate.settings is not None
    names = ("mcse", "complexity", "complexity_mcse", "descent", "descent_mcse", "withheld", "withheld_mcse")
    variables: dict[str, Any] = {"llc": estimate.value} | {f"llc_{name}": getattr(estimate, name) for name in names}
    variables |= {"llc_rhat": estimate.rhat, "llc_ess": estimate.ess}
    # the verdict on the complexity; `llc_descent` shows that a checkpoint is not a minimum
    variables["llc_outcome"] = np.array(estimate.sampled.value, dtype="U16")
    variables["llc_gradients"] = estimate.settings.gradient_evaluations
    for prefix, count in TRACE.items():
        found = estimate.settings.nbeta * estimate.draws[f"{prefix}posterior"]["loss_difference"].astype(np.float64)
        if not prefix:
            found = found - (found.mean() - estimate.value)  # minus the bias of steps and minibatches
        variables[f"llc_{prefix}trace"] = _thinned(found, count).rename(draw=f"{prefix}draw")
    # the root of the seed tree is recorded; every checkpoint's own seed follows from it
    return xr.Dataset(variables, attrs={"settings": replace(settings_of(estimate.draws), seed=seed).to_json()})


def _thinned(trace: xr.DataArray, count: int) -> xr.DataArray:
    """`count` evenly spaced draws of each chain; shorter traces end in NaN."""
    length = trace.sizes["draw"]
    kept = np.linspace(0, max(length - 1, 0), min(length, count)).round().astype(int)
    return trace.isel(draw=kept).drop_vars("draw").pad(draw=(0, count - len(kept)), constant_values=np.nan)


def _loss(
    data: Any, loss_fn: LossFn, num_samples: int, seed: int, model: nn.Module, step: int, progress: Progress
) -> xr.Dataset:
    samples = Samples.of(data)
    posterior = LocalPosterior(model, samples, loss_fn, nbeta=1.0)
    chosen = torch.randperm(samples.stored, generator=generator(seed, "loss"))[:num_samples]
    parts = chosen.split(min(64, posterior.pass_size))
    losses = torch.cat([posterior.losses(posterior.center, samples, part) for part in parts]).double()
    return xr.Dataset({"loss": float(losses.mean()), "loss_sem": float(losses.std() / len(losses) ** 0.5)})


def _behaviour(
    function: Callable[[nn.Module], xr.Dataset], model: nn.Module, step: int, progress: Progress
) -> xr.Dataset:
    found = function(model)
    if not isinstance(found, xr.Dataset):
        raise InvalidArgument(
            "behaviour",
            expected="a function of the model that returns an xarray.Dataset",
            found=arguments.show(found),
            instead='lambda model: xr.Dataset({"accuracy": accuracy(model)})',
        )
    return found


def _log_distance(pilot: int, step: int) -> float:
    return abs(float(np.log((pilot + 1) / (step + 1))))


def settings_in(trajectory: xr.Dataset) -> dict[str, Any]:
    """The sampling settings stored in a trajectory; empty if it has no coefficients."""
    return json.loads(trajectory.attrs.get("settings", "{}"))
