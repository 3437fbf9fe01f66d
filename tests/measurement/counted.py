"""A small run whose calls are counted, for the tests of what is measured along it and of how that goes on."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.execution import Serial
from ontogeny.measurement import measure as measure_run
from ontogeny.sampling import SGLD, Fixed, PosteriorConfig

SAMPLER = Fixed(kernel=SGLD(1e-4), num_chains=2, num_draws=6, num_warmup=3)
POSTERIOR = PosteriorConfig(nbeta=20.0, localization=10.0, batch_size=16)
STEPS = [0, 3, 30]
Data = tuple[Tensor, Tensor]
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

# Counted by a hook, outside of the functions that are measured: what these reach is part of the key of a measurement.
CALLS = {"loss": 0, "behaviour": 0}
FAILS_AT = {"behaviour": -1}
EVENT = "ontogeny.tests."


class Crash(BaseException):
    """Ends a measurement like a signal does: nothing catches it."""


def count(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(EVENT):
        name = event.removeprefix(EVENT)
        if CALLS[name] == FAILS_AT.get(name):
            raise Crash
        CALLS[name] += 1


sys.addaudithook(count)


def measure(*args: Any, **options: Any) -> xr.Dataset:
    """In this process, at one nβ and γ, unless told otherwise."""
    defaults: dict[str, Any] = {"executor": Serial(), "posterior": POSTERIOR}
    return measure_run(*args, **(defaults | options))


def make_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 10))


def counted_loss(model: nn.Module, batch: Data) -> Tensor:
    sys.audit("ontogeny.tests.loss")
    return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


def behaviour(model: nn.Module) -> xr.Dataset:
    sys.audit("ontogeny.tests.behaviour")
    with torch.no_grad():
        outputs = model(torch.eye(64)[:2]).flatten()
    entropy = xr.DataArray([2.3], dims="order", coords={"order": ["unigram"]}, attrs={"constant": 1})
    return xr.Dataset(
        {"outputs": ("output", outputs.numpy()), "ngram_entropy": entropy, "icl_score": float(outputs[0])}
    )


def loss_calls(act: Callable[[], object]) -> int:
    before = CALLS["loss"]
    act()
    return CALLS["loss"] - before


def files_below(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".part" not in str(path)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
