"""A store's record of its jobs: which there are, which failed and why, and what the processes at work are doing.

| entry of the store | what it is |
|---|---|
| `jobs/TASK.json` | every job of the last call by name, with the folder of its result |
| `failed/NAME.json` | the error of a job that failed, until it succeeds |
| `working/PROCESS.json` | the progress of a process, while it works |
"""

import contextlib
import json
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.protocols import Progress, WeightedProgress
from ontogeny.execution import Job, failed_jobs
from ontogeny.stores import is_stale, process_name, write_json

_INTERVAL = 2.0  # seconds between two reports of one process


@dataclass(frozen=True)
class JobState:
    """A job of a store.

    Attributes:
        name: measurement, step and part.
        state: "done", "failed" or "waiting".
        error: of a failed job, on one line.
        traceback: of a failed job.
    """

    name: str
    state: str
    error: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class Working:
    """A process at work in a store.

    Attributes:
        name: such as "shard 2/4"; empty for a process that has all jobs.
        task, done, total, note: as its progress shows them.
        seconds: since its last report.
    """

    name: str
    task: str
    done: int
    total: int
    note: str
    seconds: float


class Record:
    """What one call leaves behind about its jobs; nothing without a store.

    Args:
        store: folder of the results.
        task: name of the call.
        listed: every job by name, with the place of its result.
    """

    def __init__(self, store: Path | None, task: str, listed: Sequence[tuple[str, Path]]) -> None:
        self._store, self._task = store, task
        if store is not None:
            for left in (store / "working").glob("*.json"):  # by processes that were killed
                if is_stale(left.stem, left):
                    left.unlink(missing_ok=True)
            entries = [[name, place.relative_to(store).as_posix()] for name, place in listed]
            write_json(store / "jobs" / f"{task.replace(' ', '-')}.json", entries)

    def done(self, place: Path) -> None:
        """Forget that a job failed before."""
        _failure(place).unlink(missing_ok=True)

    @contextlib.contextmanager
    def kept(
        self, jobs: Sequence[Job], places: Sequence[Path | None], progress: Progress, name: str
    ) -> Generator[Progress]:
        """Write down which jobs fail meanwhile, and how far they are; gives the progress to report to."""
        if self._store is None:
            yield progress
            return
        report = self._store / "working" / f"{process_name()}.json"
        try:
            yield _Told(progress, report, name)
        except Exception as error:
            for failed in failed_jobs(error):
                if (place := places[failed.index]) is not None:
                    write_json(_failure(place), asdict(failed) | {"result": place.name})
            raise
        finally:
            report.unlink(missing_ok=True)


class _Told:
    """A progress that also writes what it is told into a file, at most every two seconds."""

    def __init__(self, progress: Progress, report: Path, name: str) -> None:
        self._progress, self._report, self._name = progress, report, name
        self._task, self._total, self._done, self._last = "", 0, 0, 0.0

    def start(self, task: str, total: int, done: int = 0) -> None:
        self._task, self._total, self._done = task, total, done
        self._progress.start(task, total, done)
        self._write("")

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        self._done += amount
        self._progress.advance(task, amount, note)
        if time.monotonic() - self._last > _INTERVAL:
            self._write(note)

    def finish(self, task: str) -> None:
        self._progress.finish(task)

    def weigh(self, task: str, share: float) -> None:
        if isinstance(self._progress, WeightedProgress):
            self._progress.weigh(task, share)

    def _write(self, note: str) -> None:
        self._last = time.monotonic()
        said = {"name": self._name, "task": self._task, "done": self._done, "total": self._total, "note": note}
        with contextlib.suppress(OSError):  # a full disk must not lose the jobs
            write_json(self._report, said)


def jobs_in(store: str | Path) -> list[JobState]:
    """Every job of a store, in order: those of the choice of temperature, if there was one, and the measured ones.

    Raises:
        InvalidArgument: if nothing was ever measured there.
    """
    folder = Path(store)
    listings = sorted((folder / "jobs").glob("*.json"))
    if not listings:
        raise InvalidArgument(
            "store",
            expected="the folder of measurements",
            found=f"{folder} without any",
            instead='the folder that was given as store=, or "OUT/measurements" of `ontogeny measure --out OUT`',
        )
    found = {}
    for listing in listings:
        for name, result in _read(listing):
            place = folder / result
            if place.exists():
                found[result] = JobState(name, "done")
            elif _failure(place).exists():
                said = _read(_failure(place))
                found[result] = JobState(name, "failed", said["error"], said["traceback"])
            else:
                found[result] = JobState(name, "waiting")
    return list(found.values())


def working_in(store: str | Path) -> list[Working]:
    """The processes that are at work in a store, as far as is known from here."""
    found = []
    paths = sorted((Path(store) / "working").glob("*.json"))
    for path in [path for path in paths if not is_stale(path.stem, path)]:
        with contextlib.suppress(OSError, CorruptFile):  # it has just ended
            found.append(Working(**_read(path), seconds=max(time.time() - path.stat().st_mtime, 0.0)))
    return found


def _failure(place: Path) -> Path:
    return place.parent.parent / "failed" / f"{place.parent.name}-{place.stem}.json"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptFile(f"{path}: damaged; delete it") from error
