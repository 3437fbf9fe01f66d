"""A workspace makes each artefact once, whole or not at all, and anew when what decides it changes."""

import importlib.util
import json
import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.execution import Serial
from ontogeny.measurement import Losses
from ontogeny.stores import read_manifest
from ontogeny.studies.artefacts import place, read_steps
from ontogeny.studies.findings import Missing, Unavailable
from ontogeny.studies.workspace import Workspace
from ontogeny.training import TrainingConfig


class Calls:
    """What was called, which decides nothing."""

    names: list[str]

    def __fingerprint__(self) -> tuple[()]:
        return ()


CALLS = Calls()
TRAINING = TrainingConfig(num_steps=20, batch_size=8, learning_rate=0.1, checkpoints_log=4, checkpoints_linear=0)


def double(values: xr.Dataset, factor: float = 2.0) -> xr.Dataset:
    CALLS.names.append("double")
    return values * factor


def numbers(count: int) -> xr.Dataset:
    CALLS.names.append("numbers")
    return xr.Dataset({"x": ("place", np.arange(count)), "name": ("place", [f"n{i}" for i in range(count)])})[["x"]]


def both(count: int) -> dict[str, xr.Dataset]:
    return {"first": numbers(count), "second": double(numbers(count))}


def work(folder: Path, seed: int = 0) -> Workspace:
    CALLS.names = []
    return Workspace(folder, seed, executor=Serial())


def make() -> nn.Module:
    return nn.Linear(3, 1)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    return x, x.sum(1, keepdim=True)


def test_a_step_is_made_once_and_read_afterwards(tmp_path: Path) -> None:
    first = work(tmp_path)
    made = first.step("twice", double, first.step("counted", numbers, 3))
    assert made["x"].values.tolist() == [0, 2, 4]
    assert CALLS.names == ["numbers", "double"]
    again = work(tmp_path)
    xr.testing.assert_identical(again.step("twice", double, again.step("counted", numbers, 3)), made)
    assert CALLS.names == []
    metadata = read_manifest(place(tmp_path, "twice"))["metadata"]
    assert metadata["step"] == "twice"
    assert metadata["inputs"].keys() == {"values"}
    assert again.timings().keys() == {"twice", "counted"}


def test_a_changed_input_makes_anew_what_depends_on_it_and_nothing_else(tmp_path: Path) -> None:
    def run(count: int, factor: float) -> None:
        study = work(tmp_path)
        counted = study.step("counted", numbers, count)
        study.step("twice", double, counted, factor=factor)
        study.step("others", numbers, 7)

    run(3, 2.0)
    run(3, 5.0)
    assert CALLS.names == ["double"]
    run(4, 5.0)
    assert CALLS.names == ["numbers", "double"]
    assert Workspace(tmp_path).findings()["twice"]["x"].values.tolist() == [0, 5, 10, 15]


CODE = """
import xarray as xr
OFFSET = {offset}
def helper(values):
    return values + OFFSET
def moved(values):
    "{words}"
    return helper(values)
"""


