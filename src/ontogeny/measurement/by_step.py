"""Jobs at checkpoints of which few are within reach at a time: one step after another, the next fetched ahead."""

from collections.abc import Callable, Sequence
from typing import Any

from ontogeny.core.protocols import Progress, WeightedProgress, reporting
from ontogeny.execution import Executor, Failures, Job, failed_jobs
from ontogeny.stores import Checkpoints


def run_by_step(
    checkpoints: Checkpoints,
    steps: Sequence[int],
    jobs: Sequence[Job],
    executor: Executor,
    progress: Progress,
    on_result: Callable[[int, Any], None],
    shared: Any,
    task: str,
) -> None:
    """Run the jobs of each step together, with the contract of `Executor.run`, so that each step is loaded once.

    A checkpoint that cannot be had fails its own step alone.

    Args:
        steps: of each job.
    """
    total, done = sum(job.weight for job in jobs), 0.0
    failures = Failures(jobs)
    ordered = checkpoints.in_order(list(dict.fromkeys(steps)))
    with reporting(progress, task, len(jobs)), checkpoints.visiting(ordered):
        for step in ordered:
            mine = [index for index, at in enumerate(steps) if at == step]
            weight = sum(jobs[index].weight for index in mine)

            def deliver(index: int, result: Any, mine: list[int] = mine) -> None:
                on_result(mine[index], result)

            part = _Part(progress, done / total, weight / total)
            try:
                progress.advance(task, 0, f"fetching step {step}")
                checkpoints.visit(step)
                executor.run([jobs[index] for index in mine], part, deliver, shared=shared, task=task)
            except Exception as error:
                inside = failed_jobs(error)
                if not inside:  # the checkpoint cannot be had, so that all jobs of its step fail
                    for index in mine:
                        failures.add(index, error)
                for failed in inside:
                    failures.add_text(mine[failed.index], failed, error)
            done += weight
    failures.raise_first()


class _Part:
    """The progress of the jobs of one step, as part of that of all."""

    def __init__(self, progress: Progress, before: float, share: float) -> None:
        self._progress, self._before, self._share = progress, before, share

    def start(self, task: str, total: int, done: int = 0) -> None: ...

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        self._progress.advance(task, amount, note)

    def finish(self, task: str) -> None: ...

    def weigh(self, task: str, share: float) -> None:
        if isinstance(self._progress, WeightedProgress):
            self._progress.weigh(task, self._before + self._share * share)
