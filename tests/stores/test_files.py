"""A file or folder is whole or absent, whatever happens while it is written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ontogeny.stores import sha256, write_atomically, write_json


def half_a_file(path: Path) -> None:
    path.write_text("half")
    raise OSError("the disk is full")


def half_a_folder(path: Path) -> None:
    path.mkdir()
    half_a_file(path / "part")


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "part").write_text("new")


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("write", [half_a_file, half_a_folder])
def test_a_writer_that_fails_leaves_what_was_there(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "kept"
    with pytest.raises(OSError, match="full"):
        write_atomically(path, write)
    assert visible(tmp_path) == []
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert visible(tmp_path) == ["kept"]


def test_while_a_file_is_written_the_old_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        assert temporary.parent == path.parent  # a rename is atomic within one file system only
        assert path.read_text() == "old"

    assert write_atomically(path, write) == path
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_a_folder_and_parents_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "folder"
    path.mkdir(parents=True)
    (path / "old").touch()
    write_atomically(path, a_folder)
    assert visible(path) == ["part"]
    write_atomically(tmp_path / "new" / "place", a_folder)
    assert visible(tmp_path / "new" / "place") == ["part"]


def test_what_a_killed_process_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    for write in (half_a_folder, half_a_file):
        with pytest.raises(OSError, match="full"):
            write_atomically(tmp_path / "kept", write)
    write_atomically(tmp_path / "kept", a_folder)
    assert (tmp_path / "kept" / "part").read_text() == "new"


def test_json_is_readable_and_the_same_for_the_same_content(tmp_path: Path) -> None:
    first = write_json(tmp_path / "a.json", {"β": 1, "a": [1, None]})
    second = write_json(tmp_path / "b.json", {"a": [1, None], "β": 1})
    assert json.loads(first.read_text(encoding="utf-8")) == {"a": [1, None], "β": 1}
    assert "β" in first.read_text(encoding="utf-8")
    assert sha256(first) == sha256(second)


def test_the_checksum_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea")
