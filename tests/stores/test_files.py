"""A file or folder is whole or absent, whatever happens while it is written."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores import read_manifest, seal, sha256, write_atomically, write_json
from ontogeny.stores.manifest import verified
from ontogeny.stores.temporaries import temporary_name


def half_a_file(path: Path) -> None:
    path.write_text("half")
    raise OSError("the disk is full")


def half_a_folder(path: Path) -> None:
    path.mkdir()
    half_a_file(path / "part")


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "part").write_text("new")


def a_sealed_folder(path: Path) -> None:
    a_folder(path)
    seal(path)


def another_sealed_folder(path: Path) -> None:
    path.mkdir()
    (path / "other").touch()
    seal(path)


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


def test_a_folder_replaces_an_empty_one_or_ours_and_parents_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "folder"
    path.mkdir(parents=True)
    write_atomically(path, a_sealed_folder)
    assert visible(path) == ["manifest.json", "part"]
    write_atomically(path, another_sealed_folder)
    assert visible(path) == ["manifest.json", "other"]
    write_atomically(tmp_path / "new" / "place", a_folder)
    assert visible(tmp_path / "new" / "place") == ["part"]
    assert [name.name for name in path.parent.iterdir()] == ["folder"]


def foreign_file(path: Path) -> None:
    path.write_text("thesis")


def foreign_folder(path: Path) -> None:
    path.mkdir()
    foreign_file(path / "thesis.txt")


def foreign_manifest(path: Path) -> None:
    foreign_folder(path)
    (path / "manifest.json").write_text('{"name": "an app", "files": {"thesis.txt": 1}}')


def ours_and_more(path: Path) -> None:
    write_atomically(path, a_sealed_folder)
    (path / "notes").mkdir()
    foreign_file(path / "notes" / "thesis.txt")


FOREIGN = [foreign_file, foreign_folder, foreign_manifest, ours_and_more]


@pytest.mark.parametrize("there", FOREIGN)
def test_a_folder_never_takes_the_place_of_what_is_not_ours(there: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "results"
    there(path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(InvalidArgument, match=r"`path`: expected .*that ontogeny wrote, found .*results") as refused:
        write_atomically(path, a_sealed_folder)
    assert refused.value.argument == "path"
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    path.rename(tmp_path / "moved")  # the advice
    write_atomically(path, a_sealed_folder)
    assert read_manifest(path)["complete"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    write_atomically(tmp_path / "disk" / "real", a_sealed_folder)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "real")
    write_atomically(tmp_path / "link", another_sealed_folder)
    assert (tmp_path / "link").is_symlink()
    assert visible(tmp_path / "disk") == ["real"]
    assert visible(tmp_path / "disk" / "real") == ["manifest.json", "other"]


def test_what_a_killed_process_left_is_removed_and_what_others_write_is_not(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    mine = temporary_name(tmp_path / "kept")
    dead = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{process.pid}-"))
    elsewhere = mine.with_name(re.sub(r"\.\w+-\d+-", f".0000-{process.pid}-", mine.name))
    old = elsewhere.with_name(elsewhere.name.replace("0000", "1111"))
    other = dead.with_name(dead.name.replace("kept", "keptother"))
    everyone = [mine, dead, elsewhere, old, other]
    for path in everyone:
        a_folder(path)
    os.utime(old, (0, 0))
    write_atomically(tmp_path / "kept", a_sealed_folder)
    assert sorted(path.name for path in everyone if path.exists()) == sorted([mine.name, elsewhere.name, other.name])


WRITER = """
import sys, time
from pathlib import Path
from ontogeny.stores import seal, write_atomically
here, me, trials = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def folder(path, content):
    path.mkdir()
    for name in "abcdef":
        (path / name).write_text(content * 1000)
    seal(path)
(here / me).touch()
while len(list(here.glob("writer-*"))) < 2:
    time.sleep(0.001)
for trial in range(trials):
    store = here / f"store-{trial}"
    for _ in range(3):
        write_atomically(store / "equal", lambda path: folder(path, "same"))
        write_atomically(store / "different", lambda path: folder(path, me))
        write_atomically(store / "file", lambda path: path.write_text(me * 1000))
"""


@pytest.mark.slow
def test_two_processes_that_write_one_path_both_succeed_and_leave_it_whole(tmp_path: Path) -> None:
    writers, trials = ("writer-1", "writer-2"), 20
    commands = [[sys.executable, "-c", WRITER, str(tmp_path), writer, str(trials)] for writer in writers]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for command in commands]
    assert [process.communicate()[1] for process in processes] == [b"", b""]
    possible = {writer.encode() * 1000 for writer in writers}
    for trial in range(trials):
        store = tmp_path / f"store-{trial}"
        assert sorted(path.name for path in store.iterdir()) == ["different", "equal", "file"]
        assert verified(store / "equal") == dict.fromkeys("abcdef", b"same" * 1000)
        files = verified(store / "different")
        assert set(files) == set("abcdef")
        assert set(files.values()) < possible
        assert (store / "file").read_bytes() in possible


def test_a_writer_that_is_overtaken_between_two_moves_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename, moves = tmp_path / "folder", os.rename, []
    write_atomically(path, a_sealed_folder)

    def overtaken(source: Path, target: Path) -> None:
        rename(source, target)
        moves.append(source)
        if moves == [path]:
            a_sealed_folder(path)  # by another process

    monkeypatch.setattr(os, "rename", overtaken)
    write_atomically(path, another_sealed_folder)
    assert visible(path) == ["manifest.json", "other"]
    assert [place.name for place in tmp_path.iterdir()] == ["folder"]


def test_a_move_that_fails_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rename = tmp_path / "folder", os.rename
    write_atomically(path, a_sealed_folder)
    moves = []

    def failing(source: Path, target: Path) -> None:
        moves.append(source)
        if len(moves) == 2:
            raise PermissionError(errno.EACCES, "no")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(PermissionError):
        write_atomically(path, another_sealed_folder)
    assert visible(path) == ["manifest.json", "part"]


def test_equal_content_is_left_in_place_for_who_is_reading_it_unless_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_atomically(path, a_sealed_folder)
    before = path.stat().st_ino
    write_atomically(path, a_sealed_folder)
    assert path.stat().st_ino == before
    (path / "part").write_text("bad")
    write_atomically(path, a_sealed_folder)
    assert (path / "part").read_text() == "new"


def test_json_is_readable_and_the_same_for_the_same_content(tmp_path: Path) -> None:
    first = write_json(tmp_path / "a.json", {"β": 1, "a": [1, None]})
    second = write_json(tmp_path / "b.json", {"a": [1, None], "β": 1})
    assert json.loads(first.read_text(encoding="utf-8")) == {"a": [1, None], "β": 1}
    assert "β" in first.read_text(encoding="utf-8")
    assert sha256(first) == sha256(second)


def test_the_checksum_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea")
