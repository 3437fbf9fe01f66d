"""`sample` draws from a posterior; `estimate_llc` takes model, data and loss to an estimate with its verdict."""

from collections.abc import Mapping
from typing import Any

import torch
import xarray as xr
from torch import nn

from ontogeny.core import arguments
from ontogeny.core.errors import EstimateNotTrusted, InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.outcome import Outcome
from ontogeny.core.protocols import Progress, Sink
from ontogeny.core.restriction import Restriction
from ontogeny.estimators import Estimate, llc
from ontogeny.sampling.kernels import Kernel
from ontogeny.sampling.loop import sample_fixed
from ontogeny.sampling.posterior import LocalPosterior
from ontogeny.sampling.samplers import Calibrated, Fixed, Sampler, as_sampler

_LENGTHS = ("num_chains", "num_draws", "num_warmup", "thinning", "control_variate", "vectorized", "compiled")


def sample(
    posterior: LocalPosterior,
    sampler: Sampler | Kernel | None = None,
    *,
    observables: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | bool = False,
    sink: Sink | None = None,
    **lengths: Any,
) -> xr.DataTree:
    """Draw from a local posterior.

    Args:
        posterior: what to sample.
        sampler: `Calibrated()` by default, `Fixed(...)`, or a bare kernel such as `SGLD(1e-4)`.
        observables: name -> samples whose losses are recorded at every draw, averaged over positions; all of them for
            `Samples(data, per_token=True)`.
        seed: root of the seed tree.
        progress: a `Progress`, or True for a bar in the terminal.
        sink: where draws of a kernel or a `Fixed` sampler are written; default memory.
            `ontogeny.stores.ZarrSink` streams them to disk.
        lengths: with a bare kernel, further arguments of `ontogeny.sampling.loop.sample_fixed`: num_chains (4),
            num_draws (200), num_warmup (200), thinning (1), control_variate (False), vectorized, compiled.

    Returns:
        Draws (see `ontogeny.core.draws`).

    Raises:
        InvalidArgument: for lengths given with a sampler that sets its own, and for other unusable arguments.
    """
    seed = arguments.whole_number("seed", seed, None)
    common = {"observables": observables, "seed": seed, "progress": progress, "sink": sink}
    if isinstance(sampler, Kernel):
        return sample_fixed(posterior, sampler, **common, **lengths)
    if lengths:
        raise _lengths_elsewhere(sampler, *next(iter(lengths.items())))
    return (Calibrated() if sampler is None else as_sampler(sampler)).draw(posterior, **common)


def estimate_llc(
    model: nn.Module,
    data: Any,
    loss_fn: LossFn,
    *,
    restriction: Restriction | str | None = None,
    nbeta: float | None = None,
    localization: float = 1.0,
    sampler: Sampler | None = None,
    budget: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: Progress | bool = False,
    strict: bool = False,
    num_samples: int | None = None,
) -> Estimate:
    """The local learning coefficient λ̂ = nβ (E[L(w)] - L(w*)) at a model's present weights.

    The sampler is calibrated (`calibrate`). It then runs until the Monte Carlo error is below 1.6 % of the complexity
    and the chains agree, or until the budget is spent. At each check the first third of all draws counts as warm-up.

    Args:
        model, loss_fn, restriction, nbeta, localization, num_samples, device: see `LocalPosterior`.
        data: samples of any kind listed in `ontogeny.Samples`: tensors, arrays, dicts, rows, datasets, a `DataLoader`;
            or, with `num_samples`, an iterable.
        sampler: `Calibrated()` by default, or `Fixed(...)` for settings of your own.
        budget: per-sample gradients to spend, calibration included; default up to 6,000 steps per chain. For budgets
            below 8,000 see `Calibrated`.
        seed: root of the seed tree.
        progress: a `Progress`, or True for a bar in the terminal.
        strict: raise `EstimateNotTrusted` unless the outcome is `converged`.

    Returns:
        The estimate, which prints its value, interval and verdict. Away from a minimum, read its `complexity`.

    Raises:
        InvalidArgument: for unusable arguments. EstimateNotTrusted: under `strict`, with the estimate attached.

    References:
        Lau et al., arXiv 2308.12108, section 4.
    """
    seed = arguments.whole_number("seed", seed, None)
    if sampler is not None and budget is not None:
        instead = f"og.Calibrated(budget={budget})"
        raise InvalidArgument("budget", expected="no budget with a sampler", found=str(budget), instead=instead)
    posterior = LocalPosterior(
        model, data, loss_fn, nbeta, localization, restriction, num_samples=num_samples, device=device
    )
    chosen = Calibrated(budget=budget) if sampler is None else as_sampler(sampler)
    estimate = llc(chosen.draw(posterior, seed=seed, progress=progress))
    if strict and estimate.outcome != Outcome.CONVERGED:
        raise EstimateNotTrusted(f"{estimate}. {estimate.advice}", estimate)
    return estimate


def _lengths_elsewhere(sampler: Sampler | None, name: str, value: Any) -> InvalidArgument:
    """The error for a length given with a sampler, or for an unknown name."""
    known, setting = ", ".join(_LENGTHS), f"{name}={value!r}"
    if name not in _LENGTHS:
        return InvalidArgument(name, expected=f"one of {known}", found=setting, instead="one of these with a kernel")
    of_fixed = name in Fixed.model_fields
    return InvalidArgument(
        name,
        expected="no lengths with a sampler, which sets its own",
        found=f"{setting} with {type(sampler).__name__ if sampler else 'the default sampler'}",
        instead=f"og.Fixed(kernel=og.SGLD(1e-4), {setting})" if of_fixed else f"og.SGLD(1e-4), {setting}",
    )
