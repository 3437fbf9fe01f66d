"""Calibration: mass, step size and batch size are set from gradients along the first steps of the chains."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import picked
from ontogeny.sampling.allowance import allow
from ontogeny.sampling.descent import Descent
from ontogeny.sampling.kernels import SGHMC
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.spectrum import spectrum
from ontogeny.sampling.tuning import TUNING
from ontogeny.sampling.windows import Search
from ontogeny.terminal import as_progress


@dataclass(frozen=True)
class Mass:
    """The mass that a calibration found, by parameter, to start the next calibration nearby.

    Attributes:
        values: parameter name -> curvature of U, flat, one number per free coordinate.
        indices: parameter name -> flat indices of these coordinates, or None where the whole parameter is free.
    """

    values: Mapping[str, Float[Tensor, " free"]] = field(repr=False)
    indices: Mapping[str, Int[Tensor, " free"] | None] = field(repr=False)

    @classmethod
    def of(cls, posterior: LocalPosterior, mass: Float[Tensor, " parameters"]) -> "Mass":
        """A flat mass in the order of the posterior's free coordinates."""
        indices = posterior.one_by_one.indices
        return cls(dict(zip(indices, mass.split(posterior.sizes), strict=True)), dict(indices))

    def on(self, posterior: LocalPosterior) -> Float[Tensor, " parameters"]:
        """The mass of this posterior's free coordinates, which may be a subset of those calibrated.

        Raises:
            InvalidArgument: if the posterior moves parameters, or entries of parameters, that the mass does not cover.
        """
        found = [posterior.center[:0]]
        for name, index in posterior.one_by_one.indices.items():
            known = self.indices.get(name, torch.empty(0))
            if name in self.values and known is None:
                found.append(picked(self.values[name], index).flatten())
            elif name in self.values and index is not None and known is not None and torch.equal(known, index):
                found.append(self.values[name])
            else:
                raise InvalidArgument(
                    "start",
                    expected="a calibration whose posterior moves every coordinate that this one moves",
                    found=f"one that does not cover {name!r}",
                    instead="start=None",
                )
        return torch.cat([part.to(posterior.center) for part in found])


@dataclass(frozen=True)
class Calibration:
    """A sampler calibrated for one posterior, and the measurements behind it.

    Attributes:
        kernel, batch_size, control_variate, num_chains: what to sample with.
        largest_batch: largest batch size allowed.
        resolution: complexity in nats; errors and biases are taken as shares of it where the complexity is smaller.
        outcome, advice: `CONVERGED`, or why the calibration failed and what to change.
        descent: how far the loss falls below w* (see `Descent`). It is 0 at a minimum, and of the order of the value
            over log n where the data are noisy.
        quadratic, withheld: from the quadratic approximation of the loss at w* (`spectrum`): the value at γ, and the
            share that γ removes relative to γ/1000. The share is a lower bound unless the spectrum is `complete`. NaN
            if unknown.
        gradient_evaluations: per-sample gradients spent.
        trace: Dataset over `step`: loss difference of each chain, step size, batch size, largest curvature (in the
            coordinates of the mass) and inflation by minibatch noise. NaN where not measured.
        positions: current positions of the chains, from which sampling continues.
        mass: starting mass for a calibration at a nearby checkpoint or of a component.
    """

    kernel: SGHMC
    batch_size: int
    control_variate: bool
    num_chains: int
    largest_batch: int
    resolution: float
    outcome: Outcome
    advice: str
    descent: Descent = field(repr=False)
    quadratic: float
    withheld: float
    complete: bool
    gradient_evaluations: int
    trace: xr.Dataset = field(repr=False)
    positions: Float[Tensor, "chain parameters"] = field(repr=False)
    mass: Mass = field(repr=False)


