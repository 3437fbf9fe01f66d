"""Every example runs as it stands, and leaves what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, folder: Path, *arguments: str) -> str:
    """What an example prints, run in a folder of its own."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"digits.py"}


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
