"""Shards of a measurement, gathered: the same as one process; and jobs that fail, listed and rerun alone."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr
from torch import nn

import ontogeny as og
from ontogeny.execution import Gather, OtherShards, Serial, Shard, failed_jobs
from ontogeny.measurement import jobs_in
from ontogeny.measurement.record import Record
from ontogeny.stores import Checkpoints, process_name

FIXED: dict[str, Any] = {"nbeta": 10.0, "localization": 1.0}
FIXED["sampler"] = og.Fixed(kernel=og.SGLD(1e-3), num_chains=2, num_draws=4, num_warmup=2)
X = torch.randn(16, 3, generator=torch.Generator().manual_seed(3))
DATA = (X, X.sum(1, keepdim=True).expand(-1, 2) + 1)


def loss(model: nn.Module, batch: Any) -> torch.Tensor:
    # Asked first, broken or not: a branch on a value keeps chains from being mapped together, which moves last bits.
    second = bool(model(torch.zeros(1, 3)).sum() == 2)  # the biases of step 2
    if second and "BROKEN" in os.environ:
        raise OSError("no step 2 today")
    return ((model(batch[0]) - batch[1]) ** 2).sum(1)


def checkpoints() -> Checkpoints:
    return og.open_checkpoints(
        {step: {"weight": torch.full((2, 3), step / 10), "bias": torch.full((2,), step / 2)} for step in range(1, 5)}
    )


def measured(executor: Any, store: Path | None, **options: Any) -> xr.Dataset:
    return og.measure(
        checkpoints(), partial(nn.Linear, 3, 2), DATA, loss, store=store, executor=executor, **FIXED | options
    )


@pytest.mark.parametrize("order", [(3, 1, 4, 2), pytest.param((1, 2, 3, 4), marks=pytest.mark.slow)])
def test_four_shards_in_any_order_are_one_process(tmp_path: Path, order: tuple[int, ...]) -> None:
    for number in order[:3]:
        with pytest.raises(OtherShards, match=rf"shard {number}/4 has done its 2 jobs; \d are left"):
            measured(Shard(number, 4, Serial()), tmp_path)
    last = measured(Shard(order[3], 4, Serial()), tmp_path)  # nothing is left to others
    whole = measured(Serial(), None)
    xr.testing.assert_identical(last, whole)
    xr.testing.assert_identical(measured(Gather(), tmp_path), whole)


def test_every_job_is_in_one_shard_whatever_is_stored(tmp_path: Path) -> None:
    done = []
    for number in range(3):
        with pytest.raises(OtherShards) as rest:
            measured(Shard(number, 4, Serial()), tmp_path)
        done.append(rest.value.done)
        states = [job.state for job in jobs_in(tmp_path)]
        assert states.count("done") == sum(done)
    assert done == [2, 2, 2]


def test_gathering_says_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OtherShards):
        measured(Shard(1, 2, Serial()), tmp_path)
    with pytest.raises(OtherShards, match="4 jobs have no result: step 1"):
        measured(Gather(), tmp_path)


@pytest.mark.slow
def test_each_shard_has_the_choice_of_temperature(tmp_path: Path) -> None:
    free = {"nbeta": None, "localization": None, "sampler": og.Calibrated(error=0.5, budget=300)}
    with pytest.raises(OtherShards) as rest:
        measured(Shard(1, 2, Serial()), tmp_path, **free)
    assert len(rest.value.left) == 2  # losses were measured for the choice
    assert {job.state for job in jobs_in(tmp_path) if "pilot" in job.name} == {"done"}


def test_failed_jobs_are_listed_with_their_errors_and_rerun_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "1")
    with pytest.raises(OSError, match="no step 2") as caught:
        measured(Serial(), tmp_path)
    monkeypatch.delenv("BROKEN")
    failed = failed_jobs(caught.value)
    assert [job.error for job in failed] == ["OSError: no step 2 today"] * 2
    listed = jobs_in(tmp_path)
    assert [job.state for job in listed].count("done") == 6
    wrong = [(job.name, job.error) for job in listed if job.state == "failed"]
    assert [name for name, _ in wrong] == ["loss step 2 data", "llc step 2 whole network"]
    assert {error for _, error in wrong} == {"OSError: no step 2 today"}
    assert all("in loss" in job.traceback for job in listed if job.state == "failed")
    counted = Counting()
    again = measured(counted, tmp_path)
    assert counted.jobs == 2
    assert {job.state for job in jobs_in(tmp_path)} == {"done"}
    xr.testing.assert_identical(again, measured(Serial(), None))


class Counting(Serial):
    """Serial, which counts its jobs."""

    jobs = 0

    def run(self, jobs: Any, *args: Any, **options: Any) -> None:
        object.__setattr__(self, "jobs", self.jobs + len(jobs))
        super().run(jobs, *args, **options)


def test_shards_are_dealt_by_place() -> None:
    jobs = [og.execution.Job(str(number), lambda *_: None, place=number) for number in (4, 5, 9)]
    assert Shard(1, 4).mine(jobs) == [1, 2]
    assert Shard(0, 4).mine(jobs) == Shard(4, 4).mine(jobs) == [0]


def test_reports_of_killed_processes_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    working = tmp_path / "working"
    working.mkdir()
    machine, _, own = process_name().rpartition("-")
    for process in (str(ended.pid), own):
        (working / f"{machine}-{process}.json").write_text("{}")
    Record(tmp_path, "measuring", [])
    assert [path.stem for path in working.iterdir()] == [process_name()]
