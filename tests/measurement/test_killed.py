"""A measurement that was killed at any moment and is started again ends with the same files, byte for byte."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARTS = 12 * 4  # loss, two coefficients and behaviour at each checkpoint
SCRIPT = Path(__file__).with_name("run_alone.py")


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, SCRIPT, folder])


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def measured(folder: Path) -> int:
    return len(list(folder.glob("store/*/step-*.zarr")))


@pytest.mark.slow
def test_five_kills_change_nothing(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    assert measured(whole) == PARTS
    for moment in sorted(random.Random(0).sample(range(1, PARTS - 4), 5)):
        process = start(killed)
        while process.poll() is None and measured(killed) < moment:
            time.sleep(0.001)
        time.sleep(random.Random(moment).uniform(0, 0.1))
        process.kill()
        assert process.wait() == -9, "the measurement ended before it could be killed"
        assert moment <= measured(killed) < PARTS
    assert start(killed).wait() == 0
    assert contents(killed) == contents(whole)
