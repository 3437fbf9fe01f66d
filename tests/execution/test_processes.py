"""Worker processes: killed ones, interrupts, scripts, and what travels to them."""

import multiprocessing
import multiprocessing.context
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import loky
import loky.backend.utils
import loky.process_executor
import pytest

from ontogeny.core.protocols import Progress, Silent
from ontogeny.execution import Job, Processes, WorkerLost, worker
from ontogeny.execution.conditions import Settings
from ontogeny.execution.processes import _loky_quiet

cloudpickle.register_pickle_by_value(sys.modules[__name__])

TWO = Processes(2)


def run(jobs: list[Job], shared: Any = None) -> dict[int, Any]:
    results: dict[int, Any] = {}
    TWO.run(jobs, Silent(), results.__setitem__, shared=shared)
    return results


def process(shared: Any, progress: Progress) -> int:
    return os.getpid()


def test_workers_are_kept_for_the_next_call(tmp_path: Path) -> None:
    def together(shared: Path, progress: Progress) -> int:
        (shared / str(os.getpid())).touch()
        while len(list(shared.iterdir())) < 2:  # until the other worker is there
            time.sleep(0.05)
        return os.getpid()

    jobs = [Job(f"job {n}", together) for n in range(2)]
    first, second = set(run(jobs, tmp_path).values()), set(run(jobs, tmp_path).values())
    assert len(first) == 2
    assert second <= first
    assert os.getpid() not in first


@pytest.mark.slow
def test_workers_are_those_of_loky_itself_where_joblib_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import joblib.externals.loky.backend.context as other

    def kind(shared: Any, progress: Progress) -> str:
        return type(multiprocessing.current_process()).__module__

    # As an import of joblib after loky leaves it.
    monkeypatch.setitem(vars(multiprocessing.context)["_concrete_contexts"], "loky", other.LokyContext())
    loky.get_reusable_executor().shutdown(kill_workers=True)
    assert run([Job("kind", kind)]) == {0: "loky.backend.process"}


def test_costly_jobs_begin_first() -> None:
    def begun(shared: Any, progress: Progress) -> float:
        time.sleep(0.1)
        return time.monotonic()

    weights = [1.0, 1.0, 5.0, 9.0]
    when = run([Job(f"{weight}", begun, weight) for weight in weights])
    assert max(when[2], when[3]) < min(when[0], when[1])


