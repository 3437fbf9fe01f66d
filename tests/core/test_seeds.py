"""The seed tree: stable over processes, every path its own, nothing global."""

import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ontogeny.core import seeds

PATHS = st.lists(st.one_of(st.text(max_size=8), st.integers()), max_size=3).map(tuple)


def test_a_child_is_the_same_in_every_process_and_release() -> None:
    assert seeds.derive(0, "noise", 3) == 4204803787491696027
    assert seeds.derive(1) == 4919923341562865044


@given(st.integers(), PATHS, st.integers(), PATHS)
def test_different_places_in_the_tree_have_different_children(
    seed: int, path: tuple[str | int, ...], other_seed: int, other_path: tuple[str | int, ...]
) -> None:
    child, other = seeds.derive(seed, *path), seeds.derive(other_seed, *other_path)
    assert (child == other) == ((seed, path) == (other_seed, other_path))
    assert 0 <= child < 2**63


def test_a_path_is_not_its_text() -> None:
    assert len({seeds.derive(0, "1", "2"), seeds.derive(0, 1, 2), seeds.derive(0, "12"), seeds.derive(0, "1", 2)}) == 4


def test_generators_of_one_path_agree_and_leave_the_global_state_alone() -> None:
    before = random.getstate(), np.random.default_rng(0).bit_generator.state, torch.get_rng_state()
    first, second = seeds.generator(7, "a"), seeds.generator(7, "a")
    assert torch.equal(torch.randn(5, generator=first), torch.randn(5, generator=second))
    assert not torch.equal(torch.randn(5, generator=first), torch.randn(5, generator=seeds.generator(7, "b")))
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[2])
