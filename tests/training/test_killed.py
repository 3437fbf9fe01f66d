"""A run that was killed at any moment and is started again ends with the same files, byte for byte."""

import os
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run_alone.py")


def run_here(folder: Path, dropout: float) -> None:
    runpy.run_path(str(SCRIPT))["main"](folder, dropout)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the optimizer's state, from which the run went on."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "training-state.pt"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run_and_kill(folder: Path, dropout: float, lines: list[int]) -> None:
    """Starts the run for each number, and kills it soon after its metrics have so many lines, wherever it stands."""
    metrics = folder / "metrics.jsonl"
    command = [sys.executable, str(SCRIPT), str(folder), str(dropout), str(len(lines))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runs:
        assert runs.stdout is not None
        for line in lines:
            child = int(runs.stdout.readline())
            while not metrics.exists() or metrics.read_bytes().count(b"\n") < line:
                time.sleep(0.001)
            os.kill(child, signal.SIGKILL)
            assert int(runs.stdout.readline()) == -signal.SIGKILL, "the run ended before it could be killed"


def check(tmp_path: Path, dropout: float, lines: list[int]) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_here(whole, dropout)
    run_and_kill(killed, dropout, lines)
    run_here(killed, dropout)
    assert len(contents(whole)) > 80
    assert contents(killed) == contents(whole)


@pytest.mark.slow
def test_two_kills_change_nothing(tmp_path: Path) -> None:
    check(tmp_path, 0.3, [random.Random(0).randrange(10, 120), random.Random(1).randrange(150, 250)])


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_five_kills_change_nothing(dropout: float, tmp_path: Path) -> None:
    check(tmp_path, dropout, sorted(random.Random(2).sample(range(1, 280), 5)))
