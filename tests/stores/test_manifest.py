"""A manifest says what a folder holds, and no bit of a folder that has one changes unseen."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import ontogeny as og
from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.stores import read_manifest, read_tree, seal, sha256, write_tree
from ontogeny.stores.manifest import MANIFEST, verified


def tiny() -> xr.Dataset:
    return xr.Dataset({"llc": ("step", np.array([1.5, 2.0]))}, attrs={"note": "nβ"})


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_manifest_names_every_file_its_versions_and_what_the_caller_adds(tmp_path: Path) -> None:
    write_tree(tmp_path / "a", tiny(), metadata={"inputs": {"seed": 1, 10: (2, None)}, "note": "γ"})
    manifest = read_manifest(tmp_path / "a")
    names = {path.relative_to(tmp_path / "a").as_posix() for path in files_of(tmp_path / "a")}
    assert manifest["files"].keys() == names - {MANIFEST}
    assert all(
        said == {"sha256": sha256(tmp_path / "a" / name), "size": (tmp_path / "a" / name).stat().st_size}
        for name, said in manifest["files"].items()
    )
    assert manifest["versions"]["ontogeny"] == og.__version__
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["metadata"] == {"inputs": {"seed": 1, "10": [2, None]}, "note": "γ"}
    xr.testing.assert_identical(read_tree(tmp_path / "a").to_dataset(), tiny())


def test_metadata_that_json_cannot_hold_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"`metadata`: expected values that JSON can represent, found .*Tensor"):
        write_tree(tmp_path / "a", tiny(), metadata={"weights": torch.zeros(1)})
    assert list(tmp_path.iterdir()) == []


def test_no_bit_of_a_stored_estimate_changes_unseen(tmp_path: Path) -> None:
    """One bit of every byte of every file: each is noticed before a number is read, and the file is named."""
    losses = (("chain", "draw"), np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32))
    draws = xr.DataTree.from_dict({"/posterior": xr.Dataset({"loss_difference": losses})})
    draws.attrs["settings"] = '{"nbeta": 3.5}'
    write_tree(tmp_path / "draws", draws)
    unseen, unnamed, flips = [], [], 0
    for path in files_of(tmp_path / "draws"):
        content = path.read_bytes()
        with path.open("r+b", buffering=0) as file:
            for place, byte in enumerate(content):
                os.pwrite(file.fileno(), bytes([byte ^ (1 << place % 8)]), place)
                flips += 1
                try:
                    verified(tmp_path / "draws")
                    unseen.append((path.name, place))
                except CorruptFile as error:
                    unnamed += [] if path.name in str(error) else [str(error)]
                os.pwrite(file.fileno(), bytes([byte]), place)
    assert flips > 1500
    assert unseen == unnamed == []
    xr.testing.assert_identical(read_tree(tmp_path / "draws"), draws)


def chunk(folder: Path) -> Path:
    return next(path for path in files_of(folder) if path.parent.name == "c")


DAMAGE = {
    "missing": (lambda folder: chunk(folder).unlink(), r"llc/c/0: missing"),
    "extra": (lambda folder: chunk(folder).with_name("1").write_bytes(b"x"), r"llc/c/1: not one of the files"),
    "a link": (lambda folder: chunk(folder).with_name("link").symlink_to(folder), r"llc/c/link: not one of the files"),
    "altered": (lambda folder: chunk(folder).write_bytes(b"x"), r"llc/c/0: its content does not match its checksum"),
    "cut off": (lambda folder: os.truncate(chunk(folder), 3), r"llc/c/0: its content does not match its checksum"),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), r"a: has no manifest"),
    "empty manifest": (lambda folder: (folder / MANIFEST).write_text("{}"), r"manifest\.json: damaged"),
    "a list": (lambda folder: (folder / MANIFEST).write_text("[]"), r"manifest\.json: damaged"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_a_file_that_is_missing_extra_or_altered_is_named(
    damage: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    write_tree(tmp_path / "a", tiny())
    damage(tmp_path / "a")
    with pytest.raises(CorruptFile, match=said):
        read_tree(tmp_path / "a")
    if "manifest" not in said:
        with pytest.raises(CorruptFile, match=said):
            read_tree(tmp_path / "a", partial=True)  # what was finished is always checked


def test_a_manifest_of_other_content_does_not_fit(tmp_path: Path) -> None:
    write_tree(tmp_path / "a", tiny())
    write_tree(tmp_path / "b", 2 * tiny())
    chunk(tmp_path / "a").write_bytes(chunk(tmp_path / "b").read_bytes())
    with pytest.raises(CorruptFile, match="llc/c/0"):
        read_tree(tmp_path / "a")


def test_equal_folders_have_equal_manifests(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_text("x")
        seal(tmp_path / name, {"seed": 1})
    assert sha256(tmp_path / "a" / MANIFEST) == sha256(tmp_path / "b" / MANIFEST)
