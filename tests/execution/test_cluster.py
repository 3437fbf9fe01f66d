"""Jobs on a Ray cluster of two nodes on this machine, one of which is killed."""

import sys
import time
from collections.abc import Generator
from typing import Any

import cloudpickle
import pytest
import torch
from torch import Tensor

from ontogeny.core.protocols import Progress, Silent
from ontogeny.execution import Job, Ray, Serial, WorkerLost, failed_jobs

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ray = pytest.importorskip("ray")
# Workers cannot import test modules.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def cluster() -> Generator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def job(number: int, seconds: float = 0.0) -> Job:
    """Products of matrices, whose sums are rounded differently on two threads; and the node that they were made on."""

    def work(shared: Tensor, progress: Progress) -> tuple[Tensor, str]:
        found = torch.randn(200, 200, generator=torch.Generator().manual_seed(number))
        progress.start("multiplying", 20)
        for _ in range(20):
            found = torch.tanh(found @ shared)
            time.sleep(seconds / 20)
            progress.advance("multiplying")
        progress.finish("multiplying")
        return found, ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""

    return Job(f"job {number}", work, weight=1.0 + number % 3)


SHARED = torch.randn(200, 200, generator=torch.Generator().manual_seed(99)) / 14


class Notes(Silent):
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.count = 0

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        self.notes.append(note)
        self.count += amount


def test_forty_jobs_of_which_a_node_is_killed_after_ten(cluster: Any) -> None:
    second = cluster.add_node(num_cpus=1)
    expected: dict[int, Any] = {}
    Serial().run([job(number) for number in range(40)], Silent(), expected.__setitem__, shared=SHARED)
    executor = Ray(address=cluster.address)
    executor.run([job(number, seconds=1.0) for number in range(4)], Silent(), lambda *_: None, shared=SHARED)
    found: dict[int, Any] = {}
    order: list[str] = []

    def receive(index: int, result: Any) -> None:
        assert index not in found
        found[index] = result
        order.append(result[1])
        if len(found) == 10:
            cluster.remove_node(second, allow_graceful=False)

    notes = Notes()
    executor.run([job(number, seconds=0.1) for number in range(40)], notes, receive, shared=SHARED)
    assert sorted(found) == list(range(40))
    assert all(torch.equal(found[number][0], expected[number][0]) for number in range(40))
    assert len(set(order[:10])) == 2
    assert len(set(order[20:])) == 1
    assert notes.count == 40
    assert any("multiplying" in note for note in notes.notes)


def test_errors_are_those_of_the_jobs_and_are_listed(cluster: Any) -> None:
    def fails(shared: Any, progress: Progress) -> None:
        raise ValueError("no")

    results: dict[int, Any] = {}
    jobs = [job(0), Job("first", fails), Job("second", fails)]
    with pytest.raises(ValueError, match="no") as caught:
        Ray().run(jobs, Silent(), results.__setitem__, shared=SHARED)
    assert list(results) == [0]
    assert [failed.name for failed in failed_jobs(caught.value)] == ["first", "second"]
    assert "fails" in str(caught.value.__cause__)


def test_a_job_that_kills_its_worker_again_and_again_is_lost_alone(cluster: Any) -> None:
    def dies(shared: Any, progress: Progress) -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    results: dict[int, Any] = {}
    with pytest.raises(WorkerLost, match="'dies'"):
        Ray(retries=1).run([Job("dies", dies), job(3)], Silent(), results.__setitem__, shared=SHARED)
    assert list(results) == [1]


def test_jobs_of_a_job_run_within_it(cluster: Any) -> None:
    def outer(shared: Any, progress: Progress) -> list[Any]:
        inner: dict[int, Any] = {}
        Ray().run([Job("a", lambda shared, progress: shared + 1)], progress, inner.__setitem__, shared=1)
        return list(inner.values())

    results: dict[int, Any] = {}
    Ray().run([Job("outer", outer)], Silent(), results.__setitem__)
    assert results == {0: [2]}
