"""Damaged and foreign files: an error of ours on one line, or what was saved; nothing is written or executed."""

import argparse
import functools
import io
import json
import os
import pickle
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from ontogeny.core.errors import CorruptFile, InvalidArgument, OntogenyError
from ontogeny.stores import open_checkpoints, read_weights

pytestmark = pytest.mark.filterwarnings("ignore")
WEIGHTS = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.ones(2).bfloat16()}
quick = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def as_archive(path: Path) -> None:
    torch.save({"model": WEIGHTS, "args": argparse.Namespace(lr=1)}, path)


def before_archives(path: Path) -> None:
    torch.save({"model": WEIGHTS, "args": argparse.Namespace(lr=1)}, path, _use_new_zipfile_serialization=False)


def as_shards(path: Path) -> None:
    path.mkdir()
    save_file(WEIGHTS, path / "a.safetensors")
    (path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict.fromkeys(WEIGHTS, "a.safetensors")})
    )
    save_file({}, path / "b.safetensors")


def as_distributed(path: Path) -> None:
    dcp.save({"model": WEIGHTS}, checkpoint_id=str(path), no_dist=True)


def as_safetensors(path: Path) -> None:
    path.mkdir()
    save_file(WEIGHTS, path / "model.safetensors")


def as_adapter(path: Path) -> None:
    path.mkdir()
    save_file(WEIGHTS, path / "adapter_model.safetensors")
    (path / "adapter_config.json").write_text('{"peft_type": "LORA"}')


FORMATS = [as_archive, before_archives, as_shards, as_distributed, as_safetensors, as_adapter]
CHECKED = (as_archive,)  # have checksums of their own, so that a changed bit cannot pass as a weight
Place = Callable[[], Path]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return lambda: tmp_path_factory.mktemp("run")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outcome(folder: Path) -> dict[str, Tensor] | str:
    """What a step loads as, or the message of our own error; the disk is as it was."""
    before = tree(folder)
    try:
        run = open_checkpoints(folder / "step{N}.pt")
        found: Any = (run.load(1), run.checksum(1))[0]
    except OntogenyError as error:
        found = str(error)
        assert "\n" not in found
        assert len(found) < 2000
    assert tree(folder) == before
    return found


@functools.cache
def written(write: Callable[[Path], None]) -> dict[str, bytes]:
    """The files of a checkpoint, by name below its place."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "step1.pt")
        return tree(Path(folder))


@pytest.mark.parametrize("write", FORMATS)
@given(data=st.data())
@quick
def test_any_change_of_any_file_is_an_error_of_ours_or_no_matter(write: Any, place: Place, data: st.DataObject) -> None:
    files, folder = dict(written(write)), place()
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    kind = data.draw(st.sampled_from(["cut", "changed", "added", "removed"]))
    at = data.draw(st.integers(0, max(len(content) - 1, 0)))
    if kind == "cut":
        content = content[:at]
    elif kind == "changed" and content:
        content[at] ^= data.draw(st.integers(1, 255))
    elif kind == "added":
        content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    else:
        del content[at : at + data.draw(st.integers(1, 20))]
    for each, bytes_of in (files | {name: bytes(content)}).items():
        (folder / each).parent.mkdir(exist_ok=True)
        (folder / each).write_bytes(bytes_of)
    found = outcome(folder)
    if not isinstance(found, str) and write in CHECKED:
        assert found.keys() == WEIGHTS.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())


@given(content=st.binary(max_size=200), suffix=st.sampled_from([".pt", ".bin", ".safetensors", ".ckpt", ".index.json"]))
@quick
def test_noise_is_an_error_of_ours(content: bytes, suffix: str, place: Place) -> None:
    path = place() / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(OntogenyError, match=path.name):
        read_weights(path)


NAMES = st.text("ab./\\ 0\n\t\x00é", max_size=8)


@given(name=NAMES, other=NAMES)
@quick
def test_names_of_shards_of_any_kind_stay_in_their_folder(name: str, other: str, place: Place) -> None:
    folder = place()
    (folder / "step1.pt").mkdir()
    content = {"weight_map": {"w": name, "v": other}}
    (folder / "step1.pt" / "model.safetensors.index.json").write_text(json.dumps(content))
    assert isinstance(outcome(folder), str)


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


@pytest.mark.parametrize("write", [as_archive, before_archives])
def test_a_file_cut_at_any_place_is_corrupt(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "whole.pt")
    size = (tmp_path / "whole.pt").stat().st_size
    for keep in [*range(0, size - 1, 37), size - 1]:
        write(tmp_path / "step1.pt")
        cut(tmp_path / "step1.pt", keep)
        with pytest.raises(CorruptFile, match=r"step1\.pt"):
            read_weights(tmp_path / "step1.pt")


def a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside.txt", "no")
        archive.writestr("data.pkl", pickle.dumps({"w": 1}))


def a_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle", "../outside"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))


def a_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html>Not found</html>")


def a_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")


@pytest.mark.parametrize("write", [a_zip, a_tar, a_page, a_pointer])
def test_what_its_name_does_not_say_is_named(write: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write(tmp_path / "run" / "step1.pt")
    with pytest.raises(CorruptFile, match=r"step1\.pt"):
        open_checkpoints(tmp_path / "run").load(1)
    assert list(tmp_path.rglob("*outside*")) == []


def test_torchscript_is_refused_with_a_way_that_works(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    torch.jit.save(torch.jit.script(module), tmp_path / "step1.pt")
    with pytest.raises(InvalidArgument, match=r"TorchScript.*torch\.jit\.load"):
        open_checkpoints(tmp_path).load(1)
    run = open_checkpoints(tmp_path, load=lambda path: torch.jit.load(path, map_location="cpu").state_dict())
    assert torch.equal(run.load(1)["weight"], module.weight)


def test_archives_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, tmp_path / "step1.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(open_checkpoints(tmp_path).load(1)["layer.weight"], WEIGHTS["layer.weight"])


class Calls:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.calls = function, arguments

    def __reduce__(self) -> Any:
        return self.calls


@pytest.mark.parametrize("where", ["weight", "beside"])
@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize(
    "call", [os.mkdir, exec, subprocess.call, Path.mkdir], ids=["mkdir", "exec", "subprocess", "Path"]
)
def test_nothing_in_a_file_is_executed(call: Any, archive: bool, where: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    argument = {exec: f"open({str(made)!r}, 'w')", subprocess.call: ["touch", str(made)], os.mkdir: str(made)}.get(
        call, made
    )
    content = {"model": {**WEIGHTS, **({"w": Calls(call, argument)} if where == "weight" else {})}}
    content |= {"beside": Calls(call, argument)} if where == "beside" else {}
    torch.save(content, tmp_path / "step1.pt", _use_new_zipfile_serialization=archive)
    found = outcome(tmp_path)
    assert "step1.pt" in found if isinstance(found, str) else (where, found.keys()) == ("beside", WEIGHTS.keys())
    assert not made.exists()
    torch.load(tmp_path / "step1.pt", weights_only=False)
    assert made.exists()  # the file was dangerous indeed
