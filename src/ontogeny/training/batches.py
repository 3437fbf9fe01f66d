"""The batch of a step: a function of seed and step alone, so that a run that goes on needs no state for it."""

import inspect
from typing import Any

import torch
from torch import Tensor

from ontogeny.core.batches import leaves, like, mapped
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import is_task
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive, generator
from ontogeny.core.sources import Rows, opened


class Batches:
    """Batches of one stage of training, of samples or of a task, or of one task for each of several networks.

    Each epoch visits the samples in a new order, and leaves out those that do not fill a batch. Of a task, the batch
    at a step is drawn afresh, `task.sample(batch_size, seed=derive(seed, "batch", step))`.

    Args:
        data: samples, a task, or a list of tasks.
        batch_size: samples of a batch.
        first: the step at which the stage begins, where its epochs begin.

    Raises:
        InvalidArgument: for fewer samples than a batch, or a task whose `sample` takes other arguments.
    """

    def __init__(self, data: Any, batch_size: int, first: int) -> None:
        self.each = [Batches(task, batch_size, first) for task in data] if are_tasks(data) else []
        self._task = _checked(data) if is_task(data) else None
        self._samples = None if self._task or self.each else Samples.of(data)
        self._size, self._first = batch_size, first
        self._orders: dict[int, tuple[int, Tensor]] = {}  # by seed, of its present epoch
        if self._samples is not None and len(self._samples) < batch_size:
            raise InvalidArgument(
                "data", expected=f"at least batch_size={batch_size} samples", found=str(len(self._samples))
            )

    def __fingerprint__(self) -> tuple[Any, ...]:
        return (self.each or self._task or self._samples,)

    def of(self, number: int) -> "Batches":
        """Those of one of several networks."""
        return self.each[number] if self.each else self

    def at(self, seed: int, step: int, device: torch.device) -> Any:
        """The batch at a step, on the device."""
        if self._samples is None:
            return mapped(lambda part: part.to(device), self._drawn(derive(seed, "batch", step)))
        return self._samples.take(self._numbers(seed, step), device)

    def together(self, seeds: list[int], step: int, device: torch.device) -> Any:
        """The batches at a step of several networks with their seeds, stacked along a first dimension."""
        if self._samples is None:
            return _stacked([self.of(number).at(seed, step, device) for number, seed in enumerate(seeds)])
        return self._samples.take(torch.stack([self._numbers(seed, step) for seed in seeds]), device)

    def _drawn(self, seed: int) -> Any:
        assert self._task is not None
        drawn = opened(self._task.sample(self._size, seed=seed), None, "data")
        batch = drawn.batch(range(len(drawn))) if isinstance(drawn, Rows) else drawn
        sizes = sorted({part.shape[0] for _, part in leaves(batch)})
        if sizes != [self._size]:
            raise InvalidArgument(
                "data",
                expected=f"a task that draws the number of samples that it is asked for, {self._size}",
                found=f"{', '.join(map(str, sizes)) or 'none'} of {type(self._task).__name__}",
            )
        return batch

    def _numbers(self, seed: int, step: int) -> Tensor:
        """Those of the samples in the batch. Epochs are counted from the first step of the stage, so that no two
        stages of a run have the same.
        """
        assert self._samples is not None
        count = len(self._samples)
        epoch, place = divmod(step - self._first, count // self._size)
        known, order = self._orders.get(seed, (None, torch.empty(0)))
        if known != epoch:
            order = torch.randperm(count, generator=generator(seed, "epoch", self._first + epoch))
            self._orders[seed] = epoch, order
        return order[place * self._size : (place + 1) * self._size]


def are_tasks(data: Any) -> bool:
    """Whether data are a list of tasks."""
    return isinstance(data, (list, tuple)) and len(data) > 0 and all(is_task(each) for each in data)


def _checked(task: Any) -> Any:
    signature = inspect.signature(task.sample)
    try:
        signature.bind(1, seed=0)
    except TypeError:
        raise InvalidArgument(
            "data",
            expected="a task, whose sample(num_samples, seed) draws a batch",
            found=f"{type(task).__name__}, whose sample takes {signature}",
            instead="cm.ProcessTask(process, length) for a process; a class with such a method for anything else",
        ) from None
    return task


def _stacked(batches: list[Any]) -> Any:
    first = batches[0]
    if isinstance(first, Tensor):
        if len({(part.shape, part.dtype) for part in batches}) > 1:
            shapes = ", ".join(str(tuple(part.shape)) for part in batches)
            raise InvalidArgument("data", expected="tasks whose samples have one shape and type", found=shapes)
        return torch.stack(batches)
    if isinstance(first, dict):
        return {key: _stacked([batch[key] for batch in batches]) for key in first}
    return like(first, [_stacked(list(parts)) for parts in zip(*batches, strict=True)])
