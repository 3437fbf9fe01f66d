"""The code of docs/circuits.md runs as it stands there, and prints what the page says."""

from pathlib import Path

import pytest

from ontogeny import circuits

PAGE = (Path(__file__).parents[2] / "docs" / "circuits.md").read_text(encoding="utf-8")


def test_the_page_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = PAGE.split("```")[1::2]
    exec("\n\n".join(block.removeprefix("python") for block in blocks if block.startswith("python")), {})
    said = "".join(block.removeprefix("\n") for block in blocks if block.startswith("\n"))
    assert len(said.splitlines()) == 12
    assert capsys.readouterr().out == said


def test_every_function_of_the_room_is_on_the_page() -> None:
    functions = {name for name, each in vars(circuits).items() if callable(each) and name[0].islower()}
    on_patterns = {"attention_entropy", "attention_patterns", "pattern_scores", "repeat_scores", "text_scores"}
    assert {name for name in functions - on_patterns if f"`{name}" not in PAGE} == set()