class Counted:
    """Writes a line to a file whenever it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        with self.file.open("a") as file:
            file.write("read\n")


def test_shared_state_is_sent_to_each_worker_once(tmp_path: Path) -> None:
    def use(shared: Any, progress: Progress) -> str:
        return type(shared).__name__

    results = run([Job(f"job {n}", use) for n in range(12)], shared=Counted(tmp_path / "read"))
    assert set(results.values()) == {"Counted"}
    assert 1 <= len((tmp_path / "read").read_text().splitlines()) <= 2


def test_what_cannot_be_pickled_fails_alone() -> None:
    generator = (n for n in range(3))
    jobs = [
        Job("holds one", lambda shared, progress: generator),
        Job("gives one", lambda shared, progress: (n for n in range(3))),
        Job("process", process),
    ]
    results: dict[int, Any] = {}
    for job in jobs[:2]:
        results.clear()
        with pytest.raises(TypeError, match="generator") as caught:
            TWO.run([job, jobs[2]], Silent(), results.__setitem__)
        assert list(results) == [1]
        assert f"In job {job.name!r}." in caught.value.__notes__
    with pytest.raises(TypeError, match="generator") as caught:
        run([jobs[2]], shared=generator)
    assert "`shared`" in caught.value.__notes__[0]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="the system has no signal masks")
def test_workers_leave_interrupts_to_the_caller_from_their_first_moment() -> None:
    def held(shared: Any, progress: Progress) -> tuple[bool, bool]:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return signal.SIGINT in mask, signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    assert run([Job("held", held)]) == {0: (True, True)}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


# The tests below end the workers that those above share.


def dies(counter: Path, times: int) -> Callable[[Any, Progress], str]:
    """A job that kills its own process the first few times it is run."""

    def function(shared: Any, progress: Progress) -> str:
        with counter.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if len(counter.read_text().splitlines()) <= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    return function


def test_jobs_of_a_killed_worker_are_begun_again(tmp_path: Path) -> None:
    delivered: list[int] = []
    jobs = [Job(f"job {n}", process) for n in range(6)]
    jobs.insert(3, Job("dies", dies(tmp_path / "deaths", times=1)))
    results: dict[int, Any] = {}

    def take(index: int, result: Any) -> None:
        delivered.append(index)
        results[index] = result

    TWO.run(jobs, Silent(), take)
    assert sorted(delivered) == list(range(7)), "each once"
    assert results[3] == "survived"
    assert len((tmp_path / "deaths").read_text().splitlines()) == 2


@pytest.mark.slow
def test_a_job_that_always_kills_its_worker_is_named_and_costs_no_job_beside_it(tmp_path: Path) -> None:
    def begun(name: str) -> int:
        return len((tmp_path / name).read_text().splitlines()) if (tmp_path / name).exists() else 0

    def dies(shared: Any, progress: Progress) -> None:
        with (tmp_path / "dies").open("a") as file:
            file.write("begun\n")
        deadline = time.monotonic() + 5
        while begun("beside") < begun("dies") and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)

    def beside(shared: Any, progress: Progress) -> str:
        with (tmp_path / "beside").open("a") as file:
            file.write("begun\n")
        time.sleep(3.0)
        return "done"

    results: dict[int, Any] = {}
    with pytest.raises(WorkerLost, match=r"'dies' was killed 3 times.*memory") as caught:
        TWO.run([Job("dies", dies), Job("beside", beside)], Silent(), results.__setitem__)
    assert results == {1: "done"}
    assert caught.value.__notes__ == ["In job 'dies'."]
    assert (begun("dies"), begun("beside")) == (3, 3), "killed twice beside the other, then each alone"


def test_workers_that_cannot_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "ENVIRONMENT", {**worker.ENVIRONMENT, "PYTHONHOME": "nowhere"})
    with pytest.raises(WorkerLost, match="ended before they started a job") as caught:
        run([Job("process", process)])
    assert caught.value.__cause__ is not None


def test_a_report_that_cannot_be_written_costs_no_job(tmp_path: Path) -> None:
    worker.work(cloudpickle.dumps(process), 0, str(tmp_path / "missing"), Settings.of_this_process())


def test_warnings_of_lokys_thread_are_ignored() -> None:
    """An error in that thread would leave the caller waiting for ever. The texts are loky's."""
    texts = "A worker stopped while some jobs were given", "Failed to kill subprocesses on this platform"
    sources = Path(loky.process_executor.__file__).read_text(), Path(loky.backend.utils.__file__).read_text()
    with _loky_quiet():
        for text, source in zip(texts, sources, strict=True):
            assert text in source
            warnings.warn(text, UserWarning, stacklevel=1)


SCRIPT = """
import os, sys, time
from ontogeny.core.protocols import Silent
from ontogeny.execution import Job, Processes

class Result:
    def __init__(self, number):
        self.number = number

def work(number, wait):
    with open(f"process-{os.getpid()}", "w"):
        time.sleep(wait)
    return Result(number)

def keep(index, result):
    assert isinstance(result, Result)
    with open(f"result-{result.number}", "w"):
        pass

wait = float(sys.argv[1])
jobs = [Job(f"job {n}", lambda shared, progress, n=n: work(n, wait if n else 0.0)) for n in range(4)]
Processes(2).run(jobs, Silent(), keep)
"""


def start(folder: Path, wait: float) -> subprocess.Popen[str]:
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "script.py", str(wait)]
    # A session of its own: a terminal sends its interrupt to all processes of the group.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    (folder / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "temporary")}
    # where pytest itself runs in the background of a shell, interrupts are ignored, and so they would be here
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, preexec_fn=heard, **pipes)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    _, errors = start(tmp_path, wait=0.0).communicate(timeout=120)
    assert errors == ""
    assert len(list(tmp_path.glob("result-*"))) == 4


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the states of processes from /proc")
@pytest.mark.parametrize("how", ["interrupt", pytest.param("kill", marks=pytest.mark.slow)])
def test_a_stopped_run_keeps_results_and_leaves_no_worker(how: str, tmp_path: Path) -> None:
    script = start(tmp_path, wait=300.0)
    deadline = time.monotonic() + 120
    while not ((tmp_path / "result-0").exists() and len(list(tmp_path.glob("process-*"))) == 2):
        assert time.monotonic() < deadline
        assert script.poll() is None, script.communicate()
        time.sleep(0.1)
    if how == "interrupt":
        os.killpg(script.pid, signal.SIGINT)
    else:
        script.kill()
    _, errors = script.communicate(timeout=180)
    assert script.returncode != 0
    if how == "interrupt":
        assert errors.count("KeyboardInterrupt") == 1, errors
    workers = [int(path.name.removeprefix("process-")) for path in tmp_path.glob("process-*")]
    deadline = time.monotonic() + 10
    while how == "kill" and any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))
    assert (tmp_path / "result-0").exists()
    assert list((tmp_path / "temporary").glob("ontogeny-*")) == []
