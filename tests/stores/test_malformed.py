"""Sources of any kind and paths of any form are opened, or refused in one line of our own; the disk stays as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from ontogeny.core.errors import OntogenyError
from ontogeny.stores import open_checkpoints

STATE = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
ODD = [None, 0, 1.5, "", "a", b"x", [], {}, object(), nn.Linear(3, 2), np.ones(2), torch.ones(2), torch.optim.SGD]
LEAVES = st.sampled_from([*ODD, STATE])
NAMES = st.sampled_from(["weight", "model", "state_dict", "optimizer", "module.weight", "", "..", "a/b", 0, None, 2.0])
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3))
SOURCES = TREES | st.dictionaries(NAMES | st.integers(-2, 4), TREES, max_size=2) | st.lists(TREES, max_size=2)
PARTS = ["..", ".", "run", "model_1.pt", "model_{N}.pt", "*", "{N}", "[a]", "~", "\x00", " ", "é", "C:\\", "//", "none"]
PATHS = st.lists(st.sampled_from(PARTS), max_size=4).map("/".join)
KEYS = st.none() | st.sampled_from(["", "model", "model.", ".", "a.b", "..", "weight", "state_dict.model"])


def opened(source: Any, key: Any = None) -> None:
    said = ""
    try:
        run = open_checkpoints(source, key=key)
        for step in run.steps:
            weights = run.load(step)
            assert weights
            assert all(isinstance(tensor, torch.Tensor) for tensor in weights.values())
    except OntogenyError as error:
        said = str(error)
    assert "\n" not in said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("outside") / "inside"
    (place / "run").mkdir(parents=True)
    for name in ("model_1.pt", "model_2.pt", "run/model_1.pt"):
        torch.save({"model": STATE, "step": 1}, place / name)
    return place


def check_path(path: str, key: Any, folder: Path) -> None:
    around = folder.parent
    before = {each: each.read_bytes() for each in around.rglob("*") if each.is_file()}
    opened(f"{folder}/{path}", key)
    assert {each: each.read_bytes() for each in around.rglob("*") if each.is_file()} == before


few = settings(max_examples=100, suppress_health_check=list(HealthCheck))
many = settings(max_examples=2000, suppress_health_check=list(HealthCheck))


@given(source=SOURCES, key=KEYS)
@few
def test_a_source_is_opened_or_refused(source: Any, key: Any) -> None:
    opened(source, key)


@given(path=PATHS, key=KEYS)
@few
def test_a_path_is_opened_or_refused_and_nothing_is_written(path: str, key: Any, folder: Path) -> None:
    check_path(path, key, folder)


@pytest.mark.slow
@given(source=SOURCES, path=PATHS, key=KEYS)
@many
def test_many_sources_and_paths(source: Any, path: str, key: Any, folder: Path) -> None:
    opened(source, key)
    check_path(path, key, folder)
