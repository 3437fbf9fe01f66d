"""Every example runs as it stands, and leaves what it says."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, folder: Path, *arguments: str) -> str:
    """What an example prints, run in a folder of its own."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"digits.py"}


def test_digits_are_followed_to_their_report(tmp_path: Path) -> None:
    output = run("digits.py", tmp_path, "mine/page.html")
    assert "report: mine/page.html" in output
    share = re.search(r"(\d+)% of the estimates converged where", output)
    assert share is not None
    assert int(share[1]) > 60
    assert re.search(r"stage_start +stage_end", output)
    page = (tmp_path / "mine" / "page.html").read_text(encoding="utf-8")
    assert "<title>Digits" in page
    for panel in ("loss-llc", "slope", "trajectory", "traces"):
        assert f'id="figure-{panel}"' in page, panel
