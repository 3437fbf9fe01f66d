"""What `measure` is given, checked by name before anything is measured."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.samples import Samples
from ontogeny.execution import Executor, Shard
from ontogeny.measurement.jobs import Run
from ontogeny.stores import Checkpoints

MAIN = "data"


def as_run(run: object, model_fn: object) -> Run:
    """A training run and what makes its network."""
    if not isinstance(run, Checkpoints):
        instead = f"og.open_checkpoints({str(run)!r})" if isinstance(run, (str, Path)) else "og.open_checkpoints(run)"
        expected = "the checkpoints of a training run"
        raise InvalidArgument("run", expected=expected, found=arguments.show(run), instead=instead)
    if isinstance(model_fn, nn.Module):
        expected, found = "a function that makes the module", f"a module, {type(model_fn).__name__}"
        raise InvalidArgument("model_fn", expected=expected, found=found, instead="lambda: model")
    if not callable(model_fn):
        expected = "a function without arguments that makes the module"
        raise InvalidArgument("model_fn", expected=expected, found=arguments.show(model_fn))
    return Run(run, model_fn)


def as_store(store: object) -> Path | None:
    """The folder that results are kept in."""
    if store is None:
        return None
    if not isinstance(store, (str, Path)) or Path(store).is_file():
        found = f"a file, {store}" if isinstance(store, (str, Path)) else arguments.show(store)
        raise InvalidArgument("store", expected="a folder", found=found, instead='store="measurements"')
    return Path(store)


def checked_executor(executor: Any) -> Executor | None:
    """Who runs the jobs."""
    if executor is not None and not callable(getattr(executor, "run", None)):
        processes = isinstance(executor, int) and not isinstance(executor, bool) and executor > 1
        instead = f"og.execution.Processes({executor})" if processes else "og.execution.Serial()"
        found = arguments.show(executor)
        raise InvalidArgument("executor", expected="an executor", found=found, instead=instead)
    return executor


def undivided(executor: Executor | None) -> Executor | None:
    """Who runs jobs of which every shard needs all results."""
    return executor.executor if isinstance(executor, Shard) else executor


def names_of(components: object) -> list[str]:
    """Components, as a list."""
    if isinstance(components, str) or not isinstance(components, Sequence):
        found = arguments.show(components)
        expected = "a list of components, each a pattern such as 'L0H3'"
        raise InvalidArgument("components", expected=expected, found=found, instead=f"[{components!r}]")
    return list(components)


def steps_of(run: Checkpoints, steps: Any) -> list[int]:
    """The steps to measure, in order, each once."""
    if isinstance(steps, int):
        raise InvalidArgument("steps", expected="a list of steps", found=str(steps), instead=f"[{steps}]")
    wanted = sorted(set(run.steps if steps is None else steps))
    if not wanted or not set(wanted) <= set(run.steps):
        found = ", ".join(str(step) for step in wanted if step not in run.steps)
        raise InvalidArgument("steps", expected="steps of this run (run.steps)", found=found or "none")
    return wanted


def datasets_of(data: Any, num_samples: int | None, datasets: Any) -> dict[str, Samples]:
    """The main dataset and those beside it, by name."""
    others = {} if datasets is None else datasets
    if not isinstance(others, Mapping):
        found = arguments.kind(others)
        raise InvalidArgument("datasets", expected="datasets by name", found=found, instead='{"code": code}')
    if MAIN in others:
        raise InvalidArgument("datasets", expected=f"names other than that of the main one, {MAIN!r}", found=repr(MAIN))
    named = {name: Samples.of(each, name=f"datasets[{name!r}]") for name, each in others.items()}
    return {MAIN: Samples.of(data, num_samples)} | named


def check_base(network: Run, step: int) -> None:
    """Refuse an adapter over a base model that `model_fn` draws at random: the checkpoint does not hold the base."""
    if "peft" not in sys.modules or not network.checkpoints.holds_adapter(step):
        return  # an adapter loads into a model of peft alone; without it no checkpoint is loaded once more
    states = []
    for seed in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            with network.at(step) as model:
                states.append({name: tensor.detach().clone() for name, tensor in model.state_dict().items()})
    others = [name for name, tensor in states[0].items() if not torch.equal(tensor, states[1][name])]
    if others:
        raise InvalidArgument(
            "model_fn",
            expected="the same base model at each call, since an adapter's checkpoint does not hold its weights",
            found=f"other weights at a second call, such as {others[0]}",
            instead="AutoModel….from_pretrained(base) in model_fn, and peft.PeftModel.from_pretrained(base, folder)",
        )
