"""Jobs on worker processes of this machine. They survive a killed worker."""

import os
import signal
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import cloudpickle
import loky
from loky.backend.context import LokyContext
from loky.process_executor import BrokenProcessPool

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress, reporting
from ontogeny.execution import worker
from ontogeny.execution.conditions import Settings, inside_job
from ontogeny.execution.jobs import Executor, Failures, Job, WorkerLost
from ontogeny.execution.reports import INTERVAL, Overview
from ontogeny.execution.serial import Serial
from ontogeny.execution.shipping import write_shared

# A job is started at most three times: twice with the others, and then alone. Alone it has all the memory, and the job
# that kills its worker is identified.
_RETRIES = 2
# Idle workers stay this many seconds, because a new one needs seconds to import PyTorch.
_IDLE = 30.0
# An object, not a name: once joblib is imported, the name means joblib's own loky, of another version.
_CONTEXT = LokyContext()


@dataclass(frozen=True)
class Processes:
    """An `Executor` that runs jobs on worker processes of one thread each.

    Functions of scripts and notebooks, lambdas and closures can be jobs, and a script needs no
    `if __name__ == "__main__":`. Large tensors in `shared` are mapped into the memory of all workers from one temporary
    file. Unfinished jobs of a killed worker are restarted, at most twice. A job that itself runs jobs runs them
    serially. Jobs with the largest weights start first.

    Args:
        num_workers: number of processes; default one per core.
    """

    num_workers: int | None = None

    def __post_init__(self) -> None:
        if self.num_workers is not None and self.num_workers < 1:
            raise InvalidArgument(
                "num_workers", expected="an integer ≥ 1", found=str(self.num_workers), instead="num_workers=1 or more"
            )

    def run(
        self,
        jobs: Sequence[Job],
        progress: Progress,
        on_result: Callable[[int, Any], None],
        *,
        shared: Any = None,
        task: str = "jobs",
    ) -> None:
        if inside_job() or not jobs:
            return Serial().run(jobs, progress, on_result, shared=shared, task=task)
        # Workers may still hold a file of the folder when it is removed, which some systems forbid.
        with tempfile.TemporaryDirectory(prefix="ontogeny-", ignore_cleanup_errors=True) as folder:
            write_shared(shared, Path(folder))
            with reporting(progress, task, len(jobs)), _loky_quiet():
                run = _Run(jobs, Overview(jobs, progress, task), on_result, Path(folder))
                run.finish_all(self.num_workers or loky.cpu_count())
        run.failures.raise_first()


def default_executor(num_jobs: int) -> Executor:
    """`Processes` with one worker per core, but no more than jobs; `Serial` if that is one."""
    num_workers = min(loky.cpu_count(), num_jobs)
    return Processes(num_workers) if num_workers > 1 else Serial()


class _Run:
    """One call of `Processes.run`: waiting, lost and failed jobs."""

    def __init__(
        self, jobs: Sequence[Job], overview: Overview, on_result: Callable[[int, Any], None], folder: Path
    ) -> None:
        self._jobs, self._overview, self._on_result, self._folder = jobs, overview, on_result, folder
        self._settings = Settings.of_this_process()
        self._waiting = set(range(len(jobs)))
        self._num_lost = dict.fromkeys(self._waiting, 0)
        self.failures = Failures(jobs)

    def finish_all(self, num_workers: int) -> None:
        """Run until no job waits, with a fresh pool after each broken one."""
        num_unused = 0
        while self._waiting:
            together = [index for index in self._waiting if self._num_lost[index] < _RETRIES]
            batch = together or [min(self._waiting)]
            batch.sort(key=lambda index: (-self._jobs[index].weight, index))
            broken = self._attempt(batch, min(num_workers, len(batch)) if together else 1)
            if broken is None:
                continue
            lost = worker.begun(self._folder)
            num_unused = 0 if lost else num_unused + 1
            if num_unused > _RETRIES:
                raise WorkerLost("Worker processes ended before they started a job; the cause is above.") from broken
            for index in lost:
                self._lose(index, broken)

    def _lose(self, index: int, broken: BrokenProcessPool) -> None:
        worker.forget_report(self._folder, index)
        self._overview.lost(index)
        self._num_lost[index] += 1
        if self._num_lost[index] > _RETRIES:
            error = WorkerLost(
                f"The worker process of job {self._jobs[index].name!r} was killed {self._num_lost[index]} times, the "
                "last time with no other job running. The likely cause is lack of memory: make the job smaller, or "
                "run it on a machine with more. Results of other jobs are kept."
            )
            error.__cause__ = broken
            self._end(index, error)

    def _attempt(self, batch: list[int], num_workers: int) -> BrokenProcessPool | None:
        """Run a batch until it is done, or until a killed worker breaks the pool."""
        pool, flying, queue = None, dict[Future[Any], int](), deque(batch)
        try:
            pool = _pool(num_workers)
            while queue or flying:
                while queue and len(flying) < 2 * num_workers:
                    self._submit(pool, queue.popleft(), flying)
                done, _ = loky.wait(flying, timeout=INTERVAL, return_when=loky.FIRST_COMPLETED)
                for future in done:
                    answer = future.result()
                    self._receive(flying.pop(future), answer)
                for index, (share, note) in worker.read_reports(self._folder).items():
                    self._overview.report(index, share, note)
        except BrokenProcessPool as broken:
            for future, index in flying.items():
                if future.done() and future.exception() is None:
                    self._receive(index, future.result())
            return broken
        except BaseException:  # an interrupt, or an error in `on_result`
            if pool is not None:
                pool.shutdown(wait=True, kill_workers=True)
            raise
        return None

    def _submit(self, pool: Any, index: int, flying: dict[Future[Any], int]) -> None:
        try:
            function = cloudpickle.dumps(self._jobs[index].function)
        except Exception as error:
            error.add_note("A job's function, and everything it refers to, must be picklable by cloudpickle.")
            self._end(index, error)
            return
        with _interrupts_held():
            flying[pool.submit(worker.work, function, index, str(self._folder), self._settings)] = index

    def _receive(self, index: int, answer: Any) -> None:
        error = None
        try:
            result = answer.unpack()
        except Exception as raised:
            error = raised
        else:
            self._on_result(index, result)
        self._end(index, error)

    def _end(self, index: int, error: BaseException | None) -> None:
        if error is not None:
            self.failures.add(index, error)
        self._waiting.remove(index)
        worker.forget_report(self._folder, index)
        self._overview.finished(index)


def _pool(num_workers: int) -> Any:
    """The pool of workers, reused by later calls."""
    with _interrupts_held():
        return loky.get_reusable_executor(
            max_workers=num_workers,
            context=_CONTEXT,
            timeout=_IDLE,
            initializer=worker.prepare,
            initargs=(os.getpid(),),
            env=worker.ENVIRONMENT,
        )


@contextmanager
def _loky_quiet() -> Generator[None]:
    """Ignore warnings of loky's own thread, which they would end if warnings are errors.

    They say that a worker was replaced because its memory grew, or that a worker's children could not be listed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        warnings.filterwarnings("ignore", "Failed to kill subprocesses", UserWarning)
        yield


@contextmanager
def _interrupts_held() -> Generator[None]:
    """Block interrupts while workers start. Workers inherit this, and leave interrupts to this process."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # unblocks interrupts when it starts, so it must run before
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
