"""What holds for every executor: the same results, one thread, errors and warnings as they were raised."""

import os
import re
import sys
import traceback
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress, Silent
from ontogeny.execution import Executor, Job, Processes, Serial, default_executor

# Workers cannot import test modules.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

EXECUTORS = [Serial(), Processes(2)]


@pytest.fixture(params=EXECUTORS, ids=["serial", "processes"])
def executor(request: pytest.FixtureRequest) -> Executor:
    return request.param


@pytest.fixture
def two_threads() -> Generator[None]:
    before = torch.get_num_threads()
    with threadpool_limits(2):
        torch.set_num_threads(2)
        yield
    torch.set_num_threads(before)


class Recorder:
    """A weighted progress that keeps what it is told."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int]] = []
        self.finished: list[str] = []
        self.count = 0
        self.shares: list[float] = []
        self.notes: list[str] = []

    def start(self, task: str, total: int, done: int = 0) -> None:
        self.started.append((task, total))

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        self.count += amount
        self.notes.append(note)

    def weigh(self, task: str, share: float) -> None:
        self.shares.append(share)

    def finish(self, task: str) -> None:
        self.finished.append(task)


def run(executor: Executor, jobs: list[Job], progress: Progress | None = None, shared: Any = None) -> dict[int, Any]:
    results: dict[int, Any] = {}
    executor.run(jobs, progress or Silent(), results.__setitem__, shared=shared, task="testing")
    return results


def number_of_threads() -> set[int]:
    """Of PyTorch, of what it is built on, and of the libraries below NumPy."""
    own = re.findall(r"(?:at::get_num|_max)_threads\(\) : (\d+)", torch.__config__.parallel_info())
    return {torch.get_num_threads(), *map(int, own), *(library["num_threads"] for library in threadpool_info())}


def train(data: Tensor, progress: Progress) -> Tensor:
    """Weights after a few steps, whose sums over many samples are rounded differently on two threads."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(data.shape[1], 3)
    with torch.no_grad():
        model.weight.normal_(generator=generator)
        model.bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    progress.start("training", 3)
    for _ in range(3):
        optimizer.zero_grad()
        model(data).exp().mean().backward()
        optimizer.step()
        progress.advance("training")
    progress.finish("training")
    return model.weight.detach()


@pytest.mark.usefixtures("two_threads")
def test_results_are_the_same_bit_for_bit_whoever_runs_the_jobs() -> None:
    data = torch.randn(200_000, 6, generator=torch.Generator().manual_seed(1))
    jobs = [Job("training", train)] * 3
    serial, parallel = (run(executor, jobs, shared=data) for executor in EXECUTORS)
    assert sorted(serial) == sorted(parallel) == [0, 1, 2]
    for result in [*serial.values(), *parallel.values()]:
        assert torch.equal(result, serial[0])


@pytest.mark.usefixtures("two_threads")
def test_jobs_have_one_thread_and_the_caller_has_its_own_back(executor: Executor) -> None:
    def threads(shared: Any, progress: Progress) -> set[int]:
        return number_of_threads()

    def fails(shared: Any, progress: Progress) -> None:
        raise ValueError

    assert number_of_threads() == {2}
    results: dict[int, Any] = {}
    with pytest.raises(ValueError):  # noqa: PT011  (that it fails is not what is tested)
        executor.run([Job("threads", threads), Job("fails", fails)], Silent(), results.__setitem__)
    assert results == {0: {1}}
    assert number_of_threads() == {2}


def test_an_error_stops_no_other_job_and_names_its_own(executor: Executor) -> None:
    def job(number: int) -> Job:
        def function(shared: Any, progress: Progress) -> int:
            if number in (1, 2):
                raise InvalidArgument("number", expected="another", found=str(number))
            return number

        return Job(f"number {number}", function)

    results: dict[int, Any] = {}
    progress = Recorder()
    with pytest.raises(InvalidArgument, match="`number`: expected another, found 1") as caught:
        executor.run([job(number) for number in range(4)], progress, results.__setitem__, task="testing")
    assert results == {0: 0, 3: 3}
    assert caught.value.argument == "number"
    assert caught.value.__notes__[0] == "In job 'number 1'."
    assert "'number 2'" in caught.value.__notes__[1]
    text = "".join(traceback.format_exception(caught.value))
    assert 'raise InvalidArgument("number"' in text, "the line in the job"
    assert (progress.count, progress.finished) == (4, ["testing"])


