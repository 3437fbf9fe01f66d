"""When checkpoints are kept, and how the learning rate runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontogeny.stores import checkpoint_steps
from ontogeny.training.schedule import Schedule, learning_rate_factor


def test_log_spaced_and_linear_checkpoints_in_one_list() -> None:
    assert checkpoint_steps(1000, 4, 0) == [0, 1, 10, 100, 1000]
    assert checkpoint_steps(1000, 0, 4) == [0, 250, 500, 750, 1000]
    assert checkpoint_steps(1000, 4, 4) == [0, 1, 10, 100, 250, 500, 750, 1000]
    assert checkpoint_steps(1000, 0, 0) == [0, 1000]


@given(num_steps=st.integers(1, 100_000), num_log=st.integers(0, 200), num_linear=st.integers(0, 200))
def test_checkpoints_are_ordered_and_hold_both_ends(num_steps: int, num_log: int, num_linear: int) -> None:
    steps = checkpoint_steps(num_steps, num_log, num_linear)
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, num_steps)
    assert len(steps) <= 2 + num_log + num_linear


def test_log_spaced_checkpoints_are_even_in_log_step() -> None:
    steps = np.array([step for step in checkpoint_steps(100_000, 60, 0) if step >= 1000])  # where rounding is small
    assert np.ptp(np.diff(np.log(steps))) < 0.005


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_learning_rate_warms_up_linearly(schedule: Schedule) -> None:
    factors = [learning_rate_factor(schedule, step, 100, 10) for step in range(100)]
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    assert factors[10] == 1
    assert (np.diff(factors[10:]) <= 0).all()


@pytest.mark.parametrize(
    ("schedule", "middle", "late", "end"),
    [("constant", 1, 1, 1), ("linear", 0.5, 0.25, 0), ("cosine", 0.5, 0.5 * (1 - 0.5**0.5), 0)],
)
def test_the_learning_rate_falls_to_its_end(schedule: Schedule, middle: float, late: float, end: float) -> None:
    found = [learning_rate_factor(schedule, step, 80, 0) for step in (0, 40, 60, 80)]
    np.testing.assert_allclose(found, [1, middle, late, end], atol=1e-12)
