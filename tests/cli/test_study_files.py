"""Mistakes in a study of one's own are told in one line, which names the line of the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]
STUDY = """import xarray as xr
from ontogeny.studies import Preset, Study, StudyConfig


def ends(value):
    return xr.Dataset({"end": 1 / value})


def run(work, config):
    work.step("ends", ends, 1)


STUDY = Study("mine", "Mine", "Nothing.", {"quick": Preset("a second", StudyConfig())}, run)
"""

MISTAKES = {
    "syntax": (STUDY + "def (", "mine.py, line 14: invalid syntax"),
    "name": (STUDY + "nothing()\n", "mine.py, line 14: NameError: name 'nothing' is not defined"),
    "library": ("import no_such_library\n" + STUDY, "mine.py, line 1: ModuleNotFoundError: No module named"),
    "neighbour": ("import beside\n" + STUDY, "beside.py, line 2: ZeroDivisionError: division by zero"),
    "setting": (
        STUDY.replace("StudyConfig()", "StudyConfig(sed=1)"),
        "mine.py, line 13: `sed`: expected",
    ),
    "no study": (STUDY.replace("STUDY =", "MINE ="), "`name`: expected a file that defines STUDY"),
    "step": (STUDY.replace("ends, 1)", "ends, 0)"), "mine.py, line 6: ZeroDivisionError: division by zero"),
    "run": (STUDY.replace("work.step(", "work.stop("), "mine.py, line 10: AttributeError: 'Workspace' object has no"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_by_line(name: str, ontogeny: Command, tmp_path: Path) -> None:
    text, told = MISTAKES[name]
    (tmp_path / "beside.py").write_text("\nwrong = 1 / 0\n")
    (tmp_path / "mine.py").write_text(text)
    for _ in range(2):  # a module that failed is not there the second time
        code, output, errors = ontogeny("study", tmp_path / "mine.py", "--out", tmp_path / "run", "--jobs", "1")
        assert code == 2
        assert told in errors
        assert errors.count("\n") == 1
        assert "Traceback" not in output + errors
