"""One call from model, data and loss to an estimate with its verdict."""

from typing import Any

import torch
from torch import nn

from ontogeny.core.errors import EstimateNotTrusted
from ontogeny.core.losses import LossFn
from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import Restriction
from ontogeny.estimators import Estimate, llc
from ontogeny.sampling.calibration import calibrate
from ontogeny.sampling.kernels import SGLD
from ontogeny.sampling.loop import sample
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.stopping import sample_until


def estimate_llc(
    model: nn.Module,
    data: Any,
    loss_fn: LossFn,
    *,
    restriction: Restriction | str | None = None,
    nbeta: float | None = None,
    localization: float = 1.0,
    budget: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: Progress | bool = False,
    strict: bool = False,
    num_samples: int | None = None,
) -> Estimate:
    """The local learning coefficient λ̂ = nβ (E[L(w)] - L(w*)) at a model's present weights.

    The sampler is calibrated (`calibrate`), and run until the Monte Carlo error is below 1.75 % of the value and the
    chains agree, the first third of all draws being warm-up each time they are judged; or until the budget is spent.

    Args:
        model, data, loss_fn, restriction, nbeta, localization, num_samples, device: see `LocalPosterior`.
        budget: per-sample gradients to spend, calibration included; default up to 6,000 draws a chain.
        seed: root of the seed tree.
        progress: a `Progress`, or True for a bar in the terminal.
        strict: raise `EstimateNotTrusted` unless the outcome is `converged`.

    Returns:
        The estimate; it prints its value, interval and verdict.

    Raises:
        InvalidArgument: for arguments that cannot be used.
        EstimateNotTrusted: under `strict`, with the estimate attached.

    References:
        Lau et al., arXiv 2308.12108, section 4.
    """
    posterior = LocalPosterior(
        model, data, loss_fn, nbeta, localization, restriction, num_samples=num_samples, device=device
    )
    if posterior.num_parameters == 0:  # an empty restriction, whose coefficient is 0
        return llc(sample(posterior, SGLD(1e-6), num_chains=1, num_draws=1, num_warmup=0, seed=seed))
    calibration = calibrate(posterior, seed, budget=budget, progress=progress)
    estimate = sample_until(posterior, calibration, budget=budget, seed=seed, progress=progress)
    if strict and estimate.outcome != Outcome.CONVERGED:
        raise EstimateNotTrusted(f"{estimate}. {estimate.advice}", estimate)
    return estimate
