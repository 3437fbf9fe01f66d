"""Posteriors of the most telling parts in every network of a comparison, at the same settings."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import xarray as xr
from torch import nn

from ontogeny.comparison.config import CompareConfig
from ontogeny.comparison.networks import Network
from ontogeny.core.protocols import Progress
from ontogeny.core.restriction import Restriction
from ontogeny.core.samples import Samples
from ontogeny.execution import Executor
from ontogeny.measurement import Responses
from ontogeny.measurement.jobs import Run, measure_cells
from ontogeny.stores import MemoryCheckpoints


def sampled_parts(
    networks: Sequence[Network],
    model_fn: Callable[[], nn.Module],
    sets: Mapping[str, Samples],
    parts: Mapping[str, Restriction],
    config: CompareConfig,
    seed: int,
    out: Path,
    executor: Executor | None,
    progress: Progress,
) -> xr.Dataset:
    """`measurement.Responses` of these parts, over `step`: 0 is the base, 1 the tuned network, then twins.

    Posteriors are of the trusted data, whose held-out half is the base of susceptibilities.
    """
    posterior = networks[0].posterior
    run = MemoryCheckpoints({number: each.model.state_dict() for number, each in enumerate(networks)})
    asked = Responses(
        posterior.samples,
        posterior.loss_fn,
        sets,
        parts,
        posterior=config.posterior.model_copy(update={"nbeta": config.posterior.nbeta or posterior.nbeta}),
        sampler=config.sampler,
        seed=seed,
    )
    return measure_cells(
        Run(run, model_fn),
        run.steps,
        [asked],
        store=out / "measurements",
        executor=executor,
        progress=progress,
        task="sampling parts",
    )
