"""The arithmetic of docs/scaling.md gives what the page says."""

from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = (block.split("\n", 1)[1] for block in PAGE.read_text(encoding="utf-8").split("```")[1::2])
    exec(code, {})
    assert capsys.readouterr().out == said
