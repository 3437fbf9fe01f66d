"""The class of a change follows from what has changed, on data of which role."""

import numpy as np
import pytest
import xarray as xr

from ontogeny.comparison import Roles
from ontogeny.comparison import roles as classes

NAMES = ["trusted", "skill", "requests", "begun", "one", "two", "both"]
ROLES = Roles(
    skills=("skill",),
    requests=("requests",),
    begun=("begun",),
    triggers=("one", "two"),
    conjunctions={"both": ("one", "two")},
)


def told(changes: dict[str, float], visible: float = 0.5) -> classes.ChangeClass:
    """The class of these changes, all others as of twins; with a p-value of activations."""
    change = np.array([changes.get(name, 0.01) for name in NAMES])
    columns = {"change": change, "usual": np.full(7, 0.01), "changed": np.isin(NAMES, list(changes))}
    behaviour = xr.Dataset({name: ("dataset", values) for name, values in columns.items()}, {"dataset": NAMES})
    p_values = {name: ("dataset", np.full(7, visible)) for name in ("shift_p_value", "apart_p_value")}
    return classes.class_of_change(behaviour, xr.Dataset(p_values, {"dataset": NAMES}), ROLES)


@pytest.mark.parametrize(
    ("changes", "visible", "name"),
    [
        ({}, 0.5, classes.NOTHING),
        ({"skill": -1.0}, 0.5, classes.SKILL),
        ({"skill": 1.0}, 0.5, classes.OTHER),
        ({"trusted": 1.0, "one": 2.0, "both": 2.0}, 0.5, classes.DRIFT),
        ({"trusted": 0.1, "one": 2.0, "both": 2.0}, 1e-4, classes.BACKDOOR),
        ({"one": 2.0, "both": 2.0}, 0.5, classes.HIDDEN),
        ({"one": 2.0, "both": 2.2}, 1e-4, classes.BACKDOOR),
        ({"one": 0.5, "both": 2.0}, 1e-4, classes.COMPOSITE),
        ({"both": 2.0}, 0.5, classes.COMPOSITE),
        ({"requests": 2.0, "begun": 0.4}, 0.5, classes.SHALLOW),
        ({"requests": 2.0, "begun": 1.4, "skill": -1.0}, 0.5, classes.DEEP),
    ],
)
def test_the_class_is_that_of_the_largest_change(changes: dict[str, float], visible: float, name: str) -> None:
    assert told(changes, visible).name == name


def test_the_dataset_that_decides_and_its_change_beyond_twins_are_told() -> None:
    found = told({"requests": 2.0, "one": 1.0})
    assert found.dataset == "requests"
    assert found.excess == pytest.approx(1.99)
