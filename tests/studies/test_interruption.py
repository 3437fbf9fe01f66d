"""A study that is killed at any moment and started again ends with the same artefacts, byte for byte."""

import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch

from ontogeny.cli.app import app
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


FIXED = "{num_chains = 2, num_draws = 12, num_warmup = 4}"
BELIEFS = {
    "training.num_steps": 80,
    "training.state_every": 10,
    "training.checkpoints_log": 6,
    "training.checkpoints_linear": 0,
    "recurrent_training.num_steps": 10,
    "process.num_sequences": 2000,
    "process.context_length": 5,
    "architecture.d_model": 16,
    "architecture.d_mlp": 32,
    "architecture.recurrent_width": 16,
    "sampler": FIXED,
    "posterior.batch_size": 16,
    "regression.num_permutations": 19,
    "regression.max_last_tokens": 3,
}
LINEAR = {
    "networks": "[[4, 4, 4], [4, 3, 5]]",
    "training.num_steps": 300,
    "sampler": FIXED,
    "singular_values": "[2, 1]",
}
TOY = str(Path(__file__).with_name("toy.py"))


def started(name: str, settings: Mapping[str, object], out: Path) -> subprocess.Popen:
    options = [f"--set={name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "ontogeny", "study", name, "--preset", "quick", "--out", str(out), *options]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)


class Forked:
    """A study in a process that is forked, and so need not import anything."""

    def __init__(self, name: str, out: Path) -> None:
        arguments = ["study", name, "--preset", "quick", "--out", str(out), "--jobs", "1"]
        self._process = multiprocessing.get_context("fork").Process(target=app, args=(arguments,))
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self.poll()


Start = Callable[[Path], subprocess.Popen | Forked]


def artefacts(out: Path) -> dict[str, str]:
    """Checksum of every file that does not tell how long something took, reports among them."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "report.html")
    return {str(path.relative_to(out)): checksum(path) for path in files}


def checksum(path: Path) -> str:
    """Of the bytes; of the optimizer's state, whose pickle depends on which tensors share memory, of its content; of a
    manifest, without the seconds that its artefact took.
    """
    if path.name == "training-state.pt":
        return fingerprint(torch.load(path, weights_only=True))
    if path.name == "manifest.json":
        content = json.loads(path.read_bytes())
        content["metadata"].pop("seconds", None)
        files = {name: entry for name, entry in content["files"].items() if name != "training-state.pt"}
        return fingerprint(content["metadata"], files, content["versions"])
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kill_when(start: Start, out: Path, pattern: str, count: int, delay: float) -> bool:
    """Start, and kill once `count` files match, after a moment; whether it was still running."""
    process = start(out)
    while process.poll() is None and len(list(out.glob(pattern))) < count:
        time.sleep(0.01)
    time.sleep(delay)
    running = process.poll() is None
    os.kill(process.pid, signal.SIGKILL) if running else None
    process.wait()
    return running


def differing(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    assert found.keys() == expected.keys()
    return [name for name in found if found[name] != expected[name]]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_five_times_in_training_and_five_in_measurement(tmp_path: Path) -> None:
    whole, broken, start = tmp_path / "whole", tmp_path / "broken", partial(started, "language", SETTINGS)
    assert start(whole).wait() == 0
    expected = artefacts(whole)
    rng = random.Random(0)
    in_training = [
        kill_when(start, broken, "seed-0/two-layer/checkpoints/*.safetensors", count, rng.uniform(0, 0.1))
        for count in (3, 6, 8, 11, 14)
    ]
    in_measurement = [
        kill_when(start, broken, "seed-0/measurements/*/step-*.zarr", count, rng.uniform(0, 0.2))
        for count in (1, 8, 16, 24, 32)
    ]
    assert all(in_training)
    assert all(in_measurement)
    assert start(broken).wait() == 0
    assert differing(artefacts(broken), expected) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("name", "settings"), [("belief-states", BELIEFS), ("linear-networks", LINEAR)])
def test_killed_in_every_step(name: str, settings: dict[str, str], tmp_path: Path) -> None:
    """Once soon after each artefact or training has appeared, so that every step is begun and broken off somewhere."""
    whole, broken, start = tmp_path / "whole", tmp_path / "broken", partial(started, name, settings)
    assert start(whole).wait() == 0
    expected, rng = artefacts(whole), random.Random(1)
    steps = len(json.loads((whole / "seed-0" / "steps.json").read_text()))
    killed = [
        kill_when(start, broken, "seed-0/*/manifest.json", count, rng.uniform(0, 0.3)) for count in range(1, steps)
    ]
    assert sum(killed) > steps / 2
    assert start(broken).wait() == 0
    assert differing(artefacts(broken), expected) == []


def test_a_toy_study_killed_at_random_moments_ends_with_the_same_artefacts(tmp_path: Path) -> None:
    whole, broken, start = tmp_path / "whole", tmp_path / "broken", partial(Forked, TOY)
    assert start(whole).wait() == 0
    expected, rng = artefacts(whole), random.Random(2)
    killed = [
        kill_when(start, broken, pattern, 1, rng.uniform(0, 0.05))
        for pattern in ("seed-0/network/training-state.pt", "seed-0/measurements/*/*")
    ]
    assert any(killed)
    assert start(broken).wait() == 0
    assert differing(artefacts(broken), expected) == []
