"""Shards with an index: all of them count, and an index names files of its own folder alone."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ontogeny.core.errors import CorruptFile
from ontogeny.stores import open_checkpoints

WEIGHTS = {f"layer{number}.weight": torch.full((3,), float(number)) for number in range(4)}


def place(name: str, suffix: str) -> str:
    return f"model-{int(name[5]) % 3 + 1:05d}-of-00003{suffix}"


def write(folder: Path, suffix: str = ".safetensors") -> Path:
    """A checkpoint of three shards as transformers lays them out; the path of its index."""
    folder.mkdir(parents=True)
    places = {name: place(name, suffix) for name in WEIGHTS}
    for file in set(places.values()):
        content = {name: tensor for name, tensor in WEIGHTS.items() if places[name] == file}
        save_file(content, folder / file) if suffix == ".safetensors" else torch.save(content, folder / file)
    index = folder / f"model{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": places}))
    return index


def assert_whole(weights: dict[str, Tensor]) -> None:
    assert weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in WEIGHTS.items())


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_are_put_together(suffix: str, tmp_path: Path) -> None:
    index = write(tmp_path / "checkpoint-1", suffix)
    assert_whole(open_checkpoints(tmp_path).load(1))
    assert_whole(open_checkpoints(index).load(0))
    assert_whole(open_checkpoints(index.parent).load(0))


def test_every_shard_and_the_index_count_in_the_checksum(tmp_path: Path) -> None:
    index = write(tmp_path / "checkpoint-1")
    run = open_checkpoints(tmp_path)
    before = run.checksum(1)
    for path in (*index.parent.glob("*.safetensors"), index):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert run.checksum(1) != before
        path.write_bytes(content)
    assert run.checksum(1) == before


@pytest.mark.parametrize("outside", ["../other.safetensors", "/etc/passwd", "a/../../b.safetensors", "..\\b", "..", ""])
def test_an_index_that_points_outside_its_folder_is_refused(outside: str, tmp_path: Path) -> None:
    index = write(tmp_path / "checkpoint-1")
    save_file({"layer0.weight": torch.ones(1)}, tmp_path / "other.safetensors")
    content = json.loads(index.read_text())
    content["weight_map"]["layer0.weight"] = outside
    index.write_text(json.dumps(content))
    for use in ("load", "checksum"):
        with pytest.raises(CorruptFile, match=r"outside its folder|missing"):
            getattr(open_checkpoints(tmp_path), use)(1)


@pytest.mark.parametrize("damage", ["shard missing", "weight missing", "shard cut", "no json", "no map", "a list"])
def test_damage_is_named(damage: str, tmp_path: Path) -> None:
    index = write(tmp_path / "checkpoint-1")
    shard = sorted(index.parent.glob("*.safetensors"))[1]
    if damage == "shard missing":
        shard.unlink()
    elif damage == "shard cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "weight missing":
        save_file({"other": torch.ones(1)}, shard)
    else:
        index.write_text({"no json": "{", "no map": "{}", "a list": "[]"}[damage])
    with pytest.raises(CorruptFile, match=shard.name if damage.split()[0] in ("shard", "weight") else index.name):
        open_checkpoints(tmp_path).load(1)
