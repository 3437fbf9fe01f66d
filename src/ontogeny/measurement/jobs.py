"""Cells of measurements as jobs at checkpoints: each has a key, is stored when done, and joins one Dataset."""

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
from ontogeny.execution import Executor, Job, Shard, default_executor
from ontogeny.measurement.by_step import run_by_step
from ontogeny.measurement.keys import Keys
from ontogeny.measurement.protocol import Cell, Measurement
from ontogeny.measurement.record import Record
from ontogeny.stores import Checkpoints, load_into, read_tree, write_tree

_LABEL = "cell"  # attribute of a stored cell that describes it to people


@dataclass(frozen=True)
class Run:
    """A training run whose networks can be loaded. All jobs share it.

    Attributes:
        checkpoints: weights by step.
        model_fn: makes the module that the weights are loaded into.
    """

    checkpoints: Checkpoints
    model_fn: Callable[[], nn.Module]

    @contextlib.contextmanager
    def at(self, step: int) -> Generator[nn.Module]:
        """The network at a step, in eval mode.

        The module from `model_fn` gets its own weights and modes back afterwards, and the global random state is
        restored.

        Raises:
            InvalidArgument: if the weights do not fit.
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

    @contextlib.contextmanager
    def bare(self, step: int) -> Generator[nn.Module]:
        """The network as at a step, for its names and shapes alone: weights that are far away are not fetched."""
        if self.checkpoints.at_once is None:
            with self.at(step) as model:
                yield model
            return
        with torch.random.fork_rng(devices=[]):
            model = self.model_fn()
        yield model


def measure_cells(
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
    """Measure every cell of every measurement at every step, as one Dataset over `step`.

    Cells found in the store under their key are read. The others run as jobs, and each result is written atomically to
    its own folder as soon as it is done.
    """
    keys = keys or Keys()
    cells = [(measurement, cell) for measurement in measurements for cell in measurement.cells()]
    found: dict[tuple[int, int], xr.Dataset] = {}
    wanted: list[tuple[int, int, Path | None]] = []
    listed: list[tuple[str, Path]] = []
    jobs: list[Job] = []
    places = _dealt(len(steps), [cell.weight for _, cell in cells], whole_steps=run.checkpoints.at_once is not None)
    for at, step in enumerate(steps):
        for number, (measurement, cell) in enumerate(cells):
            place = None if store is None else _place(store, run, step, measurement, cell, keys)
            name = f"step {step} {cell.name}".strip()
            if place is not None:
                listed.append((f"{measurement.name} {name}", place))
            if place is not None and place.exists():
                found[step, number] = read_tree(place).to_dataset()
            else:
                wanted.append((step, number, place))
                jobs.append(Job(name, partial(_perform, step, number), cell.weight, places[at, number]))
    record = Record(store, task, listed)

    def keep(index: int, result: xr.Dataset) -> None:
        step, number, place = wanted[index]
        found[step, number] = result
        if place is not None:
            measurement, cell = cells[number]
            write_tree(place, result.assign_attrs({_LABEL: f"{measurement.name} {cell.name} at step {step}"}))
            record.done(place)

    if jobs:
        shared = run, [cell.at for _, cell in cells]
        chosen = executor or default_executor(len(jobs))
        mine = chosen.mine(jobs) if isinstance(chosen, Shard) else list(range(len(jobs)))
        own = [jobs[index] for index in mine]
        runner = chosen.within(own) if isinstance(chosen, Shard) else chosen

        def deliver(index: int, result: xr.Dataset) -> None:
            keep(mine[index], result)

        with record.kept(own, [wanted[index][2] for index in mine], progress, _name_of(chosen)) as shown:
            if run.checkpoints.at_once is None:
                runner.run(own, shown, deliver, shared=shared, task=task)
            else:
                steps_of = [wanted[index][0] for index in mine]
                run_by_step(run.checkpoints, steps_of, own, runner, shown, deliver, shared, task)
        if isinstance(chosen, Shard):
            chosen.require_all(jobs)
    return _with_divergence(_together(steps, cells, found), run.checkpoints)


def _dealt(num_steps: int, weights: Sequence[float], whole_steps: bool) -> dict[tuple[int, int], int]:
    """The place of each cell at each step, by which shards divide them: the costly first, so that all have their share.

    Of a run of which few checkpoints are within reach, shards take whole steps, so that each is fetched once.
    """
    cells = [(at, number) for at in range(num_steps) for number in range(len(weights))]
    if whole_steps:
        return {cell: cell[0] for cell in cells}
    return {cell: place for place, cell in enumerate(sorted(cells, key=lambda cell: (-weights[cell[1]], cell)))}


def _name_of(executor: Executor) -> str:
    return f"shard {executor.number}/{executor.count}" if isinstance(executor, Shard) else ""


def _with_divergence(found: xr.Dataset, run: Checkpoints) -> xr.Dataset:
    """Add `training_diverged` (step), the step at which training diverged, equal at every step, if it did.

    It is a variable because `xr.concat` keeps only the attributes of the first run.
    """
    if not run.outcome or not run.outcome.diverged:
        return found
    along = xr.ones_like(found["step"], dtype=float).reset_coords(drop=True)
    return found.assign(training_diverged=run.outcome.step * along)


def _perform(step: int, number: int, shared: tuple[Run, list[Any]], progress: Progress) -> xr.Dataset:
    run, functions = shared
    with run.at(step) as model:
        return functions[number](model, step, progress)


def _place(store: Path, run: Run, step: int, measurement: Measurement, cell: Cell, keys: Keys) -> Path:
    key = keys.of(measurement.name, type(measurement), cell.inputs, run.model_fn, step, run.checkpoints.checksum(step))
    return store / measurement.name / f"step-{step:08d}-{key[:24]}.zarr"


def _together(
    steps: Sequence[int], cells: Sequence[tuple[Measurement, Cell]], found: Mapping[tuple[int, int], xr.Dataset]
) -> xr.Dataset:
    """Join all cells into one Dataset: first along the labels of each measurement, then along `step`."""
    whole: list[xr.Dataset] = []
    names = list(dict.fromkeys(measurement.name for measurement, _ in cells))
    for name in names:
        mine = [(number, cell) for number, (measurement, cell) in enumerate(cells) if measurement.name == name]
        at_steps = []
        for step in steps:
            pieces = [(dict(cell.coords), found[step, number].drop_attrs(deep=False)) for number, cell in mine]
            at_steps.append(_nested(pieces).expand_dims(step=[step]))
        joined = xr.concat(at_steps, "step", data_vars="all", coords="minimal", compat="equals", join="exact")
        kept = {key: value for key, value in found[steps[0], mine[0][0]].attrs.items() if key != _LABEL}
        whole.append(_constants_once(joined).assign_attrs(kept))
    merged = xr.merge(whole, compat="equals", join="outer", combine_attrs="drop").reindex(_in_order(whole))
    return merged.assign_attrs({key: value for each in whole for key, value in each.attrs.items()})


def _in_order(whole: Sequence[xr.Dataset]) -> dict[str, list[str]]:
    """Labels along each dimension as they first appear, the main dataset first; an outer join sorts them."""
    found: dict[str, dict[str, None]] = {}
    for name, labels in ((str(dim), each.indexes[dim]) for each in whole for dim in each.indexes):
        if labels.dtype.kind in "OU":
            found.setdefault(name, {}).update(dict.fromkeys(labels))
    return {name: list(labels) for name, labels in found.items()}


def _nested(pieces: Sequence[tuple[dict[str, str], xr.Dataset]]) -> xr.Dataset:
    """Join Datasets that have one label each along the same dimensions."""
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
    """Drop `step` from reference lines, which a behaviour marks as `constant`: they are equal at every checkpoint."""
    constant = [name for name in dataset.data_vars if dataset[name].attrs.get("constant")]
    return dataset.assign({name: dataset[name].isel(step=0, drop=True) for name in constant})
