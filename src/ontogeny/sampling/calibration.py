"""A sampler that sets itself: mass, step and batch from the gradients seen along the first steps of its chains."""

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
    """The mass that a calibration found, by parameter, for the next one nearby.

    Attributes:
        values: parameter name -> curvature of U by coordinate: flat, one number a free coordinate.
        indices: parameter name -> flat indices of these coordinates, or None where the parameter is free as a whole.
    """

    values: Mapping[str, Float[Tensor, " free"]] = field(repr=False)
    indices: Mapping[str, Int[Tensor, " free"] | None] = field(repr=False)

    @classmethod
    def of(cls, posterior: LocalPosterior, mass: Float[Tensor, " parameters"]) -> "Mass":
        """A flat mass in the order of the posterior's free coordinates."""
        indices = posterior.one_by_one.indices
        return cls(dict(zip(indices, mass.split(posterior.sizes), strict=True)), dict(indices))

    def on(self, posterior: LocalPosterior) -> Float[Tensor, " parameters"]:
        """The mass of the free coordinates of this posterior, which may be those of a part.

        Raises:
            InvalidArgument: for a posterior that moves parameters, or entries of them, which the mass does not cover.
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
                    expected="a calibration of a posterior that moves all that this one moves",
                    found=f"one that does not cover {name!r}",
                    instead="start=None",
                )
        return torch.cat([part.to(posterior.center) for part in found])


@dataclass(frozen=True)
class Calibration:
    """A sampler for one posterior, and what it was chosen from.

    Attributes:
        kernel, batch_size, control_variate, num_chains: what to sample with.
        largest_batch: samples that a batch may have.
        resolution: complexity, in nats, below which errors and biases count as shares of this one.
        outcome, advice: `CONVERGED`, or why the calibration refuses and what to change.
        descent: what lies below w* (see `Descent`): 0 at a minimum, of the order of the value over log n at weights
            whose data carry noise.
        quadratic, withheld: of the quadratic loss that the curvature at w* would make (`spectrum`), the value at γ, and
            the share that γ takes from that at a thousandth of γ, a lower bound unless the spectrum is `complete`; NaN
            where it is not known.
        gradient_evaluations: per-sample gradients that it took.
        trace: Dataset over `step`: loss difference of each chain, step size, batch size, largest
            curvature (in the coordinates of the mass) and inflation by minibatch noise, NaN where not measured.
        positions: where the chains stand, to go on from.
        mass: for the next calibration, at a checkpoint or part nearby.
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
    """Choose mass, step, batch and control variate for underdamped Langevin dynamics (`SGHMC`) on a posterior.

    Descent from w* finds ŵ, the minimum of U nearby, where chains start. They are stepped through windows. In each, the
    step is 0.7 over the largest frequency met so far along them (power iteration on differences of gradients). After
    each, the mass becomes the mean square of gradients, which at stationarity is the mean curvature (E[∇U∇Uᵀ] =
    E[∇²U]), shrunk towards the mean of its tensor; and friction, step and batch become those at which minibatch noise,
    measured on halves of batches, adds 3 % to the complexity (10 % under a budget), all samples if that is more than
    half of them. Minibatch gradients are corrected by those at w*. In one window chains are twice as hot, nine times
    where equipartition shows that they have not mixed, so that soft directions are reached sooner; the last two bring
    them back, and what is sampled has the caller's nβ and γ. Deterministic given the seed.

    Args:
        posterior: what is to be sampled; its batch size counts only if fixed.
        seed: root of the seed tree.
        num_chains: chains.
        budget: per-sample gradients of the whole estimate, of which the windows take up to a fifth and descent 15 %.
            Under a budget a pass over all samples at w*, which corrects gradients, is made only where the noise of
            minibatches at w* asks for it and at most half of the budget pays for it.
        resolution: complexity, in nats, below which errors and biases count as shares of this one.
        fixed_batch: keep the posterior's batch size, and bring noise down by smaller steps and more friction.
        start: `Calibration.mass` of a checkpoint nearby or of the whole network whose part this is: the first windows
            are left out.
        progress: a `Progress`, or True for a bar in the terminal.

    Returns:
        The calibration, or one whose outcome says why it refuses: chains that leave the finite numbers at the smallest
        step tried.
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
        advice="Chains leave the finite numbers at every step tried: raise localization, or lower nbeta."
        if search.failed
        else "",
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
    """What the loss would give were it quadratic, the share that γ takes of it, and whether that is all of it."""
    found = spectrum(search.first, search.seed, search.allowance.spectrum) if search.allowance.spectrum else None
    if found is None:
        return math.nan, math.nan, False
    search.spent += found.gradient_evaluations
    gamma = search.first.localization
    return found.quadratic(gamma), found.withheld(gamma), found.complete
