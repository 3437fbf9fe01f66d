"""One part of the jobs, for programs that are started many times side by side, such as the tasks of a SLURM array."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ontogeny.core.errors import InvalidArgument, OntogenyError
from ontogeny.core.protocols import Progress
from ontogeny.execution.jobs import Executor, Job
from ontogeny.execution.processes import default_executor


class OtherShards(OntogenyError):
    """A shard has done its own jobs; the others' results are not there yet.

    Attributes:
        done: number of jobs that were this shard's, without those that were stored before.
        left: names of the jobs of other shards.
    """

    def __init__(self, message: str, done: int, left: Sequence[str]) -> None:
        self.done, self.left = done, tuple(left)
        super().__init__(message)


@dataclass(frozen=True)
class Shard:
    """An `Executor` that runs the jobs of one shard of several, and leaves the others to programs like this one.

    All programs are given the same work and one store, or stores that are put together later. Jobs are dealt out by
    their place among all, whatever is stored already, so that no job belongs to two shards. What must be known before
    jobs can be dealt out, as the choice of temperature, every shard works out for itself, unless the store has it.

    Args:
        number: of this shard, from 1 to `count`; 0 means `count`, for arrays that begin at 0.
        count: how many there are.
        executor: runs the jobs of this shard; default one process a core.
    """

    number: int
    count: int
    executor: Executor | None = None

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.number <= self.count:
            raise InvalidArgument(
                "shard",
                expected="a number of the shard from 1 to how many there are",
                found=f"{self.number}/{self.count}",
                instead=f"Shard(1, {max(self.count, 1)})",
            )

    @classmethod
    def of(cls, text: str, executor: Executor | None = None) -> "Shard":
        """The shard that "2/4" names."""
        form = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if form is None:
            raise InvalidArgument("shard", expected='"i/n", such as "2/4"', found=repr(text), instead='"1/4"')
        return cls(int(form[1]), int(form[2]), executor)

    def mine(self, jobs: Sequence[Job]) -> list[int]:
        """Indices of this shard's jobs."""
        places = [index if job.place is None else job.place for index, job in enumerate(jobs)]
        return [index for index, place in enumerate(places) if place % self.count == self.number % self.count]

    def within(self, jobs: Sequence[Job]) -> Executor:
        """Who runs the jobs of this shard."""
        return self.executor or default_executor(len(jobs))

    def run(
        self,
        jobs: Sequence[Job],
        progress: Progress,
        on_result: Callable[[int, Any], None],
        *,
        shared: Any = None,
        task: str = "jobs",
    ) -> None:
        """Run this shard's jobs, as `Executor.run` would.

        Raises:
            OtherShards: if there are jobs of others.
        """
        mine = self.mine(jobs)
        chosen = [jobs[index] for index in mine]

        def deliver(index: int, result: Any) -> None:
            on_result(mine[index], result)

        self.within(chosen).run(chosen, progress, deliver, shared=shared, task=task)
        self.require_all(jobs)

    def require_all(self, jobs: Sequence[Job]) -> None:
        """Say that other shards' jobs are not done, if there are any."""
        mine = self.mine(jobs)
        left = [job.name for index, job in enumerate(jobs) if index not in set(mine)]
        if left:
            raise OtherShards(
                f"shard {self.number}/{self.count} has done its {len(mine)} jobs; {len(left)} are left to other shards",
                len(mine),
                left,
            )


@dataclass(frozen=True)
class Gather:
    """An `Executor` that runs nothing: it puts together what shards have stored, and says what is not there."""

    def run(
        self,
        jobs: Sequence[Job],
        progress: Progress,
        on_result: Callable[[int, Any], None],
        *,
        shared: Any = None,
        task: str = "jobs",
    ) -> None:
        """Refuse to run jobs.

        Raises:
            OtherShards: if there are any, with their names.
        """
        if jobs:
            named = ", ".join(job.name for job in jobs[:6]) + (f" and {len(jobs) - 6} more" if len(jobs) > 6 else "")
            raise OtherShards(f"{len(jobs)} jobs have no result: {named}", 0, [job.name for job in jobs])
