"""Forecasts of what sampling costs, against what it then costs."""

import json
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.sampling.peaks import LiveMemory


@pytest.fixture
def one_thread() -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def posterior(width: int = 64, **options: Any) -> og.LocalPosterior:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, width), nn.Tanh(), nn.Linear(width, 4))
    data = torch.randn(600, 16, generator=generator), torch.randn(600, 4, generator=generator)
    return og.LocalPosterior(model, data, og.losses.mse, **options)


def test_gradients_are_those_that_are_then_taken() -> None:
    sampler = og.Fixed(kernel=og.SGLD(1e-6), num_chains=2, num_draws=12, num_warmup=4, thinning=2)
    one = og.forecast(posterior(), sampler)
    taken = json.loads(og.sample(posterior(), sampler).attrs["settings"])["gradient_evaluations"]
    assert not one.at_most
    assert one.gradients == pytest.approx(taken, rel=0.1)


@pytest.mark.usefixtures("one_thread")
def test_time_is_told_even_on_a_machine_with_other_work() -> None:
    sampler = og.Fixed(kernel=og.SGLD(1e-6), num_chains=4, num_draws=150, num_warmup=50)
    one = og.forecast(posterior(), sampler)
    begun = time.process_time()
    og.sample(posterior(), sampler)
    taken = time.process_time() - begun
    assert taken / 3 < one.seconds < 3 * taken


def test_time_grows_with_the_length() -> None:
    short, long = (og.Fixed(kernel=og.SGLD(1e-6), num_draws=draws, num_warmup=0) for draws in (100, 10_000))
    assert og.forecast(posterior(), long).seconds > 20 * og.forecast(posterior(), short).seconds


def test_a_calibrated_sampler_costs_at_most_its_budget() -> None:
    one = og.forecast(posterior(), og.Calibrated(budget=50_000))
    assert one.at_most
    assert one.gradients == 50_000
    assert str(one).startswith("at most ")


def test_memory_holds_every_chain() -> None:
    where = posterior(
        30_000, nbeta=0.0, batch_size=2, pass_size=2
    )  # without a descent, whose memory does not grow with chains
    sampler = og.Fixed(kernel=og.SGLD(1e-6), num_draws=100)
    few, many = (og.forecast(where, sampler.model_copy(update={"num_chains": number})) for number in (2, 22))
    assert many.memory - few.memory == pytest.approx(20 * 4 * where.num_parameters, rel=0.3)


def test_what_does_not_fit_is_refused() -> None:
    one = og.forecast(posterior(), og.Fixed(num_draws=10))
    one.require_fit()
    with pytest.raises(InvalidArgument, match="GB of free memory for the chains"):
        replace(one, memory=10**15, available=10**9).require_fit()


def test_the_posterior_is_left_as_it_was() -> None:
    where = posterior()
    before = where.center.clone(), torch.random.get_rng_state()
    og.forecast(where, og.Fixed(num_draws=10))
    assert torch.equal(where.center, before[0])
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_live_memory_counts_what_is_held() -> None:
    with LiveMemory() as memory:
        first = torch.zeros(1000)
        view = first[:10]
        second = first + 1
        del second
        third = torch.cat([first, first])
        del first, view
    assert memory.peak == 12_000
    assert memory.live == 8000
    assert len(third) == 2000
