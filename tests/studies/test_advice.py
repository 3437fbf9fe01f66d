"""What errors of this room say to write instead."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.advice import Mistake, follow, mistakes

from ontogeny.studies.language import preset
from ontogeny.studies.registry import _claim_directory, override

FOLDER = Path()  # of the mistake at hand


def claimed(name: str, seed: int = 0) -> None:
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    config = preset("quick").model_copy(update={"seed": seed})
    _claim_directory(folder, "language", config, 1)
    said = {"study": "language", "seeds": 1, "config": config.model_dump(mode="json")}
    (folder / "study.json").write_text(json.dumps(said))


def quick(**settings: Any) -> Any:
    return override(preset("quick"), settings)


# fmt: off
MISTAKES = (
    ("studies/registry.py:override", 'quick(sampler=\'{kernel = {name = "SGL"}}\')', "settings",
     '{"name": "SGLD", "step_size": 1e-4}', "quick(sampler={'kernel': ADVICE})"),
    ("studies/registry.py:_claim_directory", "(claimed('run'), claimed('run', 1))", "out", "another/folder",
     "claimed('another', 1)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    follow(mistake, globals())
