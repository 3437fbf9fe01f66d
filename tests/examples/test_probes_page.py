"""The code of docs/probes.md runs as it stands there, and finds what the page says."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "probes.md").read_text(encoding="utf-8")


def rows(printed: str) -> dict[str, list[float]]:
    """Numbers of the printed table by predictor."""
    found = {}
    for line in printed.splitlines():
        name, *cells = re.split(r"\s{2,}", line.strip())
        if cells and re.fullmatch(r"-?\d\.\d{4}", cells[0]):
            found[name] = [float(cell.strip("()")) for cell in cells]
    return found


def test_the_page_runs_and_prints_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    exec("\n\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), {})
    printed = capsys.readouterr().out
    shown, found = rows(PAGE), rows(printed)
    assert list(shown) == list(found) == ["activations", "untrained network", "input", "last product"]
    for name, numbers in shown.items():
        assert found[name] == pytest.approx(numbers, abs=0.03), name  # as far as training on another processor differs
    assert found["activations"][0] - found["untrained network"][0] > 0.05
    assert float(printed.splitlines()[-1]) > 0.5  # the slope that is read is used
