"""What errors of this room say to write instead."""

from pathlib import Path
from typing import Any

import pytest
from tests.advice import Mistake, follow, mistakes

from ontogeny.execution import Shard
from ontogeny.studies.language import STUDY
from ontogeny.studies.many_shot import STUDY as MANY_SHOT
from ontogeny.studies.many_shot.languages import Languages
from ontogeny.studies.memorisation import STUDY as MEMORISATION
from ontogeny.studies.parity.tasks import Parities
from ontogeny.studies.runner import _claim_directory, _dealt
from ontogeny.studies.study import override
from ontogeny.studies.superposition.config import Sweep
from ontogeny.studies.superposition_phases.free_energies import critical_n, phase
from ontogeny.studies.superposition_phases.polygons import polygon

FOLDER = Path()  # of the mistake at hand


def claimed(name: str, batch_size: int = 16, remake: bool = False) -> None:
    (FOLDER / name).mkdir(exist_ok=True)
    _claim_directory(FOLDER / name, STUDY, quick(**{"training.batch_size": batch_size}), remake)


def quick(**settings: Any) -> Any:
    return override(STUDY.config("quick"), settings)


def points(**settings: Any) -> Any:
    config = MEMORISATION.config("quick")
    return type(config).model_validate(config.model_dump() | settings)


def shots(**settings: Any) -> Any:
    config = MANY_SHOT.config("quick")
    return type(config).model_validate(config.model_dump() | settings)


def languages(**settings: Any) -> Any:
    return Languages(tokens=4, **settings).chains


def sweep(**settings: Any) -> Any:
    return Sweep.model_validate({"training": {"num_steps": 1}} | settings)


# fmt: off
MISTAKES = (
    ("studies/study.py:override", 'quick(sampler=\'{kernel = {name = "SGL"}}\')', "settings",
     '{"name": "SGLD", "step_size": 1e-4}', "quick(sampler={'kernel': ADVICE})"),
    ("studies/runner.py:_claim_directory", "(claimed('run'), claimed('run', 8))", "out", "another/folder",
     "claimed('another', 8)"),
    ("studies/runner.py:_claim_directory", "(claimed('run'), claimed('run', 8))", "out", "--remake",
     "claimed('run', 8, remake=True)"),
    ("studies/runner.py:_dealt", "_dealt(range(2), Shard(3, 4))", "shard", "Shard(1, 2)",
     "list(_dealt(range(2), ADVICE)) == [0]"),
    ("studies/parity/tasks.py:Parities.__post_init__", "Parities(7, 4, 2)", "count", "count=6", "Parities(6, 4, 2)"),
    ("studies/superposition_phases/polygons.py:polygon", 'polygon("7")', "name", 'polygon("5+")', "ADVICE"),
    ("studies/superposition_phases/free_energies.py:phase", 'phase("4")', "name", 'phase("5")', "ADVICE"),
    ("studies/superposition_phases/free_energies.py:critical_n", 'critical_n(phase("5"), phase("5"))',
     "first, second", 'critical_n(phase("5"), phase("6"))', "ADVICE"),
    ("studies/memorisation/config.py:Config._is_narrow", "points(hidden=200)", "hidden", "hidden=2", "points(ADVICE)"),
    ("studies/memorisation/config.py:Config._has_points", "points(sizes=(0, 3))", "sizes",
     "sizes=(3, 4, 5, 6, 40, 640)", "points(ADVICE)"),
    ("studies/many_shot/config.py:Config._suppress", "shots(shifts=(0.0,))", "shifts", "shifts=(1.0, 2.0)",
     "shots(ADVICE)"),
    ("studies/many_shot/languages.py:Languages.chains", "languages(distances=(1e6,))", "distances",
     "distances=(0.1, 0.2)", "languages(ADVICE)"),
    ("studies/superposition/config.py:Sweep._is_narrow", "sweep(hidden=64)", "hidden", "hidden=12", "sweep(ADVICE)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    follow(mistake, globals())
