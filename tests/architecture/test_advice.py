"""Every error that tells what to write instead is met in a test that writes it."""

import importlib
from pathlib import Path

import pytest
from tests.advice import Mistake, follow, sites

TESTS = Path(__file__).parents[1]


def _listed() -> list[Mistake]:
    modules = [f"tests.{path.parent.name}.test_advice" for path in sorted(TESTS.glob("*/test_advice.py"))]
    tables = [importlib.import_module(name).test_advice for name in modules if name != __name__]
    marks = [mark for table in tables for mark in table.pytestmark if mark.name == "parametrize"]
    return [mistake for mark in marks for mistake in mark.args[1]]


def test_every_advice_is_followed_in_a_test_of_its_room() -> None:
    listed = {mistake.site for mistake in _listed()}
    assert sorted(set(sites()) - listed) == []
    assert sorted(listed - set(sites())) == []


def test_advice_that_does_not_help_fails() -> None:
    mistake = next(each for each in _listed() if each.site == "execution/jobs.py:Job.__post_init__")
    names = vars(importlib.import_module("tests.execution.test_advice"))
    follow(mistake, names)
    for field, value in {"right": mistake.wrong, "advice": "weight=2.0", "argument": "name", "site": "other"}.items():
        with pytest.raises((AssertionError, ValueError)):
            follow(Mistake(**(vars(mistake) | {field: value})), names)
