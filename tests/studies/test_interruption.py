"""A study that is killed at any moment and started again ends with the same artefacts, byte for byte."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ontogeny.core.fingerprint import fingerprint

SETTINGS = {
    "text.max_bytes": 400_000,
    "text.context_length": 32,
    "architecture.d_model": 32,
    "architecture.num_heads": 4,
    "training.num_steps": 400,
    "training.state_every": 25,
    "training.checkpoints_log": 12,
    "training.checkpoints_linear": 4,
    "control_training.num_steps": 40,
    "sampler": "{num_chains = 2, num_draws = 12, num_warmup = 4}",
    "posterior.batch_size": 8,
    "refinement.sampler": "{num_chains = 2, num_draws = 12, num_warmup = 4}",
    "probes.held_out_sequences": 32,
    "probes.ngram_sequences": 16,
    "probes.repeat_sequences": 8,
    "thresholds.bootstrap": 50,
}


def start(out: Path) -> subprocess.Popen:
    options = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    command = [
        sys.executable,
        "-m",
        "ontogeny",
        "study",
        "language",
        "--preset",
        "quick",
        "--out",
        str(out),
        *options,
    ]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)


def artefacts(out: Path) -> dict[str, str]:
    """Checksum of every file but the wall times."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "timings.json")
    return {str(path.relative_to(out)): checksum(path) for path in files}


def checksum(path: Path) -> str:
    """Of the bytes; of the optimizer's state, whose pickle depends on which tensors share memory, of its content."""
    if path.name == "training-state.pt":
        return fingerprint(torch.load(path, weights_only=True))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kill_when(out: Path, pattern: str, count: int, delay: float) -> bool:
    """Start, and kill once `count` files match, after a moment; whether it was still running."""
    process = start(out)
    while process.poll() is None and len(list(out.glob(pattern))) < count:
        time.sleep(0.01)
    time.sleep(delay)
    running = process.poll() is None
    os.kill(process.pid, signal.SIGKILL) if running else None
    process.wait()
    return running


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_five_times_in_training_and_five_in_measurement(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole).wait() == 0
    expected = artefacts(whole)
    rng = random.Random(0)
    in_training = [
        kill_when(broken, "two-layer/checkpoints/*.safetensors", count, rng.uniform(0, 0.1))
        for count in (3, 6, 8, 11, 14)
    ]
    in_measurement = [
        kill_when(broken, "measurements/*/step-*.zarr", count, rng.uniform(0, 0.2)) for count in (1, 9, 20, 30, 45)
    ]
    assert all(in_training)
    assert all(in_measurement)
    assert start(broken).wait() == 0
    found = artefacts(broken)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
