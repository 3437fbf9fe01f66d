"""Jobs on a Ray cluster. They survive a killed worker and a killed node."""

import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cloudpickle

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress, reporting
from ontogeny.execution.conditions import Settings, inside_job
from ontogeny.execution.jobs import Failures, Job, WorkerLost
from ontogeny.execution.reports import INTERVAL, Overview
from ontogeny.execution.serial import Serial
from ontogeny.execution.shipping import Answer
from ontogeny.execution.worker import perform

# Jobs that are submitted beyond those that can run: each holds its pickled function in the cluster.
_WAITING = 8


@dataclass(frozen=True)
class Ray:
    """An `Executor` that runs jobs on the nodes of a Ray cluster; needs `pip install "ontogeny[ray]"`.

    Every job is a Ray task of one thread, and `shared` is sent to each node once. A job whose worker or node dies is
    started again elsewhere. Results are those of `Serial`, bit for bit, on machines of one kind: other processors may
    round sums differently. Nodes need the same versions of ontogeny and its libraries, and the files that jobs read.

    A connection that the program has made with `ray.init` is used. Else one is made at the first run, which lasts until
    the program ends or calls `ray.shutdown`.

    Args:
        address: of a cluster, such as "auto"; default `RAY_ADDRESS`, or a cluster of this machine alone.
        num_cpus, num_gpus: that a job takes up of its node; fractions let several jobs share a GPU.
        memory: bytes that a job takes up of its node; 0 for unknown.
        retries: how often a job is started again after its worker or node died.
    """

    address: str | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    memory: int = 0
    retries: int = 3

    def __post_init__(self) -> None:
        for name, least in {"num_cpus": 0.0, "num_gpus": 0.0, "memory": 0, "retries": 0}.items():
            if getattr(self, name) < least:
                raise InvalidArgument(
                    name, expected="a number ≥ 0", found=str(getattr(self, name)), instead=f"{name}={least:g}"
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
        ray = self._connected()
        failures = Failures(jobs)
        with reporting(progress, task, len(jobs)), _board(ray) as board:
            options = {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus, "max_retries": self.retries}
            options |= {"memory": self.memory} if self.memory else {}
            # in a list, so that the worker gets the reference, and reads what it refers to once
            reference = [ray.put(_pickled(shared, "`shared`"))]
            start = ray.remote(_work).options(**options)
            _Flight(ray, jobs, start, (reference, board, Settings.of_this_process())).finish_all(
                Overview(jobs, progress, task), on_result, failures
            )
        failures.raise_first()

    def _connected(self) -> Any:
        try:
            import ray
        except ImportError as error:
            raise InvalidArgument(
                "executor",
                expected="the library ray",
                found="none installed",
                instead='pip install "ontogeny[ray]", or execution.Processes(2) on this machine',
            ) from error
        if not ray.is_initialized():
            address = self.address or os.environ.get("RAY_ADDRESS") or "local"
            ray.init(address=address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
        return ray


class _Flight:
    """One call of `Ray.run`: jobs that wait, and those that are submitted."""

    def __init__(self, ray: Any, jobs: Sequence[Job], start: Any, common: tuple[Any, ...]) -> None:
        self._ray, self._jobs, self._start, self._common = ray, jobs, start, common
        self._flying: dict[Any, int] = {}

    def finish_all(self, overview: Overview, on_result: Callable[[int, Any], None], failures: Failures) -> None:
        """Run all jobs, those with the largest weights first."""
        order = sorted(range(len(self._jobs)), key=lambda index: (-self._jobs[index].weight, index))
        waiting, board = deque(order), self._common[1]
        try:
            while waiting or self._flying:
                room = self._ray.cluster_resources().get("CPU", 1) + _WAITING
                while waiting and len(self._flying) < room:
                    self._submit(waiting.popleft(), overview, failures)
                done, _ = self._ray.wait(list(self._flying), timeout=INTERVAL) if self._flying else ([], [])
                for reference in done:
                    index = self._flying.pop(reference)
                    self._receive(reference, index, on_result, failures)
                    overview.finished(index)
                running = set(self._flying.values())
                for index, told in self._ray.get(board.read.remote()).items():
                    if index in running:
                        overview.report(index, *told)
        except BaseException:  # an interrupt, or an error in `on_result`
            for reference in self._flying:
                self._ray.cancel(reference, force=True)
            raise

    def _submit(self, index: int, overview: Overview, failures: Failures) -> None:
        try:
            function = _pickled(self._jobs[index].function, "A job's function")
        except Exception as error:
            failures.add(index, error)
            overview.finished(index)
            return
        self._flying[self._start.remote(function, index, *self._common)] = index

    def _receive(self, reference: Any, index: int, on_result: Callable[[int, Any], None], failures: Failures) -> None:
        try:
            answer: Answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            said = " ".join(str(error).split())[:300]
            lost = WorkerLost(
                f"Job {self._jobs[index].name!r} was lost with its worker or node, and was not started again ({said}). "
                "Results of other jobs are kept."
            )
            lost.__cause__ = error
            failures.add(index, lost)
            return
        try:
            result = answer.unpack()
        except Exception as error:
            failures.add(index, error)
        else:
            on_result(index, result)


def _pickled(value: Any, what: str) -> bytes:
    try:
        return cloudpickle.dumps(value)
    except Exception as error:
        error.add_note(f"{what}, and everything it refers to, must be picklable by cloudpickle.")
        raise


@contextlib.contextmanager
def _board(ray: Any) -> Generator[Any]:
    """An actor beside this process that holds the latest report of each job."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()
    try:
        yield board
    finally:
        ray.kill(board)


class _Board:
    def __init__(self) -> None:
        self._reports: dict[int, tuple[float, str]] = {}

    def report(self, index: int, share: float, note: str) -> None:
        self._reports[index] = share, note

    def read(self) -> dict[int, tuple[float, str]]:
        return self._reports


def _work(function: bytes, index: int, shared: list[Any], board: Any, settings: Settings) -> Answer:
    """One job, in a worker of the cluster."""

    def report(share: float, note: str) -> None:
        board.report.remote(index, share, note)

    return perform(function, partial(_read, shared[0]), report, settings, elsewhere=True)


_kept: dict[str, Any] = {}


def _read(reference: Any) -> Any:
    """The shared state of a call, unpickled once a worker."""
    import ray

    key = reference.hex()
    if key not in _kept:
        _kept.clear()
        _kept[key] = cloudpickle.loads(ray.get(reference))
    return _kept[key]
