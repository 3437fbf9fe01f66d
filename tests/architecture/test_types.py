"""Types are checked: by pyrefly, which catches planted errors and only those, and at run time by `make test-all`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYREFLY = Path(sys.executable).parent / "pyrefly"

# Each line with a mark must be refused for the reason that the mark names, and no other line may be.
PLANTED = '''
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn


def mean_loss(losses: Float[Tensor, "batch position"], weights: Float[Tensor, "batch"] | None = None) -> float:
    """Well typed, with shapes in both of jaxtyping's forms."""
    if weights is None:
        return losses.mean().item()
    return float((losses.mean(1) * weights).sum())


def no_reason(losses: list[float]) -> str:
    return sum(losses)  # planted: bad-return


def optional(name: str | None) -> str:
    return name.upper()  # planted: missing-attribute


def unannotated(x) -> None:  # planted: implicit-any-parameter
    pass


def unannotated_return(x: int):  # planted: unannotated-return
    return x


mean_loss("text")  # planted: bad-argument-type
mean_loss(torch.zeros(2, 3), weight=None)  # planted: unexpected-keyword
wrong: Tensor = nn.Linear(2, 3)  # planted: bad-assignment
count: int = np.zeros(3)  # planted: bad-assignment
print(undefined)  # planted: unknown-name
torch.no_such_function()  # planted: missing-attribute
'''


def test_planted_errors_are_caught_and_nothing_else_is(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "src" / "planted.py"
    planted.parent.mkdir()
    planted.write_text(PLANTED, encoding="utf-8")
    command = [PYREFLY, "check", "--output-format", "json", "--python-interpreter-path", sys.executable]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1, result.stderr
    found = {(error["line"], error["name"]) for error in json.loads(result.stdout)["errors"]}
    lines = enumerate(PLANTED.splitlines(), start=1)
    assert found == {(number, line.split("# planted: ")[1]) for number, line in lines if "# planted: " in line}


CHECKED = """
from jaxtyping import TypeCheckError, install_import_hook

with install_import_hook("ontogeny", "beartype.beartype"):
    from ontogeny.core import seeds
try:
    seeds.derive("0")
except TypeCheckError:
    print("caught")
"""


def test_annotations_can_be_checked_at_run_time() -> None:
    result = subprocess.run([sys.executable, "-c", CHECKED], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "caught", result.stderr
