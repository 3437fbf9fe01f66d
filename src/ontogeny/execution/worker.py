"""The worker process, which runs one job at a time and reports its progress."""

import json
import os
import pickle
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ontogeny.execution.conditions import Settings, job_conditions
from ontogeny.execution.reports import JobProgress, Report
from ontogeny.execution.shipping import Answer, pack, read_shared

# Set before a worker imports anything: some libraries read their number of threads only on import.
ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

_REPORTS = "job-"


def prepare(parent: int) -> None:
    """Prepare a new worker; called once.

    The parent handles interrupts and stops its workers itself. A worker whose parent was killed exits, and removes the
    files that the parent left.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


# The folder of the current call.
_folders: list[str] = []


def work(function: bytes, index: int, folder: str, settings: Settings) -> Answer:
    """Run one job on this machine, with shared state and reports in a folder."""
    _folders[:] = [folder]
    report = partial(_write_report, Path(folder) / f"{_REPORTS}{index}")
    return perform(function, partial(read_shared, Path(folder)), report, settings)


def perform(
    function: bytes, shared: Callable[[], Any], report: Report, settings: Settings, elsewhere: bool = False
) -> Answer:
    """Run one job. Its function arrives pickled, so that a failure to load it is the job's, not the worker's."""
    report(0.0, "")
    result, error = None, None
    with settings.recorded_warnings() as recorded:
        try:
            settings.take_over(elsewhere)
            with job_conditions():
                result = pickle.loads(function)(shared(), JobProgress(report))
        except Exception as raised:
            error = raised
    return pack(result, error, recorded)


def _write_report(path: Path, share: float, note: str) -> None:
    with suppress(OSError):  # a full disk must not lose the job
        path.write_text(json.dumps([share, note]), encoding="utf-8")


def read_reports(folder: Path) -> dict[int, tuple[float, str]]:
    """The progress of started jobs, by index. A report still being written is skipped."""
    found: dict[int, tuple[float, str]] = {}
    for path in folder.glob(f"{_REPORTS}*"):
        with suppress(ValueError, FileNotFoundError):
            share, note = json.loads(path.read_text(encoding="utf-8"))
            found[int(path.name.removeprefix(_REPORTS))] = share, note
    return found


def begun(folder: Path) -> set[int]:
    """The jobs that workers have started and whose reports still exist."""
    return {int(path.name.removeprefix(_REPORTS)) for path in folder.glob(f"{_REPORTS}*")}


def forget_report(folder: Path, index: int) -> None:
    """Remove the report of a finished job."""
    (folder / f"{_REPORTS}{index}").unlink(missing_ok=True)