def test_warnings_come_back_as_they_were_given(executor: Executor) -> None:
    class Odd(UserWarning):
        pass

    def warn(shared: Any, progress: Progress) -> str:
        warnings.warn("this is odd", Odd, stacklevel=1)
        warnings.warn("this is ignored", Odd, stacklevel=1)
        return "done"

    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "this is ign")
        assert run(executor, [Job("warns", warn)]) == {0: "done"}
    (warning,) = recorded
    assert (warning.category, str(warning.message), warning.filename) == (Odd, "this is odd", __file__)
    with pytest.raises(Odd, match="this is odd"):  # a warning is an error in tests
        run(executor, [Job("warns", warn)])

    def catches(shared: Any, progress: Progress) -> str:
        try:
            return warn(shared, progress)
        except Odd:
            return "caught"

    assert run(executor, [Job("catches", catches)]) == {0: "caught"}


def test_jobs_compute_under_the_callers_settings(executor: Executor, tmp_path: Path, monkeypatch: Any) -> None:
    def settings(shared: Any, progress: Progress) -> tuple[torch.dtype, str, str]:
        return torch.zeros(1).dtype, os.getcwd(), sys.path[0]

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("nowhere")
    torch.set_default_dtype(torch.float64)
    try:
        results = run(executor, [Job("settings", settings)])
    finally:
        torch.set_default_dtype(torch.float32)
    assert results == {0: (torch.float64, str(tmp_path), "nowhere")}


def test_a_job_that_runs_jobs_runs_them_serially(executor: Executor) -> None:
    def outer(shared: Any, progress: Progress) -> tuple[int, dict[int, int]]:
        inner: dict[int, int] = {}
        jobs = [Job(f"inner {n}", lambda shared, progress: os.getpid()) for n in range(3)]
        Processes(2).run(jobs, progress, inner.__setitem__)
        return os.getpid(), inner

    ((process, inner),) = run(executor, [Job("outer", outer)]).values()
    assert inner == dict.fromkeys(range(3), process)


def test_progress_counts_jobs_and_weighs_their_work(executor: Executor) -> None:
    def slow(shared: Any, progress: Progress) -> None:
        import time

        progress.start("steps", 10)
        for _ in range(10):
            time.sleep(0.07)
            progress.start("within", 2)
            progress.advance("within", 2)
            progress.finish("within")
            progress.advance("steps", note="slowly")
        progress.finish("steps")

    def quick(shared: Any, progress: Progress) -> None:
        progress.start("many", 1000)
        for _ in range(1000):
            progress.advance("many")
        progress.finish("many")

    progress = Recorder()
    run(executor, [Job("slow", slow, weight=9.0), Job("quick", quick)], progress)
    assert progress.started == [("testing", 2)]
    assert (progress.count, progress.finished) == (2, ["testing"])
    assert progress.shares == sorted(progress.shares)
    assert progress.shares[-1] == pytest.approx(1.0)
    within = [share for share in progress.shares if 0.1 < share < 0.89]
    assert len(set(within)) >= 2, "jobs report from inside, and by weight"
    assert len(progress.shares) < 100, "reports are limited in rate"
    assert any(note.startswith("slow: steps") for note in progress.notes)


def test_no_jobs_are_no_work(executor: Executor) -> None:
    assert run(executor, []) == {}


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_weights_are_positive(weight: float) -> None:
    with pytest.raises(InvalidArgument, match="weight"):
        Job("name", train, weight)


def test_the_default_is_processes_where_there_are_jobs_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loky.cpu_count", lambda: 4)
    assert [default_executor(num_jobs) for num_jobs in (1, 3, 9)] == [Serial(), Processes(3), Processes(4)]
    monkeypatch.setattr("loky.cpu_count", lambda: 1)
    assert default_executor(9) == Serial()
    with pytest.raises(InvalidArgument, match="num_workers"):
        Processes(0)


def test_an_interrupt_in_the_callers_own_code_stops_at_once(executor: Executor) -> None:
    """The last of this file, since it ends the workers that the tests above share."""
    results: dict[int, int] = {}

    def take(index: int, result: int) -> None:
        results[index] = result
        raise KeyboardInterrupt

    progress = Recorder()
    with pytest.raises(KeyboardInterrupt):
        executor.run([Job(f"{n}", lambda shared, progress: 1) for n in range(9)], progress, take, task="testing")
    assert len(results) == 1
    assert progress.finished == ["testing"]
