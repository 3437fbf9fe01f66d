"""A series on a hub, measured with two checkpoints on disk, killed, and resumed without fetching anything twice."""

import os
import signal
import threading
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr
from tests.hub_server import HubServer, branches, suites, weights
from torch import nn

import ontogeny as og
from ontogeny.core.errors import CorruptFile
from ontogeny.measurement import choice_of, write_report
from ontogeny.measurement.choice import pilot_steps

pytest.importorskip("huggingface_hub")
FIXED = {
    "nbeta": 10.0,
    "localization": 1.0,
    "sampler": og.Fixed(kernel=og.SGLD(1e-3), num_chains=2, num_draws=4, num_warmup=2),
}
GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(16, 3, generator=GENERATOR)
DATA = (X, X.sum(1, keepdim=True).expand(-1, 2) + 1)


def loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return ((model(batch[0]) - batch[1]) ** 2).sum(1)


@pytest.fixture(scope="module")
def hub() -> Generator[HubServer]:
    server = HubServer().start()
    server.repos = suites()
    yield server
    server.stop()


class Watch:
    """A progress that keeps the largest number of checkpoints on disk, and kills its process after so many jobs."""

    def __init__(self, place: Path, kill_after: int = 10**9) -> None:
        self.place, self.left, self.most, self.done = place, kill_after, 0, 0

    def start(self, task: str, total: int, done: int = 0) -> None: ...

    def finish(self, task: str) -> None: ...

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        there = sum(path.is_dir() for path in self.place.glob("*/" + 40 * "?" + "*"))
        self.most, self.done = max(self.most, there), self.done + amount
        if self.done >= self.left:
            for thread in threading.enumerate():  # a transfer that is cut begins again
                if thread.name == "ontogeny-prefetch":
                    thread.join()
            os.kill(os.getpid(), signal.SIGKILL)


def measured(hub: HubServer, place: Path, name: str, watch: Watch, **options: Any) -> xr.Dataset:
    keep = options.pop("keep", "last")
    source = og.Hub(hub.endpoint, place / "cache")
    run = og.open_checkpoints(f"hf://{name}", every="log:5", keep=keep, hub=source)
    options = {"executor": og.execution.Serial(), "store": place / "store", "progress": watch, **FIXED, **options}
    return og.measure(run, partial(nn.Linear, 3, 2), DATA, loss, **options)


def fetched(hub: HubServer, name: str) -> list[int]:
    return [count for (repo, *_), count in hub.sent.items() if repo == name]


QUICK = ("allenai/OLMo-2-1124-7B",)


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[pytest.mark.slow] * (each not in QUICK)) for each in suites()]
)
def test_killed_and_resumed_without_fetching_twice(hub: HubServer, tmp_path: Path, name: str) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    child = os.fork()
    if not child:
        measured(hub, tmp_path, name, Watch(tmp_path / "cache", kill_after=5))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    before = len(list((tmp_path / "store").glob("*/*.zarr")))
    assert 4 <= before < 10
    watch = Watch(tmp_path / "cache")
    resumed = measured(hub, tmp_path, name, watch)
    assert watch.most <= 2
    assert watch.done == 10 - before
    assert set(fetched(hub, name)) == {1}
    assert resumed.sizes["step"] == 5


def test_where_weights_are_does_not_change_what_is_measured(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/same"] = branches(["step1000", "step2000", "step4000"])
    found = [
        measured(hub, tmp_path, "org/same", Watch(tmp_path / "cache"), store=None, keep=keep)
        for keep in ("none", "all")
    ]
    run = og.open_checkpoints({step: weights(step) for step in (1000, 2000, 4000)})
    options = {"executor": og.execution.Serial(), **FIXED}
    here = og.measure(run, partial(nn.Linear, 3, 2), DATA, loss, **options)
    xr.testing.assert_identical(found[0], found[1])
    xr.testing.assert_identical(found[0], here)


@pytest.mark.slow
def test_temperature_is_chosen_at_two_pilots_that_are_fetched_once(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/chosen"] = branches(["step0", "step1000", "step2000", "step4000"])
    watch = Watch(tmp_path / "cache")
    free = {"nbeta": None, "localization": None, "sampler": og.Calibrated(error=0.3, budget=2000)}
    found = measured(hub, tmp_path, "org/chosen", watch, **free)
    choice = choice_of(found)
    assert choice is not None
    assert choice["pilot"].values.tolist() == [0, 4000]
    assert watch.most <= 2
    assert set(fetched(hub, "org/chosen")) == {1}


def test_pilots_are_as_many_as_are_within_reach() -> None:
    assert pilot_steps(range(10)) == [0, 3, 6, 9]
    assert pilot_steps(range(10), at_once=2) == [0, 9]


def test_nothing_is_left_on_disk_if_nothing_is_kept(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/none"] = branches(["step1000", "step2000", "step4000"])
    watch = Watch(tmp_path / "cache")
    measured(hub, tmp_path, "org/none", watch, keep="none")
    assert 0 < watch.most <= 2
    assert not list((tmp_path / "cache").glob("*/" + 40 * "?"))
    assert set(fetched(hub, "org/none")) == {1}


def test_a_damaged_checkpoint_fails_its_own_step_alone(hub: HubServer, tmp_path: Path) -> None:
    repo = hub.repos["org/damaged"] = branches(["step1000", "step2000", "step4000"])
    commit, watch = repo.commits[repo.branches["step2000"][-1]], Watch(tmp_path / "cache")
    good = commit.files
    run = og.open_checkpoints("hf://org/damaged", hub=og.Hub(hub.endpoint, tmp_path / "cache"))
    commit.made = {**good, "model.safetensors": good["model.safetensors"][:-1] + b"?"}
    options = {"executor": og.execution.Serial(), "store": tmp_path / "store", "progress": watch, **FIXED}
    with pytest.raises(CorruptFile, match=r"step2000: model.safetensors does not match"):
        og.measure(run, partial(nn.Linear, 3, 2), DATA, loss, **options)
    assert watch.done == 4  # both jobs of the other two steps
    commit.made = good
    assert og.measure(run, partial(nn.Linear, 3, 2), DATA, loss, **options).sizes["step"] == 3
    assert watch.done == 6


@pytest.mark.slow
def test_workers_read_what_the_parent_fetched(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["org/workers"] = branches(["step1000", "step2000", "step4000"])
    watch = Watch(tmp_path / "cache")
    found = measured(hub, tmp_path, "org/workers", watch, executor=og.execution.Processes(2))
    assert watch.most <= 2
    assert set(fetched(hub, "org/workers")) == {1}
    xr.testing.assert_identical(found, measured(hub, tmp_path / "other", "org/workers", watch))


def test_tokens_and_what_is_missing_are_in_the_trajectory_and_its_report(hub: HubServer, tmp_path: Path) -> None:
    name = "allenai/OLMo-2-1124-7B"
    found = measured(hub, tmp_path, name, Watch(tmp_path / "cache"), components=[], **dict.fromkeys(FIXED))
    assert found.tokens.values[0] == 5e9
    assert "100000" in found.attrs["missing"]
    page = write_report(found, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "100,000 (no revision)" in page
    assert "trillion tokens" in page or "billion tokens" in page
