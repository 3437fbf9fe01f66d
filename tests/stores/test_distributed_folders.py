"""Folders of `torch.distributed.checkpoint` are read without a process group and without executing their metadata."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.metadata import Metadata

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.stores import load_into, open_checkpoints

pytestmark = pytest.mark.filterwarnings("ignore")


def make_model() -> Any:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2).bfloat16())


def state(model: Any) -> dict[str, Any]:
    optimizer = torch.optim.Adam(model[0].parameters())
    model[0](torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optim": optimizer.state_dict(), "step": 3, "lr": [torch.ones(1)]}


CONTENTS: dict[str, Callable[[nn.Module], dict[str, Any]]] = {
    "weights": lambda model: dict(model.state_dict()),
    "with an optimizer": state,
    "below an application": lambda model: {"app": state(model)},
}


def save(content: dict[str, Any], folder: Path) -> None:
    dcp.save(content, checkpoint_id=str(folder), no_dist=True)


def assert_loaded(run: Any, step: int, expected: nn.Module) -> None:
    model = make_model()
    load_into(model, run.load(step))
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in expected.state_dict().items())


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("place", ["step-{}", "checkpoint-{}/pytorch_model_fsdp_0"])
def test_a_folder_of_shards_is_loaded(content: str, place: str, tmp_path: Path) -> None:
    models = {step: make_model() for step in (1, 2)}
    for step, model in models.items():
        save(CONTENTS[content](model), tmp_path / place.format(step))
    run = open_checkpoints(tmp_path)
    assert run.steps == [1, 2]
    for step, model in models.items():
        assert_loaded(run, step, model)
    assert_loaded(open_checkpoints(tmp_path / place.format(1)), 0, models[1])


def two_halves(folder: Path) -> torch.Tensor:
    """A tensor that two processes wrote half each, as a folder of theirs has it."""
    whole = torch.arange(12.0).view(4, 3)
    for number, half in enumerate(whole.split(2)):
        save({"w": half.clone()}, folder / str(number))
    metadata: Metadata = pickle.loads((folder / "0" / ".metadata").read_bytes())
    first: Any = metadata.state_dict_metadata["w"]
    other = pickle.loads((folder / "1" / ".metadata").read_bytes())
    first.size = torch.Size([4, 3])
    (index, place), (other_index, other_place) = *metadata.storage_data.items(), *other.storage_data.items()
    other_place.relative_path = "__1_0.distcp"
    other_index = type(index)("w", torch.Size([2, 0]), 1)
    metadata.storage_data = {index: place, other_index: other_place}
    (folder / "1" / "__0_0.distcp").rename(folder / "0" / "__1_0.distcp")
    (folder / "0" / ".metadata").write_bytes(pickle.dumps(metadata))
    return whole


def test_parts_of_several_processes_are_put_together_and_all_are_needed(tmp_path: Path) -> None:
    whole = two_halves(tmp_path)
    run = open_checkpoints(tmp_path / "{N}")
    assert torch.equal(run.load(0)["w"], whole)
    before = run.checksum(0)
    (tmp_path / "0" / "__1_0.distcp").write_bytes(b"")
    assert run.checksum(0) != before
    with pytest.raises(CorruptFile, match="__1_0"):
        run.load(0)
    (tmp_path / "0" / "__1_0.distcp").unlink()
    with pytest.raises(CorruptFile, match="__1_0"):
        run.load(0)


def test_only_what_is_wanted_is_read_and_a_key_picks_it(tmp_path: Path) -> None:
    save({"teacher": {"w": torch.zeros(2)}, "student": {"w": torch.ones(2)}}, tmp_path / "step1")
    with pytest.raises(InvalidArgument, match=r"key='teacher'\) or .*key='student'"):
        open_checkpoints(tmp_path).load(1)
    assert open_checkpoints(tmp_path, key="student").load(1)["w"].tolist() == [1.0, 1.0]


class Malicious:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def changed(folder: Path, change: Callable[[Metadata], Any]) -> None:
    path = folder / ".metadata"
    metadata = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(change(metadata) or metadata))


def test_metadata_that_would_execute_something_do_not(tmp_path: Path) -> None:
    save({"w": torch.ones(2)}, tmp_path / "step1")
    changed(tmp_path / "step1", lambda metadata: setattr(metadata, "planner_data", None))
    changed(tmp_path / "step1", lambda metadata: setattr(metadata, "version", Malicious(tmp_path / "made")))
    assert open_checkpoints(tmp_path).load(1)["w"].tolist() == [1.0, 1.0]
    changed_alone = Malicious(tmp_path / "made")
    (tmp_path / "step1" / ".metadata").write_bytes(pickle.dumps(changed_alone))
    with pytest.raises(CorruptFile, match=r"\.metadata: damaged"):
        open_checkpoints(tmp_path).load(1)
    assert not (tmp_path / "made").exists()


def place_of(metadata: Metadata) -> Any:
    return next(iter(metadata.storage_data.values()))


DAMAGES: dict[str, Callable[[Metadata], Any]] = {
    "another folder": lambda metadata: setattr(place_of(metadata), "relative_path", "../other"),
    "an absolute path": lambda metadata: setattr(place_of(metadata), "relative_path", "/etc/passwd"),
    "an offset": lambda metadata: setattr(place_of(metadata), "offset", 10**9),
    "a negative offset": lambda metadata: setattr(place_of(metadata), "offset", -5),
    "a length": lambda metadata: setattr(place_of(metadata), "length", 20),
    "a size": lambda metadata: setattr(metadata.state_dict_metadata["w"], "size", torch.Size([10**13])),
    "a larger size": lambda metadata: setattr(metadata.state_dict_metadata["w"], "size", torch.Size([3])),
    "no places": lambda metadata: setattr(metadata, "storage_data", {}),
    "no entries": lambda metadata: setattr(metadata, "state_dict_metadata", None),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_metadata_are_named(damage: str, tmp_path: Path) -> None:
    save({"w": torch.ones(2)}, tmp_path / "step1")
    save({"w": torch.zeros(2)}, tmp_path / "other")
    changed(tmp_path / "step1", DAMAGES[damage])
    with pytest.raises(CorruptFile, match="step1"):
        open_checkpoints(tmp_path / "step{N}").load(1)
