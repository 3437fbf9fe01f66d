"""Noise is met by friction, steps and batches in that order, and what is allowed follows from sizes and budget."""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

import ontogeny as og
from ontogeny.core.losses import mse
from ontogeny.sampling.allowance import Allowance, Balance, allow
from ontogeny.sampling.tuning import TUNING

STORED = 10_000
SHARES = st.floats(1e-6, 100.0)


def posterior(num_samples: int, width: int = 5) -> og.LocalPosterior:
    data = torch.randn(num_samples, width), torch.randn(num_samples, width)
    return og.LocalPosterior(nn.Linear(width, width), data, mse, batch_size=128)


@given(SHARES, st.sampled_from([64, 256, 1024]))
def test_what_is_chosen_brings_noise_to_its_aim_or_below(share: float, batch_size: int) -> None:
    present = Balance(batch_size, TUNING.friction[0], 1.0)
    chosen = Allowance(first=batch_size, smallest=64, largest=STORED).balance(share, present, STORED)
    predicted = 0.0 if chosen.batch_size == STORED else share * present.cooling / chosen.cooling
    assert predicted <= 1.2 * TUNING.inflation  # batches are rounded to powers of two
    assert TUNING.friction[0] - 1e-9 <= chosen.friction <= TUNING.friction[1] + 1e-9
    assert TUNING.shrink - 1e-9 <= chosen.shrink <= 1


@given(SHARES)
@example(0.1875)  # a size that is rounded down to the largest
def test_where_batches_cannot_grow_steps_shrink(share: float) -> None:
    present = Balance(128, TUNING.friction[0], 1.0)
    chosen = Allowance(first=128, smallest=128, largest=128).balance(share, present, STORED)
    assert chosen.batch_size == 128
    assert share * present.cooling / chosen.cooling <= 1.01 * TUNING.inflation


def test_friction_comes_before_steps_and_steps_before_batches() -> None:
    allowance, present = Allowance(first=64, smallest=64, largest=STORED), Balance(64, TUNING.friction[0], 1.0)
    little, more, much = (allowance.balance(excess * TUNING.inflation, present, STORED) for excess in (2.0, 5.0, 50.0))
    assert (little.shrink, little.batch_size) == (1.0, 64)
    assert little.friction > TUNING.friction[0]
    assert more.shrink < 1
    assert more.batch_size == 64
    assert much.batch_size > 64


def test_more_than_half_of_the_data_is_all_of_it() -> None:
    chosen = Allowance(first=64, smallest=64, largest=STORED).balance(1e4, Balance(64, TUNING.friction[0], 1.0), STORED)
    assert chosen == Balance(STORED, TUNING.friction[0], 1.0)


@pytest.mark.parametrize(
    "budget", [50_000, *(pytest.param(more, marks=pytest.mark.slow) for more in (200_000, 1_000_000))]
)
def test_a_budget_bounds_what_the_calibration_takes(budget: int) -> None:
    target = posterior(4000)
    calibration = og.calibrate(target, budget=budget)
    assert calibration.gradient_evaluations < 0.6 * budget
    estimate = og.estimate_llc(nn.Linear(5, 5), (torch.randn(4000, 5), torch.randn(4000, 5)), mse, budget=budget)
    assert estimate.settings is not None
    assert estimate.settings.gradient_evaluations <= budget


def test_below_twice_the_data_nothing_is_taken_on_all_samples() -> None:
    allowance = allow(posterior(4000), num_chains=4, budget=7000, fixed_batch=False)
    assert allowance.control_variate is False
    assert allowance.descent * allowance.descent_iterations < 0.15 * 7000


def test_a_given_batch_is_kept() -> None:
    allowance = allow(posterior(4000), num_chains=4, budget=None, fixed_batch=True)
    assert (allowance.first, allowance.smallest, allowance.largest) == (128, 128, 128)


def test_a_small_data_set_is_taken_as_a_whole() -> None:
    assert allow(posterior(500), num_chains=4, budget=None, fixed_batch=False).smallest == 500
    assert math.isclose(Balance(500, TUNING.friction[0], 1.0).cooling, 500 * math.tanh(TUNING.friction[0] / 2))
