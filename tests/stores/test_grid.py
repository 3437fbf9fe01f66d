"""Grids over the steps of a series, and its gaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hub_server import OLMO2_MISSING

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores import open_checkpoints
from ontogeny.stores.grid import gaps, on_grid

PYTHIA = [0, *(2**power for power in range(10)), *range(1000, 144_000, 1000)]


def test_a_logarithmic_grid_has_as_many_as_asked_with_both_ends() -> None:
    assert on_grid(PYTHIA, "log:8") == [0, 1, 8, 64, 512, 3000, 20_000, 143_000]
    assert len(on_grid(PYTHIA, "log:24")) == 24
    assert on_grid(range(1000, 100_000, 1000), "log:5") == [1000, 3000, 10_000, 31_000, 99_000]


def test_other_grids() -> None:
    assert on_grid(range(0, 101, 10), "linear:3") == [0, 50, 100]
    assert on_grid(PYTHIA, 50_000) == [0, 50_000, 100_000]
    assert on_grid([3, 1, 2], None) == [1, 2, 3]


@given(
    st.lists(st.integers(0, 10**7), min_size=1, max_size=60, unique=True),
    st.integers(2, 30),
    st.sampled_from(["log", "linear"]),
)
def test_any_grid_is_a_subset_with_both_ends(steps: list[int], number: int, kind: str) -> None:
    found = on_grid(steps, f"{kind}:{number}")
    assert found == sorted(set(found))
    assert set(found) <= set(steps)
    assert len(found) <= number
    assert max(steps) in found
    assert min(steps) in found or (number == 2 and kind == "log" and min(steps) == 0)
    if len(steps) <= number:
        assert found == sorted(steps)


def test_gaps_are_steps_of_the_regular_spacing() -> None:
    whole = range(1000, 400_000, 1000)
    assert gaps([step for step in whole if step not in OLMO2_MISSING]) == list(OLMO2_MISSING)
    assert gaps(PYTHIA) == []
    assert gaps([1, 2, 4, 8, 16, 32]) == []
    assert gaps([*range(0, 5000, 1000), 4500]) == []
    assert gaps([7]) == []


def test_state_dicts_and_folders_are_put_on_a_grid_too() -> None:
    import torch

    run = open_checkpoints([{"w": torch.ones(1) * step} for step in range(10)], every=3)
    assert run.steps == [0, 3, 6, 9]
    assert run.load(6)["w"] == 6
    with pytest.raises(InvalidArgument, match="a step of this run"):
        run.load(1)
