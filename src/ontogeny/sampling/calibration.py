"""A sampler that sets itself: mass, step and batch from what the chains meet on their first steps."""

import math
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress
from ontogeny.sampling.allowance import allow
from ontogeny.sampling.kernels import SGHMC
from ontogeny.sampling.loop import as_progress
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.spectrum import spectrum
from ontogeny.sampling.windows import Search

_RETRIES = 6


@dataclass(frozen=True)
class Calibration:
    """A sampler for one posterior, and what it was chosen from.

    Attributes:
        kernel, batch_size, control_variate, num_chains: what to sample with.
        largest_batch: samples that a batch may have.
        outcome, advice: `CONVERGED`, or why the calibration refuses and what to change.
        decrease: nβ (L(w*) - L) that some steps of descent from the center found: 0 at a minimum, of the order of the
            value over log n at weights whose data carry noise; NaN where a budget did not allow to look.
        quadratic, withheld: of the quadratic loss that the curvature at w* would make (`spectrum`), the value at γ, and
            the share that γ takes from that at a thousandth of γ, a lower bound unless the spectrum is `complete`; NaN
            where it is not known.
        gradient_evaluations: per-sample gradients that it took.
        evidence: Dataset over `step`: loss difference of each chain, step size, batch size, largest
            curvature (in the coordinates of the mass) and inflation by minibatch noise, NaN where not measured.
        positions: where the chains stand, to go on from.
    """

    kernel: SGHMC
    batch_size: int
    control_variate: bool
    num_chains: int
    largest_batch: int
    outcome: Outcome
    advice: str
    decrease: float
    quadratic: float
    withheld: float
    complete: bool
    gradient_evaluations: int
    evidence: xr.Dataset = field(repr=False)
    positions: Float[Tensor, "chain parameters"] = field(repr=False)


def calibrate(
    posterior: LocalPosterior,
    seed: int = 0,
    *,
    num_chains: int = 4,
    budget: int | None = None,
    fixed_batch: bool = False,
    progress: Progress | bool = False,
) -> Calibration:
    """Choose mass, step, batch and control variate for underdamped Langevin dynamics (`SGHMC`) on a posterior.

    Chains start at w* and are stepped through windows. In each, the step is 0.7 over the largest frequency met so far
    along them (power iteration on differences of gradients). After each, the mass becomes the mean square of gradients,
    which at stationarity is the mean curvature (E[∇U∇Uᵀ] = E[∇²U]), shrunk towards the mean of its tensor; and
    friction, step and batch become those at which minibatch noise, measured on halves of batches, adds 3 % to the
    value, all samples if that is more than half of them. Minibatch gradients are corrected by those at w*. In one
    window chains are twice as hot, nine times where equipartition shows that they have not mixed, so that soft
    directions are reached sooner; the last two bring them back, and what is sampled has the caller's nβ and γ.
    Deterministic given the seed.

    Args:
        posterior: what is to be sampled; its batch size counts only if fixed.
        seed: root of the seed tree.
        num_chains: chains.
        budget: per-sample gradients of the whole estimate, of which the windows take up to a fifth beside the pass at
            w*; below twice the data gradients are not corrected by those at w*, below 100,000 w* is not checked.
        fixed_batch: keep the posterior's batch size, and bring noise down by smaller steps and more friction.
        progress: a `Progress`, or True for a bar in the terminal.

    Returns:
        The calibration, or one whose outcome says why it refuses: chains that leave the finite numbers at the smallest
        step tried.
    """
    reporter = as_progress(progress)
    search = Search(posterior, seed, num_chains, allow(posterior, num_chains, budget, fixed_batch))
    reporter.start("calibrating", sum(search.allowance.windows))
    for _ in range(_RETRIES):
        search.begin()
        if all(search.window(number, reporter) for number in range(len(search.allowance.windows))):
            break
    reporter.finish("calibrating")
    return _result(search)


def _result(search: Search) -> Calibration:
    chains, outcome = search.chains, Outcome.DIVERGED if search.failed else Outcome.CONVERGED
    quadratic, withheld, complete = _quadratic(search)
    names = ("step_size", "batch_size", "curvature", "inflation")
    columns = {name: np.array([float(row.get(name, math.nan)) for row in search.rows]) for name in names}
    traces = np.array(search.traces)
    evidence = xr.Dataset(
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
        outcome=outcome,
        advice="Chains leave the finite numbers at every step tried: raise localization, or lower nbeta."
        if search.failed
        else "",
        decrease=search.decrease,
        quadratic=quadratic,
        withheld=withheld,
        complete=complete,
        gradient_evaluations=search.spent + chains.gradient_evaluations + search.curvature.spent,
        evidence=evidence,
        positions=chains.positions,
    )


def _quadratic(search: Search) -> tuple[float, float, bool]:
    """What the loss would give were it quadratic, the share that γ takes of it, and whether that is all of it."""
    found = spectrum(search.first, search.seed, search.allowance.spectrum) if search.allowance.spectrum else None
    if found is None:
        return math.nan, math.nan, False
    search.spent += found.gradient_evaluations
    gamma = search.first.localization
    return found.quadratic(gamma), found.withheld(gamma), found.complete
