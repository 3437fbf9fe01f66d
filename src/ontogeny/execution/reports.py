"""Progress of jobs: what a job reports, and one overview of all of them."""

import time
from collections.abc import Callable, Sequence

from ontogeny.core.protocols import Progress, WeightedProgress
from ontogeny.execution.jobs import Job

# Seconds between two reports of one job: each costs a small file or a drawn line.
INTERVAL = 0.2
# A job is done when its result arrives; until then its reports count up to this share.
_NOT_DONE = 0.99

Report = Callable[[float, str], None]


class JobProgress:
    """The `Progress` of one job, forwarded at most five times a second as a share of the job and a note.

    The outermost open task sets the share; tasks within it only name the current activity. The share never falls. A job
    with several successive steps should report one task over all of them.
    """

    def __init__(self, report: Report) -> None:
        self._report, self._open = report, dict[str, list[int]]()
        self._share, self._last = 0.0, -INTERVAL

    def start(self, task: str, total: int, done: int = 0) -> None:
        self._open[task] = [total, done]
        self._pass_on(task)

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        self._open[task][1] += amount
        self._pass_on(f"{task} {note}".strip())

    def finish(self, task: str) -> None:
        self._open.pop(task)

    def _pass_on(self, note: str) -> None:
        total, done = next(iter(self._open.values()))
        if total:
            self._share = max(self._share, min(done / total, _NOT_DONE))
        if time.monotonic() - self._last >= INTERVAL:
            self._last = time.monotonic()
            self._report(self._share, note)


class Overview:
    """One task for all jobs: how many are done, which are running, and the weighted share of the work done."""

    def __init__(self, jobs: Sequence[Job], progress: Progress, task: str) -> None:
        self._jobs, self._progress, self._task = jobs, progress, task
        self._total = sum(job.weight for job in jobs)
        self._finished = 0.0
        self._running: dict[int, tuple[float, str]] = {}

    def report(self, index: int, share: float, note: str) -> None:
        """Record the progress of a running job."""
        self._running[index] = share, note
        self._show(0)

    def lost(self, index: int) -> None:
        """Record that a job stopped and has to restart."""
        self._running.pop(index, None)
        self._show(0)

    def finished(self, index: int) -> None:
        """Record that a job has ended, successfully or not."""
        self._running.pop(index, None)
        self._finished += self._jobs[index].weight
        self._show(1)

    def _show(self, amount: int) -> None:
        self._progress.advance(self._task, amount, self._note())
        if isinstance(self._progress, WeightedProgress):
            partly = sum(self._jobs[index].weight * share for index, (share, _) in self._running.items())
            self._progress.weigh(self._task, min((self._finished + partly) / self._total, 1.0))

    def _note(self) -> str:
        """The running jobs; if there is only one, also its activity."""
        names = [self._jobs[index].name for index in self._running]
        if len(names) == 1:
            (note,) = (note for _, note in self._running.values())
            return f"{names[0]}: {note}" if note else names[0]
        return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
