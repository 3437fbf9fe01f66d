"""`Job`, the protocol of executors, and the failures that are kept until all jobs are done."""

import contextlib
import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ontogeny.core.errors import InvalidArgument, OntogenyError
from ontogeny.core.protocols import Progress


@dataclass(frozen=True)
class Job:
    """One piece of work that depends on no other job.

    Args:
        name: shown while the job runs and when it fails, for example "step 400 L0H1".
        function: called as `function(shared, progress)`. `shared` is the executor's argument for all jobs, which a job
            must only read. `progress` receives reports of the job's progress. The job's own inputs come as a closure or
            a `functools.partial`, and are pickled with cloudpickle. Random numbers must come from the job's own seeds.
        weight: expected cost relative to the other jobs, > 0; the time left is estimated from it.
        place: number of the job among all that the caller ever has, by which `Shard` divides them; default its index.
    """

    name: str
    function: Callable[[Any, Progress], Any]
    weight: float = 1.0
    place: int | None = None

    def __post_init__(self) -> None:
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise InvalidArgument(
                "weight", expected="a finite number > 0", found=str(self.weight), instead="weight=1.0 if unknown"
            )


@runtime_checkable
class Executor(Protocol):
    """Runs jobs. Results depend neither on the executor nor on the order.

    Every job runs with one thread, because sums over several threads are rounded differently.
    """

    def run(
        self,
        jobs: Sequence[Job],
        progress: Progress,
        on_result: Callable[[int, Any], None],
        *,
        shared: Any = None,
        task: str = "jobs",
    ) -> None:
        """Run all jobs, and deliver each result as soon as it is ready.

        Args:
            jobs: the jobs to run.
            progress: shows one task for all jobs.
            on_result: called in this process with the job's index in `jobs` and its result, in order of completion.
            shared: passed to every job; sent to each worker process once.
            task: name of the task in `progress`.

        Raises:
            Exception: the error of the first failed job in `jobs`, after all others have run and been delivered. A note
                names the job.
            KeyboardInterrupt: immediately. Delivered results are kept, and running jobs are stopped.
        """
        ...


class WorkerLost(OntogenyError):
    """The worker process of a job was killed repeatedly, most likely for lack of memory."""


@dataclass(frozen=True)
class FailedJob:
    """A job that raised.

    Attributes:
        index: in the jobs that were to be run.
        name: of the job.
        error: type and message, on one line.
        traceback: as Python prints it.
    """

    index: int
    name: str
    error: str
    traceback: str


def failed_jobs(error: BaseException) -> tuple[FailedJob, ...]:
    """Every job that failed, from the error that an executor raised; empty if it was not a job's."""
    return getattr(error, "failed_jobs", ())


class Failures:
    """Failed jobs. The error of the first one in order is raised when all others are done."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs, self._failed = jobs, dict[int, FailedJob]()
        self._first: tuple[int, BaseException] | None = None

    def add(self, index: int, error: BaseException) -> None:
        """Keep the error of a job. Errors of later jobs are kept as text, without their frames."""
        said = " ".join(str(error).split())[:300]
        text = "".join(traceback.format_exception(error))
        name = self._jobs[index].name
        self._failed[index] = FailedJob(index, name, f"{type(error).__name__}: {said}", text)
        if self._first is None or index < self._first[0]:
            self._first = index, error

    def add_text(self, index: int, failed: FailedJob, error: BaseException) -> None:
        """Keep a job that failed in an executor within this one, whose first error is `error`."""
        self._failed[index] = FailedJob(index, failed.name, failed.error, failed.traceback)
        if self._first is None:
            self._first = index, error

    def raise_first(self) -> None:
        """If any job failed, raise the error of the first one, with notes that name it and list the others."""
        if self._first is None:
            return
        index, error = self._first
        _note(error, f"In job {self._jobs[index].name!r}.")
        others = [failed for _, failed in sorted(self._failed.items()) if failed.index != index]
        if others:
            named = "; ".join(f"{failed.name!r} ({failed.error})" for failed in others[:5])
            more = f"; and {len(others) - 5} more" if len(others) > 5 else ""
            _note(error, f"Also failed: {named}{more}. All other jobs are done and their results delivered.")
        with contextlib.suppress(AttributeError):  # an error that takes no attributes
            error.failed_jobs = tuple(failed for _, failed in sorted(self._failed.items()))  # type: ignore[attr-defined]
        raise error


def _note(error: BaseException, note: str) -> None:
    """Add a note, unless an executor within this one has."""
    if note not in getattr(error, "__notes__", []):
        error.add_note(note)
