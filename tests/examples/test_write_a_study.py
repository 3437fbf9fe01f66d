"""The study of docs/write-a-study.md runs as it stands there, and says what the page says."""

import re
from pathlib import Path

import pytest

import ontogeny as og
from ontogeny.execution import Serial

PAGE = Path(__file__).parents[2] / "docs" / "write-a-study.md"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path_factory.mktemp("study") / "waves.py"
    path.write_text("\n\n".join(blocks), encoding="utf-8")
    return path


def test_the_study_of_the_page_runs_to_its_report(study: Path) -> None:
    run = og.study(study, "quick", study.parent / "run", executor=Serial())
    assert run.failures == []
    (claim,) = run.claims
    assert claim["status"] == "held", claim
    assert 'id="waves"' in run.report.read_text(encoding="utf-8")


def test_it_is_about_a_hundred_lines(study: Path) -> None:
    assert len(study.read_text(encoding="utf-8").splitlines()) < 125
