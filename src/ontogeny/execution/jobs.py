"""`Job`, the protocol of executors, and the failures that are kept until all jobs are done."""

import math
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
    """

    name: str
    function: Callable[[Any, Progress], Any]
    weight: float = 1.0

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


class Failures:
    """Failed jobs. The error of the first one in order is raised when all others are done."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs, self._failed = jobs, set[int]()
        self._first: tuple[int, BaseException] | None = None

    def add(self, index: int, error: BaseException) -> None:
        """Keep the error of a job. Errors of later jobs are dropped, together with their frames."""
        self._failed.add(index)
        if self._first is None or index < self._first[0]:
            self._first = index, error

    def raise_first(self) -> None:
        """If any job failed, raise the error of the first one, with a note that names it."""
        if self._first is None:
            return
        index, error = self._first
        error.add_note(f"In job {self._jobs[index].name!r}.")
        others = [self._jobs[other].name for other in sorted(self._failed - {index})]
        if others:
            named = ", ".join(map(repr, others[:5])) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
            error.add_note(f"Also failed: {named}. All other jobs are done and their results delivered.")
        raise error