def calibrate(
    posterior: LocalPosterior,
    seed: int = 0,
    *,
    num_chains: int = 4,
    budget: int | None = None,
    resolution: float = TUNING.resolution,
    fixed_batch: bool = False,
    start: Mass | None = None,
    progress: Progress | bool = False,
) -> Calibration:
    """Choose mass, step size, batch size and control variate for underdamped Langevin dynamics (`SGHMC`).

    Descent from w* finds ŵ, the nearby minimum of U, where the chains start. They then run through a series of windows.
    Within a window the step size is 0.7 divided by the largest frequency seen so far, found by power iteration on
    gradient differences. After each window the mass is set to the mean squared gradient, shrunk towards the mean of its
    tensor. At stationarity this is the mean curvature, since E[∇U∇Uᵀ] = E[∇²U]. Friction, step size and batch size are
    then set so that minibatch noise, measured on halves of batches, adds 3 % to the complexity (10 % under a budget).
    If the batch would exceed half of the samples, all of them are used. Minibatch gradients use a control variate at
    w*, unless it adds noise where the chains are. One window is tempered to reach soft directions sooner: the
    temperature is doubled, or multiplied by nine where equipartition shows that the chains have not mixed. The last
    two windows return to the caller's nβ and γ, at which all draws are made. Deterministic given the seed.

    Args:
        posterior: the posterior to sample; its batch size is used only with `fixed_batch`.
        seed: root of the seed tree.
        num_chains: number of chains.
        budget: per-sample gradients for the whole estimate. The windows take up to a fifth and the descent up to 15 %.
            Under a budget the control variate, which needs a pass over all samples at w*, is used only if minibatch
            noise at w* calls for it and the pass costs at most half of the budget.
        resolution: complexity in nats; errors and biases are taken as shares of it where the complexity is smaller.
        fixed_batch: keep the posterior's batch size, and reduce noise by shorter steps and more friction.
        start: `Calibration.mass` of a nearby checkpoint, or of the whole network when this is a component. The first
            windows are skipped.
        progress: a `Progress`, or True for a bar in the terminal.

    Returns:
        The calibration. Its outcome is `DIVERGED` if chains diverge at the smallest step size tried.
    """
    reporter = as_progress(progress)
    allowance = allow(posterior, num_chains, budget, fixed_batch)
    mass = None if start is None else start.on(posterior)
    search = Search(posterior, seed, num_chains, allowance, resolution, mass)
    reporter.start("calibrating", sum(allowance.windows[number] for number in search.windows))
    for _ in range(TUNING.retries):
        search.begin()
        if all(search.window(number, reporter) for number in search.windows):
            break
    reporter.finish("calibrating")
    return _result(posterior, search)


def _result(posterior: LocalPosterior, search: Search) -> Calibration:
    chains, outcome = search.chains, Outcome.DIVERGED if search.failed else Outcome.CONVERGED
    quadratic, withheld, complete = _quadratic(search)
    names = ("step_size", "batch_size", "curvature", "inflation")
    columns = {name: np.array([float(row.get(name, math.nan)) for row in search.rows]) for name in names}
    traces = np.array(search.traces)
    trace = xr.Dataset(
        {"loss_difference": (("step", "chain"), traces / search.first.nbeta), "nbeta": search.first.nbeta}
        | {name: ("step", column) for name, column in columns.items()},
        coords={"step": np.arange(len(search.rows)), "chain": np.arange(search.num_chains)},
    )
    return Calibration(
        kernel=chains.kernel,  # type: ignore[arg-type]
        batch_size=chains.posterior.batch_size,
        control_variate=chains.control_variate,
        num_chains=search.num_chains,
        largest_batch=search.allowance.largest,
        resolution=search.resolution,
        outcome=outcome,
        advice="Chains diverge at every step size tried: raise localization, or lower nbeta." if search.failed else "",
        descent=search.descent,
        quadratic=quadratic,
        withheld=withheld,
        complete=complete,
        gradient_evaluations=search.spent + chains.gradient_evaluations + search.curvature.spent,
        trace=trace,
        positions=chains.positions,
        mass=Mass.of(posterior, search.scale**-2),
    )


def _quadratic(search: Search) -> tuple[float, float, bool]:
    """The value under a quadratic approximation, the share that γ removes, and whether the spectrum is complete."""
    found = spectrum(search.first, search.seed, search.allowance.spectrum) if search.allowance.spectrum else None
    if found is None:
        return math.nan, math.nan, False
    search.spent += found.gradient_evaluations
    gamma = search.first.localization
    return found.quadratic(gamma), found.withheld(gamma), found.complete
