"""The wheel and the sdist hold what is needed, and install in a clean environment."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import ontogeny

ROOT = Path(__file__).parents[2]
FIRST = """
import sys, time
began = time.perf_counter()
import ontogeny as og
print(time.perf_counter() - began, "torch" in sys.modules, "plotly" in sys.modules, og.__version__)
import torch
model, data = torch.nn.Linear(2, 1), (torch.eye(2).repeat(20, 1), torch.zeros(40, 1))
print(og.estimate_llc(model, data, og.losses.mse, sampler=og.Fixed(num_chains=2, num_draws=5, num_warmup=2)))
print(og.write_report.__module__)
"""
# A run of the Trainer, for the example of the README that measures one.
TRAINED = """
import torch, transformers
shape = {"vocab_size": 12, "n_positions": 4, "n_embd": 128, "n_layer": 1, "n_head": 2}
config = transformers.GPT2Config(**shape, bos_token_id=0, eos_token_id=0)
tokens = (torch.arange(48)[:, None] + torch.arange(4)) % 12
dataset = [{"input_ids": row, "labels": row} for row in tokens]
arguments = transformers.TrainingArguments(
    "out", max_steps=20, save_steps=10, learning_rate=3e-3, per_device_train_batch_size=16, use_cpu=True, report_to=[])
transformers.Trainer(transformers.GPT2LMHeadModel(config), arguments, train_dataset=dataset).train()
"""


def trainer_example() -> str:
    """The lines of the README that measure a run of the Trainer."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (block for block in blocks if "from transformers import" in block)
    assert len(example.splitlines()) <= 8
    return example


def test_the_version_is_one_wherever_it_is_told() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/ontogeny/__init__.py"
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert cited[1] == ontogeny.__version__


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """What code prints in an environment with the wheel.

    Its dependencies are those of the environment of this test; the package itself comes from the wheel.
    """
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {"ontogeny/py.typed", "ontogeny/reports/templates/page.html.j2"} <= inside
    assert not [name for name in inside if name.startswith(("tests", "docs"))]
    with tarfile.open(sdist) as packed:
        assert any(name.endswith("pyproject.toml") for name in packed.getnames())
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True, timeout=200)
    packages = next((folder / "env" / "lib").glob("python*")) / "site-packages"
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(others), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}

    def run(code: str) -> str:
        command = [python, "-W", "ignore", "-c", code]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=folder, env=environment)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


@pytest.mark.slow
def test_the_wheel_alone_is_enough(said: Callable[[str], str]) -> None:
    first, estimate, *_ = said(FIRST).splitlines()
    seconds, torch, plotly, version = first.split()
    assert (torch, plotly, version) == ("False", "False", ontogeny.__version__)
    assert float(seconds) < 0.2
    assert estimate.startswith("LLC")


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute on two cores, and several where others share them
def test_the_example_of_the_trainer_runs_with_the_wheel_alone(said: Callable[[str], str]) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    shown = said(f"{TRAINED}{trainer_example()}print(og.__file__, trajectory.llc.shape, trajectory.step.values)")
    assert "site-packages" in shown
    assert "(2, 1, 1) [10 20]" in shown
