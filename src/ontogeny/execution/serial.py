"""Jobs one after another, in this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ontogeny.core.protocols import Progress, reporting
from ontogeny.execution.conditions import job_conditions
from ontogeny.execution.jobs import Failures, Job
from ontogeny.execution.reports import JobProgress, Overview


@dataclass(frozen=True)
class Serial:
    """An `Executor` that runs jobs one after another, in order, in this process."""

    def run(
        self,
        jobs: Sequence[Job],
        progress: Progress,
        on_result: Callable[[int, Any], None],
        *,
        shared: Any = None,
        task: str = "jobs",
    ) -> None:
        failures = Failures(jobs)
        with reporting(progress, task, len(jobs)):
            overview = Overview(jobs, progress, task)
            for index, job in enumerate(jobs):
                overview.report(index, 0.0, "")
                try:
                    with job_conditions():
                        result = job.function(shared, JobProgress(partial(overview.report, index)))
                except Exception as error:
                    failures.add(index, error)
                else:
                    on_result(index, result)
                overview.finished(index)
        failures.raise_first()