def written(path: Path, offset: int, words: str) -> ModuleType:
    path.write_text(CODE.format(offset=offset, words=words))
    spec = importlib.util.spec_from_file_location("a_study_of_mine", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["a_study_of_mine"] = importlib.util.module_from_spec(spec)
    path.with_name("__pycache__").exists() and shutil.rmtree(path.with_name("__pycache__"))
    spec.loader.exec_module(module)
    return module


def test_changed_code_makes_anew_what_it_reaches(tmp_path: Path) -> None:
    def run(offset: int, words: str) -> xr.Dataset:
        study = work(tmp_path / "out")
        counted = study.step("counted", numbers, 3)
        return study.step("moved", written(tmp_path / "mine.py", offset, words).moved, counted)

    assert run(10, "One.")["x"].values[0] == 10
    before = place(tmp_path / "out", "moved").stat().st_mtime_ns
    run(10, "Other words.")
    assert place(tmp_path / "out", "moved").stat().st_mtime_ns == before
    assert run(20, "One.")["x"].values[0] == 20
    assert CALLS.names == []


def test_outputs_of_one_step_appear_together(tmp_path: Path) -> None:
    made = work(tmp_path).step("both", both, 3)
    assert list(made) == ["first", "second"]
    assert Workspace(tmp_path).findings()["both"]["second"]["x"].values.tolist() == [0, 2, 4]


def test_a_step_that_raises_costs_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    def fails(values: xr.Dataset) -> xr.Dataset:
        raise ZeroDivisionError("no reason")

    study = work(tmp_path)
    counted = study.step("counted", numbers, 3)
    broken = study.step("broken", fails, counted)
    assert isinstance(broken, Missing)
    assert isinstance(study.step("after", double, broken), Missing)
    assert isinstance(study.step("hidden", double, {"inside": [broken]}), Missing)
    study.step("twice", double, counted)
    with pytest.raises(Unavailable, match="no reason"):
        broken["x"]
    with pytest.raises(Unavailable, match="no reason"):
        assert broken.attrs
    found = study.findings()
    assert list(found) == ["counted", "twice"]
    assert found.why("broken") == "broken is missing: ZeroDivisionError: no reason"
    assert found.why("after") == "after is missing: broken is missing: ZeroDivisionError: no reason"
    assert found.why("never") == "never was not made"
    states = {step["name"]: step["state"] for step in read_steps(tmp_path)}
    assert states == {"counted": "made", "broken": "failed", "after": "missing", "hidden": "missing", "twice": "made"}
    assert "ZeroDivisionError" in read_steps(tmp_path)[1]["traceback"]


def test_what_was_made_before_does_not_stand_in_for_a_failure(tmp_path: Path) -> None:
    def third(values: xr.Dataset, place: int) -> xr.Dataset:
        return values.isel(place=[place])

    work(tmp_path).step("third", third, numbers(3), 2)
    study = work(tmp_path)
    study.step("third", third, numbers(3), 5)
    assert "third" not in study.findings()


def test_data_that_do_not_suffice_are_no_failure(tmp_path: Path) -> None:
    def needs_more(values: xr.Dataset) -> xr.Dataset:
        raise InvalidArgument("values", expected="8 of them", found="3")

    study = work(tmp_path)
    study.step("more", needs_more, numbers(3))
    assert study.findings().why("more") == "more is missing: it needs 8 of them; found 3"
    assert read_steps(tmp_path)[0]["state"] == "missing"


@pytest.mark.parametrize("returned", [None, {}, {"a": 1}, xr.DataArray([1])])
def test_a_step_returns_datasets(tmp_path: Path, returned: object) -> None:
    study = work(tmp_path)
    study.step("wrong", lambda: returned)
    assert "one that returns an xr.Dataset" in study.findings().why("wrong")


@pytest.mark.parametrize("name", ["a name", "", "9", "measurements", "../x"])
def test_names_are_those_of_folders(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="letters, digits"):
        work(tmp_path).step(name, numbers, 3)


def test_a_name_stands_once(tmp_path: Path) -> None:
    study = work(tmp_path)
    study.step("counted", numbers, 3)
    with pytest.raises(InvalidArgument, match="twice"):
        study.step("counted", numbers, 4)


def test_a_damaged_artefact_is_made_anew(tmp_path: Path) -> None:
    work(tmp_path).step("counted", numbers, 3)
    chunk = next(path for path in place(tmp_path, "counted").rglob("c/*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"!")
    study = work(tmp_path)
    with pytest.warns(UserWarning, match="made anew"):
        assert study.step("counted", numbers, 3)["x"].values.tolist() == [0, 1, 2]


def test_random_numbers_of_a_step_are_its_own_and_the_callers_are_left_alone(tmp_path: Path) -> None:
    def drawn() -> xr.Dataset:
        return xr.Dataset({"x": ("place", torch.randn(3).numpy())})

    before = torch.get_rng_state()
    first = work(tmp_path / "a").step("drawn", drawn)
    assert torch.equal(torch.get_rng_state(), before)
    torch.randn(5)
    assert work(tmp_path / "b").step("drawn", drawn).equals(first)
    assert not work(tmp_path / "c", seed=1).step("drawn", drawn).equals(first)


def test_a_network_is_trained_once_and_measured_from_its_checkpoints(tmp_path: Path) -> None:
    def run(config: TrainingConfig, out: Path = tmp_path) -> xr.Dataset:
        study = work(out)
        network = study.train("network", make, data(), og.losses.mse, config)
        return study.measure("curve", network, make, [Losses({"all": data()}, og.losses.mse)])

    before = torch.get_rng_state()
    curve = run(TRAINING)
    assert torch.equal(torch.get_rng_state(), before)
    assert float(curve["loss"][0, 0]) > 10 * float(curve["loss"][-1, 0])
    checkpoints = {path: path.stat().st_mtime_ns for path in tmp_path.glob("network/checkpoints/*")}
    xr.testing.assert_identical(run(TRAINING), curve)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("network/checkpoints/*")} == checkpoints
    xr.testing.assert_identical(run(TRAINING, tmp_path / "other"), curve)
    slower = run(TRAINING.model_copy(update={"learning_rate": 0.01}))
    assert float(slower["loss"][-1, 0]) > float(curve["loss"][-1, 0])
    next(tmp_path.glob("network/checkpoints/*20.safetensors")).unlink()
    xr.testing.assert_identical(run(TRAINING.model_copy(update={"learning_rate": 0.01})), slower)


def test_training_that_diverges_is_measured_up_to_there_and_says_so(tmp_path: Path) -> None:
    config = TRAINING.model_copy(update={"learning_rate": 1e30})
    for _ in range(2):  # made, and read again
        study = work(tmp_path)
        with pytest.warns(UserWarning, match="diverged") if not (tmp_path / "network").exists() else nullcontext():
            network = study.train("network", make, data(), og.losses.mse, config)
        curve = study.measure("curve", network, make, [Losses({"all": data()}, og.losses.mse)])
        assert network.outcome is not None
        assert network.outcome.diverged
        assert curve["step"].values.tolist() == network.steps
        assert set(curve["training_diverged"].values.tolist()) == {network.outcome.step}
        told = {step["name"]: step.get("divergence") for step in read_steps(tmp_path)}
        assert told == {"network": str(network.outcome), "curve": None}
    assert study.findings()["network"].outcome == network.outcome


@dataclass(frozen=True)
class Sums:
    """A task."""

    def sample(self, num_samples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(num_samples, 3, generator=torch.Generator().manual_seed(seed))
        return x, x.sum(1, keepdim=True)


def test_a_network_is_trained_on_a_task_and_in_stages(tmp_path: Path) -> None:
    def stages(num_steps: int) -> list[og.Stage]:
        second = TRAINING.model_copy(update={"num_steps": num_steps})
        return [og.Stage("first", Sums(), og.losses.mse, TRAINING), og.Stage("second", data(), og.losses.mse, second)]

    study = work(tmp_path)
    network = study.train("network", make, stages(5))
    assert network.stages == {"first": 0, "second": 20}
    assert network.steps[-1] == 25
    assert study.findings()["network"].stages == network.stages
    with torch.random.fork_rng():
        torch.manual_seed(study.seed("network"))
        model = make()
    own = TRAINING.model_copy(update={"seed": study.seed("training")})
    alone = og.train(model, Sums(), og.losses.mse, own).load(20)
    assert all(torch.equal(alone[name], tensor) for name, tensor in network.load(20).items())
    assert work(tmp_path).train("network", make, stages(5)).steps == network.steps
    assert work(tmp_path).train("network", make, stages(7)).steps[-1] == 27


def test_instances_are_trained_at_once_and_read_one_by_one(tmp_path: Path) -> None:
    study = work(tmp_path)
    runs = study.train_instances("networks", make, 3, Sums(), og.losses.mse, TRAINING)
    assert [run.steps[-1] for run in runs] == [20, 20, 20]
    assert len({run.checksum(0) for run in runs}) == 3
    measured = [Losses({"all": data()}, og.losses.mse)]
    curves = [study.measure(f"curve-{number}", run, make, measured) for number, run in enumerate(runs)]
    assert all(float(curve["loss"][-1, 0]) < 0.1 * float(curve["loss"][0, 0]) for curve in curves)
    assert [run.checksum(20) for run in study.findings()["networks"]] == [run.checksum(20) for run in runs]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("networks/*/checkpoints/*")}
    assert len(before) == 3 * (2 * len(runs[0].steps) + 1)
    again = work(tmp_path).train_instances("networks", make, 3, Sums(), og.losses.mse, TRAINING)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("networks/*/checkpoints/*")} == before
    assert [run.checksum(20) for run in again] == [run.checksum(20) for run in runs]
    assert len(work(tmp_path).train_instances("networks", make, 2, Sums(), og.losses.mse, TRAINING)) == 2


def test_an_instance_that_diverges_is_told(tmp_path: Path) -> None:
    study = work(tmp_path)
    config = TRAINING.model_copy(update={"learning_rate": 1e30})
    with pytest.warns(UserWarning, match=r"Network \d: Training diverged"):
        study.train_instances("networks", make, 2, data(), og.losses.mse, config)
    (told,) = read_steps(tmp_path)
    assert told["divergence"].startswith("network 0: Training diverged: the loss is ")
    assert "; network 1: Training diverged" in told["divergence"]


def test_measuring_is_that_of_the_library(tmp_path: Path) -> None:
    study = work(tmp_path, seed=3)
    network = study.train("network", make, data(), og.losses.mse, TRAINING)
    fixed = og.Fixed(num_chains=2, num_draws=5, num_warmup=2)
    options = {"sampler": fixed, "nbeta": 5.0, "localization": 1.0, "steps": network.steps[-2:]}
    found = study.measure("curve", network, make, data(), og.losses.mse, **options)
    plain = og.measure(network, make, data(), og.losses.mse, seed=study.seed("sampler"), executor=Serial(), **options)
    np.testing.assert_array_equal(found["llc"], plain["llc"])
    assert len(list(tmp_path.glob("measurements/llc/*.zarr"))) == 2


def test_other_files_in_the_place_of_a_training_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "notes.txt").write_text("mine")
    study = work(tmp_path)
    study.train("network", make, data(), og.losses.mse, TRAINING)
    assert "other files" in study.findings().why("network")
    assert (tmp_path / "network" / "notes.txt").read_text() == "mine"


def test_seeds_are_those_of_the_seed_tree(tmp_path: Path) -> None:
    from ontogeny.core.seeds import derive

    assert work(tmp_path, seed=5).seed("weights", 2) == derive(5, "weights", 2)
    assert json.dumps(work(tmp_path).seed("weights"))
