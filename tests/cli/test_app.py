"""The command line parses, calls and prints; wrong use is one readable line."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ontogeny.core import losses
from ontogeny.stores import read_tree
from ontogeny.training import TrainingConfig, train

# It imports a neighbour and defines a dataclass, as a training script does.
SETUP = """
from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr
from network import make_network

from ontogeny.core.losses import mse as loss_fn


@dataclass
class Sizes:
    width: int = 3


def model_fn():
    return make_network(Sizes().width)


generator = torch.Generator().manual_seed(0)
data = torch.randn(40, 4, generator=generator), torch.randn(40, 1, generator=generator)


def behaviour(model):
    return xr.Dataset({"outputs": ("output", model(data[0][:5]).detach().flatten().numpy())})
"""
NETWORK = """
from torch import nn


def make_network(width):
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))
"""
QUICK = ["--set", "nbeta=10", "--set", "localization=5", "--set", "sampler.budget=6000", "--jobs", "1"]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "network.py").write_text(NETWORK)
    (tmp_path / "setup.py").write_text(SETUP)
    yield tmp_path / "setup.py"
    sys.modules.pop("network", None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run of the setup's network, of as many checkpoints as stages need."""
    folder = tmp_path_factory.mktemp("run")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 4, generator=generator)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    config = TrainingConfig(num_steps=50, batch_size=8, learning_rate=0.02, checkpoints_log=8, checkpoints_linear=0)
    train(model, (x, x[:, :1] * x[:, 1:2]), losses.mse, config, folder)
    return folder


def test_help_lists_every_command() -> None:
    """As a command of its own; that it loads nothing heavy is tested with the architecture."""
    result = subprocess.run([sys.executable, "-m", "ontogeny", "--help"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    for command in ("study", "studies", "measure", "llc", "components", "report", "claims", "doctor"):
        assert re.search(rf"\b{command}\b", result.stdout), command


def test_measure_says_what_it_will_do_and_writes_a_report(
    ontogeny: Command, setup: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, output, _ = ontogeny("measure", run, setup, "--out", out, "--dry-run", *QUICK)
    assert code == 0
    count = len(list(run.glob("checkpoints/*.safetensors")))
    first, budget, *jobs, each, together = output.splitlines()
    assert first == f"{count} checkpoints, steps 0 to 50: {3 * count} jobs"
    assert budget == f"at most 6,000 per-sample gradients per coefficient, {6000 * count:,} in all"
    assert jobs[:3] == ["  step 0: loss data", "  step 0: llc whole network", "  step 0: behaviour"]
    assert len(jobs) == 3 * count
    assert re.match(r"  all: at most .* per-sample gradients, .* GB at the peak on cpu for each coefficient", each)
    assert re.match(r"  all coefficients: .* on one process, .* GB for each process", together)
    assert not out.exists()
    code, output, errors = ontogeny("measure", run, setup, "--out", out, *QUICK)
    assert code == 0, errors
    assert f"report: {out / 'report.html'}" in output.replace("\n", "")
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")
    trajectory = read_tree(out / "trajectory.zarr").to_dataset()
    assert {"loss", "llc", "llc_outcome", "llc_trace", "outputs"} <= set(trajectory.data_vars)
    assert '"nbeta": 10.0' in trajectory.attrs["settings"]
    assert (trajectory["llc_gradients"] <= 6000).all()
    assert len(list(out.glob("measurements/*/*.zarr"))) >= 3 * count


def test_what_choosing_may_take_is_said_too(ontogeny: Command, setup: Path, run: Path) -> None:
    code, output, _ = ontogeny("measure", run, setup, "--dry-run", "--set", "sampler.budget=1000")
    assert code == 0
    assert "first, nβ and γ are chosen at 4 pilot checkpoints, with at most 5,600 more" in output


def test_measure_takes_a_pattern_and_shows_few_checkpoints_without_stages(
    ontogeny: Command, setup: Path, tmp_path: Path
) -> None:
    for step in (1, 20):
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
        torch.save(model.state_dict(), tmp_path / f"model_{step}.pt")
    out = tmp_path / "out"
    code, output, errors = ontogeny("measure", f"{tmp_path}/model_{{N}}.pt", setup, "--out", out, *QUICK)
    assert code == 0, errors
    assert "2 checkpoints, steps 1 to 20" in output
    assert "not looked for" in (out / "report.html").read_text(encoding="utf-8")


def test_llc_prints_an_estimate_with_its_verdict(ontogeny: Command, setup: Path, tmp_path: Path) -> None:
    setup.write_text(SETUP.replace("40", "300"))  # of full batches the chains take fewer
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    options = ("--set", "nbeta=50", "--set", "sampler.budget=20000", "--set", "localization=2")
    code, output, errors = ontogeny("llc", tmp_path / "weights.safetensors", setup, *options)
    assert code == 0, errors
    assert "nβ = 50" in output or "nβ 50" in output, output
    assert re.search(r"LLC -?\d+(\.\d+)?.* ± .*\(95%\), [a-z ]+: R-hat .*nβ", output.replace("\n", " "))


def test_studies_and_doctor_say_what_there_is(ontogeny: Command) -> None:
    code, output, _ = ontogeny("studies")
    assert code == 0
    assert re.search(r"language.*quick", output, re.DOTALL)
    code, output, _ = ontogeny("doctor")
    assert code == 0
    for name in ("ontogeny 0", "Python 3", f"torch {torch.__version__}", "cores:", "GPU:", "hf (series and models"):
        assert name in output


WRONG: list[tuple[list[str], str]] = [
    (["measure", "{run}", "{here}/nowhere.py"], "`SETUP`: expected a Python file"),
    (["measure", "{run}", "{here}/network.py"], "network.py without model_fn, data, loss_fn"),
    (["measure", "{here}", "{setup}"], "`source`: expected a folder with step-*.safetensors files"),
    (["measure", "{run}", "{setup}", "--set", "nbeta"], "`--set`: expected key=value, found 'nbeta'"),
    (["measure", "{run}", "{setup}", "--set", "draws=3"], "expected a name in the config (nbeta, localization"),
    (["measure", "{run}", "{setup}", "--set", "sampler.draws=3"], "expected a name in the config (error, budget"),
    (["measure", "{run}", "{setup}", "--set", "nbeta=many"], "found nbeta='many'"),
    (["measure", "{run}", "{setup}", "--nbeta", "-3"], "`--nbeta`: expected greater than or equal to 0"),
    (["llc", "{here}/nowhere.pt", "{setup}"], "`source`: expected a file that can be opened"),
    (["llc", "{here}/other.pt", "{setup}"], "`model_fn`: expected a module that fits the weights of"),
    (["study", "nothing"], "`name`: expected a study"),
    (["study", "language", "--preset", "slow"], "'planted' or 'paper', found 'slow'"),
    (["report", "{here}"], "`directory`: expected the folder of a finished study"),
    (["claims", "{here}"], "`directory`: expected the folder of a finished study"),
]


@pytest.mark.parametrize(
    ("arguments", "told"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_use_is_one_readable_line(
    arguments: list[str], told: str, ontogeny: Command, setup: Path, run: Path, tmp_path: Path
) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    places = {"run": run, "here": tmp_path, "setup": setup}
    code, output, errors = ontogeny(*(argument.format(**places) for argument in arguments))
    assert code == 2
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert told in errors
    assert "Traceback" not in output + errors


def test_a_missing_argument_is_told_as_usage(ontogeny: Command) -> None:
    code, _, errors = ontogeny("measure")
    assert code == 2
    assert "Usage" in errors
    assert "checkpoints" in errors.lower()
