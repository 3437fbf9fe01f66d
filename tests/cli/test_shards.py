"""`ontogeny measure --shard i/n`, `ontogeny jobs` and `ontogeny gather`: the same trajectory as one process."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import xarray as xr

from ontogeny.stores import read_tree

Command = Callable[..., tuple[int, str, str]]
SETUP = """
import os
import torch
X = torch.arange(24.0).view(8, 3) / 24
data = (X, X.sum(1, keepdim=True).expand(-1, 2) + 1)

def model_fn():
    return torch.nn.Linear(3, 2)

def loss_fn(model, batch):
    if "BROKEN" in os.environ and model(torch.zeros(1, 3)).sum() == 2:
        raise OSError("no step 20 today")
    return ((model(batch[0]) - batch[1]) ** 2).sum(1)
"""
FEW = ["--nbeta", "5", "--localization", "10", "--jobs", "1", "--set", "sampler=fixed"]
FEW += [part for name in ("num_chains", "num_draws", "num_warmup") for part in ("--set", f"sampler.{name}=2")]


@pytest.fixture
def given(tmp_path: Path) -> list[object]:
    for step in (10, 20, 30):
        bias = torch.full((2,), step / 20)
        torch.save({"weight": torch.full((2, 3), step / 50), "bias": bias}, tmp_path / f"model_{step}.pt")
    (tmp_path / "setup.py").write_text(SETUP)
    return [f"{tmp_path}/model_{{N}}.pt", tmp_path / "setup.py", *FEW]


def trajectory(out: Path) -> xr.Dataset:
    return read_tree(out / "trajectory.zarr").to_dataset()


def test_shards_of_one_folder(ontogeny: Command, given: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, output, errors = ontogeny("measure", *given, "--shard", "2/2", "--out", out)
    assert code == 0, errors
    assert "shard 2/2 has done its 3 jobs; 3 are left to other shards" in output
    assert not (out / "report.html").exists()
    code, output, _ = ontogeny("jobs", out)
    assert code == 0
    assert "6 jobs: 3 done, 0 failed, 3 waiting" in output
    code, _, errors = ontogeny("gather", out)
    assert code == 2
    assert "3 jobs have no result: " in errors
    assert f"`ontogeny gather {out} --rerun` runs them" in errors
    code, output, errors = ontogeny("measure", *given, "--shard=1/2", "--out", out)
    assert code == 0, errors
    code, _, errors = ontogeny("gather", out)
    assert code == 0, errors
    ontogeny("measure", *given, "--out", tmp_path / "one")
    xr.testing.assert_identical(trajectory(out), trajectory(tmp_path / "one"))


@pytest.mark.slow
def test_shards_of_folders_of_their_own(ontogeny: Command, given: list[object], tmp_path: Path) -> None:
    for number in (1, 2):
        ontogeny("measure", *given, "--shard", f"{number}/2", "--out", tmp_path / str(number))
    code, output, errors = ontogeny("gather", tmp_path / "out", tmp_path / "1", tmp_path / "2")
    assert code == 0, errors
    assert f"report: {tmp_path / 'out' / 'report.html'}" in output
    assert trajectory(tmp_path / "out").sizes["step"] == 3


def test_failed_jobs_are_shown_and_rerun(
    ontogeny: Command, given: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv("BROKEN", "1")
    code, _, errors = ontogeny("measure", *given, "--out", out)
    assert code == 2
    assert f"2 jobs failed; `ontogeny jobs {out}` lists them" in errors
    assert "no step 20 today" in errors
    monkeypatch.delenv("BROKEN")
    _, output, _ = ontogeny("jobs", out, "--traceback")
    assert "6 jobs: 4 done, 2 failed, 0 waiting" in output
    assert "failed: loss step 20 data: OSError: no step 20 today" in output
    assert "in loss_fn" in output
    code, output, errors = ontogeny("gather", out, "--rerun")
    assert code == 0, errors
    _, output, _ = ontogeny("jobs", out)
    assert "6 jobs: 6 done, 0 failed, 0 waiting" in output
