"""The protocols of loops: a `Task` to draw from, a `Progress` for people, a `Sink` for draws."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Task(Protocol):
    """A distribution of samples, from which training draws a fresh batch at every step.

    Where a finite number of samples is needed, as by a posterior or a probe, they are drawn once:
    `task.sample(1000, seed=1)`. A frozen dataclass of its settings makes a good task, since its content keys the runs
    that are trained on it.
    """

    def sample(self, num_samples: int, seed: int) -> Any:
        """Independent samples, as a batch: tensors with samples along dimension 0, in tuples or dicts where there are
        several. Equal arguments give equal samples, and no global random state is read or changed.
        """
        ...


def is_task(data: Any) -> bool:
    """Whether data are a task. What has a length is samples, whatever methods it has, as tables have `sample`."""
    return isinstance(data, Task) and not isinstance(data, type) and not hasattr(data, "__len__")


@runtime_checkable
class Progress(Protocol):
    """Receives the progress of a loop. `total` and `done` are in units of the loop (steps, draws, checkpoints)."""

    def start(self, task: str, total: int, done: int = 0) -> None: ...

    def advance(self, task: str, amount: int = 1, note: str = "") -> None: ...

    def finish(self, task: str) -> None: ...


@runtime_checkable
class WeightedProgress(Progress, Protocol):
    """A `Progress` that also accepts the share of a task's work done, for units of different cost.

    The time left is then estimated from the work left, not from the units left.
    """

    def weigh(self, task: str, share: float) -> None: ...


@contextmanager
def reporting(progress: Progress, task: str, total: int, done: int = 0) -> Generator[Progress]:
    """The progress of one task. It is finished however the loop ends, so that an error leaves no bar behind."""
    progress.start(task, total, done)
    try:
        yield progress
    finally:
        progress.finish(task)


class Silent:
    """A progress that shows nothing."""

    def start(self, task: str, total: int, done: int = 0) -> None: ...

    def advance(self, task: str, amount: int = 1, note: str = "") -> None: ...

    def finish(self, task: str) -> None: ...


@runtime_checkable
class Sink(Protocol):
    """Receives draws, one recorded draw of some chains at a time.

    `open` receives every variable with its group, dimensions and full shape before the first `write`, so that storage
    can be pre-allocated. What is never written stays NaN.
    """

    def open(self, variables: Mapping[str, tuple[str, tuple[str, ...], tuple[int, ...]]]) -> None: ...

    def write(self, variable: str, index: tuple[int | slice, ...], value: Any) -> None: ...

    def close(self, attrs: Mapping[str, Any]) -> Any: ...


@runtime_checkable
class Scratch(Protocol):
    """Where large tensors lie for a while outside of memory. `ontogeny.stores.ScratchFolder` is one."""

    def tensor(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """A tensor in main memory's address space that takes up none of it, gone with its last use."""
        ...
