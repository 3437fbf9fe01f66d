"""The import contracts hold, and a room that breaks one is caught."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Checks the package below `folder`, and not the installed one, against the contracts there."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [LINT_IMPORTS, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("core/planted.py", "from ontogeny import sampling"),  # upwards
        ("models/planted.py", "import ontogeny.stores"),  # sideways
        ("sampling/planted.py", "import ontogeny.reports"),  # down, to a room that sampling does not stand on
        ("planted/__init__.py", ""),  # a room without a floor
    ],
)
def test_a_planted_breach_is_caught(file: str, line: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "src" / "ontogeny" / file
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f"{line}\n", encoding="utf-8")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert "planted" in result.stdout + result.stderr
