"""Minibatches of chains: with replacement, each sample as often, functions of seed, chain and step."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from ontogeny.sampling.order import Order


@pytest.mark.parametrize("batch_size", [5, 3000, 20_000], ids=["64 steps ahead", "5 steps ahead", "step by step"])
def test_a_minibatch_is_the_same_however_chains_and_steps_are_batched(batch_size: int) -> None:
    reference = [Order(0, 3, 10**6, batch_size).at(step) for step in range(7)]
    one, few = Order(0, 1, 10**6, batch_size), Order(0, 2, 10**6, batch_size)
    for step in (6, 0, 3, 4):
        assert torch.equal(one.at(step), reference[step][:1])
        assert torch.equal(few.at(step), reference[step][:2])
    places = [Order(1, 3, 10**6, batch_size).at(0), *reference]
    for row, other in itertools.combinations(torch.cat(places), 2):
        assert (row == other).double().mean() < 1e-3


@pytest.mark.parametrize("stored", [1, 7, 1000])
def test_each_sample_is_chosen_as_often_as_any_other(stored: int) -> None:
    order = Order(0, 2, stored, 50)
    counts = np.bincount(torch.cat([order.at(step).flatten() for step in range(1000)]), minlength=stored)
    assert len(counts) == stored
    assert stored == 1 or chisquare(counts).pvalue > 1e-3
