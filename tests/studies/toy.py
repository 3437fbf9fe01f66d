"""A study of a second: a line is fitted, and measured along the way."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import mse
from ontogeny.development import nulls
from ontogeny.measurement import Losses
from ontogeny.reports import Facts, Panel
from ontogeny.studies import (
    Claims,
    Evidence,
    Findings,
    NotTested,
    Preset,
    Study,
    StudyConfig,
    Workspace,
    trajectory_panels,
)
from ontogeny.training import TrainingConfig


class Config(StudyConfig):
    count: int = 64
    offset: float = 0.0
    broken: tuple[str, ...] = ()
    training: TrainingConfig = TrainingConfig(
        num_steps=30, batch_size=8, learning_rate=0.05, checkpoints_log=8, checkpoints_linear=0
    )
    least: float = 0.5


def line(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(3, 1)


def samples(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return x, x.sum(1, keepdim=True)


def ends(trajectory: xr.Dataset, offset: float, broken: bool) -> xr.Dataset:
    if broken:
        raise ZeroDivisionError("as it was told to")
    loss = trajectory["loss"].isel(dataset=0)
    return xr.Dataset({"first": loss[0].drop_vars("step"), "last": loss[-1].drop_vars("step") + offset})


def needs_more(trajectory: xr.Dataset) -> xr.Dataset:
    raise InvalidArgument("trajectory", expected="8 usable estimates", found=f"{trajectory.sizes['step']} losses")


def run(work: Workspace, config: Config) -> None:
    make, data = partial(line, work.seed("weights")), samples(config.count, work.seed("data"))
    network = work.train("network", make, data, mse, config.training)
    trajectory = work.measure("trajectory", network, make, [Losses({"data": data}, mse)])
    work.step("stages", needs_more, trajectory)
    found = work.step("ends", ends, trajectory, config.offset, broken="ends" in config.broken)
    work.step("both", lambda found: {"a": found, "b": 2 * found}, found)
    if "run" in config.broken:
        raise ZeroDivisionError("outside of any step")


claims = Claims(source="this file")


@claims.add("falls", "The loss falls", expects="by more than half a unit", unit="squares", presets={"quick"})
def _(found: Findings, config: Config, rng: np.random.Generator) -> Evidence:
    ends = found["ends"]
    fall = float(ends["first"] - ends["last"])
    draws = fall + rng.standard_normal(99) / 100
    return Evidence(fall, fall > config.least, (fall - 0.02, fall + 0.02), "untrained 0", nulls.bootstrapped(draws))


@claims.add("exact", "Twice is twice", expects="equality")
def _(found: Findings, config: Config, rng: np.random.Generator) -> Evidence:
    both = found["both"]
    return Evidence(1.0, bool((2 * both["a"]["last"] == both["b"]["last"]).all()))


@claims.add("staged", "There are stages", expects="some")
def _(found: Findings, config: Config, rng: np.random.Generator) -> Evidence:
    return Evidence(float(found["stages"].sizes["boundary"]), True)


@claims.add("silent", "Nothing can be said", expects="nothing")
def _(found: Findings, config: Config, rng: np.random.Generator) -> NotTested:
    return NotTested("nothing was asked")


@claims.add("large", "Large runs are large", expects="size", presets={"large"})
def _(found: Findings, config: Config, rng: np.random.Generator) -> Evidence:
    return Evidence(1 / 0, True) if "test" in config.broken else Evidence(1.0, True)


def panels(found: Findings) -> Iterator[Panel]:
    yield from trajectory_panels(found)
    facts = {name: f"{float(value):.3f}" for name, value in found["ends"].items()}
    yield Panel("ends", "Where it began and ended", [Facts(facts)])


PRESETS = {"quick": Preset("a second", Config()), "large": Preset("two seconds", Config(count=128))}
STUDY = Study("toy", "A line", "That lines can be fitted.", PRESETS, run, claims, panels)
