"""A folder has one writer at a time, and none that was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ontogeny as og
from ontogeny.stores import locked

HOLD = """
import subprocess, sys, time
from pathlib import Path
from ontogeny.stores import locked
with locked(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "20"], close_fds=False, stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    time.sleep(20)
"""


def hold_and_fail(folder: Path) -> None:
    with locked(folder):
        with pytest.raises(og.InvalidArgument, match="`place`: expected a folder that no other process is writing"):
            locked(folder, "place").__enter__()
        with locked(folder.parent / "other"):
            raise ZeroDivisionError


def test_a_folder_is_held_once_and_free_after_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with pytest.raises(ZeroDivisionError):
        hold_and_fail(folder)
    with locked(folder):
        pass
    assert (folder / ".lock").read_text() == ""


def test_a_killed_process_holds_nothing_though_its_children_live(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with pytest.raises(og.InvalidArgument, match=f"in use by process {process.pid} on "), locked(tmp_path):
            pass
    finally:
        process.kill()
        process.communicate()
    with locked(tmp_path):
        os.kill(child, signal.SIGKILL)  # it was there until now
