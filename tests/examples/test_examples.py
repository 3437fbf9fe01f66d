"""Every example runs as it stands, and leaves what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, folder: Path, *arguments: str) -> str:
    """What an example prints, run in a folder of its own."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"digits.py", "on_ray.py"}
    assert {path.name for path in EXAMPLES.glob("*.sbatch")} == {"shards.sbatch"}


@pytest.mark.slow
def test_digits_are_followed_to_their_report(tmp_path: Path) -> None:
    output = run("digits.py", tmp_path, "mine/page.html")
    assert "report: mine/page.html" in output
    assert re.search(r"loss +llc_complexity +llc_complexity_mcse +llc_descent +llc_outcome", output)
    last = output.splitlines()[-2].split()
    assert last[0] == "200"
    assert last[-1] == "converged"
    assert float(last[2]) > 10 * float(last[3]) > 0
    page = (tmp_path / "mine" / "page.html").read_text(encoding="utf-8")
    assert "<title>Digits" in page
    for panel in ("loss-llc", "trajectory", "traces"):
        assert f'id="figure-{panel}"' in page, panel


@pytest.mark.slow
def test_a_measurement_on_ray_is_that_of_this_process(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    assert "checkpoints, bit for bit the same" in run("on_ray.py", tmp_path)


@pytest.mark.slow
def test_the_tasks_of_an_array_are_one_measurement(tmp_path: Path) -> None:
    for step in (10, 20):
        torch.save({"weight": torch.full((2, 3), step / 50), "bias": torch.zeros(2)}, tmp_path / f"model_{step}.pt")
    (tmp_path / "setup.py").write_text(
        "import torch\nimport ontogeny as og\n"
        "data, loss_fn = (torch.ones(64, 3), torch.zeros(64).long()), og.losses.cross_entropy\n"
        "def model_fn(): return torch.nn.Linear(3, 2)\n"
    )
    command = tmp_path / "ontogeny"
    command.write_text(
        f'#!/bin/bash\nexec {sys.executable} -m ontogeny "$@" --nbeta 5 --localization 10 --set sampler=fixed\n'
    )
    command.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "1"}
    for number in ("2", "1"):
        here = os.environ | path | {"SLURM_ARRAY_TASK_ID": number}
        words = ["bash", str(EXAMPLES / "shards.sbatch"), "model_{N}.pt", "setup.py", "out"]
        done = subprocess.run(words, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
    assert "report: out/report.html" in done.stdout
