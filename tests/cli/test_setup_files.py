"""What a setup file may define, and that all of it reaches the measurement; its mistakes are told by line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from ontogeny.stores import read_tree

Command = Callable[..., tuple[int, str, str]]
SETUP = """import torch
from torch import nn
import ontogeny as og

x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
data, loss_fn = (x, x[:, :1]), og.losses.mse
datasets = {"turned": (-x, x[:, :1])}
components = ["all", "2"]
sampler = og.Fixed(kernel=og.SGLD(1e-4), num_chains=2, num_draws=20, num_warmup=5)


def model_fn():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A setup file beside two checkpoints."""
    (tmp_path / "setup.py").write_text(SETUP)
    for step in (1, 20):
        torch.manual_seed(step)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
        torch.save(model.state_dict(), tmp_path / f"model_{step}.pt")
    return tmp_path


def test_everything_that_a_file_defines_is_used(ontogeny: Command, folder: Path) -> None:
    settings = ["--nbeta", "5", "--localization", "2", "--seed", "3", "--jobs", "1"]
    run = ["measure", f"{folder}/model_{{N}}.pt", folder / "setup.py", "--out", folder / "out", *settings]
    code, output, errors = ontogeny(*run)
    assert code == 0, errors
    assert "2 checkpoints, steps 1 to 20: 12 jobs" in output
    found = read_tree(folder / "out" / "trajectory.zarr").to_dataset()
    assert found["component"].values.tolist() == ["all", "2"]
    assert found["dataset"].values.tolist() == ["data", "turned"]
    assert all(piece in found.attrs["settings"] for piece in ('"nbeta": 5.0', '"localization": 2.0', '"num_draws": 20'))


def test_options_win_over_the_file(ontogeny: Command, folder: Path) -> None:
    run = ["measure", f"{folder}/model_{{N}}.pt", folder / "setup.py", "--dry-run"]
    code, output, _ = ontogeny(*run, "--component", "0.weight", "--step", "20", "--set", "sampler.num_draws=7")
    assert code == 0
    assert "1 checkpoints, steps 20 to 20: 4 jobs" in output
    assert "at most 6,144 per-sample gradients per coefficient" in output  # 2 chains, 5 and 7 steps, 256 samples
    assert "llc 0.weight on turned" in output
    code, output, _ = ontogeny(*run, "--set", "sampler=calibrated", "--budget", "5000")
    assert code == 0
    assert "at most 5,000 per-sample gradients per coefficient, 40,000 in all" in output


def test_llc_takes_parts_and_a_budget(ontogeny: Command, folder: Path) -> None:
    chosen = ["--component", "0", "--component", "2", "--nbeta", "5", "--budget", "3000", "--set", "sampler=calibrated"]
    code, output, errors = ontogeny("llc", folder / "model_20.pt", folder / "setup.py", *chosen)
    assert code == 0, errors
    assert re.search(r"^0: LLC .*15 free weights", output, re.MULTILINE)
    assert re.search(r"^2: LLC .*4 free weights", output, re.MULTILINE)


def test_components_are_listed(ontogeny: Command, folder: Path) -> None:
    code, output, _ = ontogeny("components", folder / "setup.py")
    assert code == 0
    assert re.search(r"^ +15  0$", output, re.MULTILINE)
    assert re.search(r"^ +3  2\.weight$", output, re.MULTILINE)


MISTAKES = {
    "syntax": (SETUP + "def (", "setup.py, line 14: invalid syntax"),
    "name": (SETUP + "\nnothing()\n", "setup.py, line 15: NameError: name 'nothing' is not defined"),
    "import": ("import no_such_library\n" + SETUP, "setup.py, line 1: ModuleNotFoundError: No module named"),
    "model": (SETUP.replace("nn.Tanh", "nn.Tank"), "setup.py, line 13: AttributeError"),
    "loss": (
        SETUP.replace("og.losses.mse", "(lambda m, b: m(b[0]) @ b[1])"),
        "setup.py, line 6: RuntimeError",
    ),
    "no function": (SETUP.replace("def model_fn", "model_fn = 3\n\n\ndef other"), "found model_fn = int"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_by_line(name: str, ontogeny: Command, folder: Path) -> None:
    text, told = MISTAKES[name]
    (folder / "setup.py").write_text(text)
    code, _, errors = ontogeny("llc", folder / "model_20.pt", folder / "setup.py")
    assert code == 2
    assert told in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "sampler=slow"], "sampler=calibrated or sampler=fixed"),
        (["--dataset", "code"], "`--dataset`: expected NAME=FILE, found code"),
        (["--dataset", "code=nowhere.txt"], "code=nowhere.txt, which is not a file"),
        (["--component", "9"], "`component`: expected the name of a component"),
        (["--step", "7"], "expected steps of this run"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], told: str, ontogeny: Command, folder: Path) -> None:
    run = ["measure", f"{folder}/model_{{N}}.pt", folder / "setup.py", "--out", folder / "out", "--jobs", "1"]
    code, _, errors = ontogeny(*run, *arguments)
    assert code == 2
    assert told in errors
