"""Parts at checkpoints as jobs: each with its key, kept in a store as it is made, and put together again."""

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import nn

from ontogeny.core.protocols import Progress
from ontogeny.execution import Executor, Job, default_executor
from ontogeny.measurement.keys import Keys
from ontogeny.measurement.protocol import Measurement, Part
from ontogeny.stores import Checkpoints, load_into, read_tree, write_tree

_LABEL = "part"  # attribute of a stored part that says what it is, for people


@dataclass(frozen=True)
class Run:
    """A training run whose networks can be loaded: what all jobs share.

    Attributes:
        checkpoints: weights by step.
        model_fn: makes the module that they are loaded into.
    """

    checkpoints: Checkpoints
    model_fn: Callable[[], nn.Module]

    @contextlib.contextmanager
    def at(self, step: int) -> Generator[nn.Module]:
        """The network at a step, in eval mode. What `model_fn` returned comes back with its own weights and modes, and
        the global random state as it was.

        Raises:
            InvalidArgument: for weights that do not fit.
        """
        with torch.random.fork_rng(devices=[]):
            model = self.model_fn()
        own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        modes = {module: module.training for module in model.modules()}
        try:
            load_into(model, self.checkpoints.load(step), argument="model_fn", of=f"step {step}")
            yield model.eval()
        finally:
            model.load_state_dict(own)
            for module, training in modes.items():
                module.training = training


def measure_parts(
    run: Run,
    steps: Sequence[int],
    measurements: Sequence[Measurement],
    *,
    store: Path | None,
    executor: Executor | None,
    progress: Progress,
    task: str = "measuring",
    keys: Keys | None = None,
) -> xr.Dataset:
    """Every part of every measurement at every step, as one Dataset over `step`.

    Parts that the store holds under their key are read; the others are jobs, and are written as they are made, each a
    folder of its own that appears whole or not at all.
    """
    keys = keys or Keys()
    parts = [(measurement, part) for measurement in measurements for part in measurement.parts()]
    found: dict[tuple[int, int], xr.Dataset] = {}
    wanted: list[tuple[int, int, Path | None]] = []
    for step in steps:
        for number, (measurement, part) in enumerate(parts):
            place = None if store is None else _place(store, run, step, measurement, part, keys)
            if place is not None and place.exists():
                found[step, number] = read_tree(place).to_dataset()
            else:
                wanted.append((step, number, place))
    jobs = [
        Job(f"step {step} {parts[number][1].name}".strip(), partial(_perform, step, number), parts[number][1].weight)
        for step, number, _ in wanted
    ]

    def keep(index: int, result: xr.Dataset) -> None:
        step, number, place = wanted[index]
        found[step, number] = result
        if place is not None:
            measurement, part = parts[number]
            write_tree(place, result.assign_attrs({_LABEL: f"{measurement.name} {part.name} at step {step}"}))

    if jobs:
        shared = run, [part.at for _, part in parts]
        (executor or default_executor(len(jobs))).run(jobs, progress, keep, shared=shared, task=task)
    return _with_divergence(_together(steps, parts, found), run.checkpoints)


def _with_divergence(found: xr.Dataset, run: Checkpoints) -> xr.Dataset:
    """As `training_diverged` (step), the step at which training diverged, the same at each; only if it did.

    It is a variable, for of attributes `xr.concat` keeps those of the first run alone.
    """
    if not run.outcome or not run.outcome.diverged:
        return found
    along = xr.ones_like(found["step"], dtype=float).reset_coords(drop=True)
    return found.assign(training_diverged=run.outcome.step * along)


def _perform(step: int, number: int, shared: tuple[Run, list[Any]], progress: Progress) -> xr.Dataset:
    run, functions = shared
    with run.at(step) as model:
        return functions[number](model, step, progress)


def _place(store: Path, run: Run, step: int, measurement: Measurement, part: Part, keys: Keys) -> Path:
    key = keys.of(measurement.name, type(measurement), part.inputs, run.model_fn, step, run.checkpoints.checksum(step))
    return store / measurement.name / f"step-{step:08d}-{key[:24]}.zarr"


def _together(
    steps: Sequence[int], parts: Sequence[tuple[Measurement, Part]], found: Mapping[tuple[int, int], xr.Dataset]
) -> xr.Dataset:
    """All parts as one Dataset: those of a measurement side by side along their labels, then step after step."""
    whole: list[xr.Dataset] = []
    names = list(dict.fromkeys(measurement.name for measurement, _ in parts))
    for name in names:
        mine = [(number, part) for number, (measurement, part) in enumerate(parts) if measurement.name == name]
        at_steps = []
        for step in steps:
            pieces = [(dict(part.coords), found[step, number].drop_attrs(deep=False)) for number, part in mine]
            at_steps.append(_nested(pieces).expand_dims(step=[step]))
        joined = xr.concat(at_steps, "step", data_vars="all", coords="minimal", compat="equals", join="exact")
        kept = {key: value for key, value in found[steps[0], mine[0][0]].attrs.items() if key != _LABEL}
        whole.append(_constants_once(joined).assign_attrs(kept))
    merged = xr.merge(whole, compat="equals", join="outer", combine_attrs="drop")
    return merged.assign_attrs({key: value for each in whole for key, value in each.attrs.items()})


def _nested(pieces: Sequence[tuple[dict[str, str], xr.Dataset]]) -> xr.Dataset:
    """Datasets with one label along each of the same dimensions, as one."""
    dims = list(pieces[0][0])
    if not dims:
        return pieces[0][1]
    first, labels = dims[0], list(dict.fromkeys(coords[dims[0]] for coords, _ in pieces))
    columns = []
    for label in labels:
        inner = [
            ({name: value for name, value in coords.items() if name != first}, dataset)
            for coords, dataset in pieces
            if coords[first] == label
        ]
        columns.append(_nested(inner).expand_dims({first: [label]}))
    return xr.concat(columns, first, data_vars="all", coords="minimal", compat="equals", join="exact")


def _constants_once(dataset: xr.Dataset) -> xr.Dataset:
    """Reference lines, which a behaviour marks as `constant`, are the same at every checkpoint, and carry no step."""
    constant = [name for name in dataset.data_vars if dataset[name].attrs.get("constant")]
    return dataset.assign({name: dataset[name].isel(step=0, drop=True) for name in constant})
