"""One call from model, data and loss to an estimate with its verdict."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ontogeny.core.errors import EstimateNotTrusted
from ontogeny.core.losses import LossFn
from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import Restriction
from ontogeny.estimators import Estimate, llc
from ontogeny.sampling.loop import sample
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.sgld import SGLD

# Fixed until they are calibrated from the posterior itself. With nβ = n / log n of a few thousand samples (about 500)
# a step of 1e-4 stays
# below the stability limit 4/(nβh + γ) for curvatures h up to 80.
DEFAULTS: Mapping[str, float] = {"step_size": 1e-4, "num_chains": 4, "warmup_share": 0.5, "budget": 512_000}


def estimate_llc(
    model: nn.Module,
    data: Any,
    loss_fn: LossFn,
    *,
    restriction: Restriction | str | None = None,
    nbeta: float | None = None,
    localization: float = 1.0,
    budget: int = int(DEFAULTS["budget"]),
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: Progress | bool = False,
    strict: bool = False,
    num_samples: int | None = None,
) -> Estimate:
    """The local learning coefficient λ̂ = nβ (E[L(w)] - L(w*)) at a model's present weights.

    Samples with plain SGLD at fixed settings: ε = 1e-4, four chains, batches of up to 256, half of the budget as
        warm-up. These settings are not calibrated to the
    model: read the verdict. For settings of your own use `LocalPosterior`, `sample` and `llc`.

    Args:
        model, data, loss_fn, restriction, nbeta, localization, num_samples, device: see `LocalPosterior`.
        budget: per-sample gradients to spend over all chains, warm-up included.
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
    num_chains = int(DEFAULTS["num_chains"])
    steps = max(2, budget // (num_chains * posterior.batch_size))
    num_warmup = int(DEFAULTS["warmup_share"] * steps)
    kernel = SGLD(step_size=DEFAULTS["step_size"])
    draws = sample(
        posterior,
        kernel,
        num_chains=num_chains,
        num_draws=steps - num_warmup,
        num_warmup=num_warmup,
        seed=seed,
        progress=progress,
    )
    estimate = llc(draws)
    if strict and estimate.outcome != Outcome.CONVERGED:
        raise EstimateNotTrusted(f"{estimate}. {estimate.advice}", estimate)
    return estimate
