"""The wheel and the sdist hold what is needed, and install in a clean environment."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
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
shape = {"vocab_size": 12, "n_positions": 4, "n_embd": 64, "n_layer": 4, "n_head": 2}
config = transformers.GPT2Config(**shape, bos_token_id=0, eos_token_id=0)
tokens = (torch.arange(48)[:, None] + torch.arange(4)) % 12
dataset = [{"input_ids": row, "labels": row} for row in tokens]
arguments = transformers.TrainingArguments(
    "out", max_steps=20, save_steps=10, per_device_train_batch_size=16, use_cpu=True, report_to=[], disable_tqdm=True)
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


@pytest.mark.slow
def test_the_wheel_alone_is_enough(tmp_path: Path) -> None:
    """Its dependencies are those of the environment of this test; the package itself comes from the wheel."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {"ontogeny/py.typed", "ontogeny/reports/templates/page.html.j2"} <= inside
    assert not [name for name in inside if name.startswith(("tests", "docs"))]
    with tarfile.open(sdist) as packed:
        assert any(name.endswith("pyproject.toml") for name in packed.getnames())
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True, timeout=200)
    packages = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(others), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}

    def said(code: str) -> str:
        command = [python, "-W", "ignore", "-c", code]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path, env=environment)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    first, estimate, *_ = said(FIRST).splitlines()
    seconds, torch, plotly, version = first.split()
    assert (torch, plotly, version) == ("False", "False", ontogeny.__version__)
    assert float(seconds) < 0.2
    assert estimate.startswith("LLC")
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    said(TRAINED + trainer_example())
    assert "llc" in (tmp_path / "report.html").read_text(encoding="utf-8")
