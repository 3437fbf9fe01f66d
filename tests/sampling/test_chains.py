"""A chain is made by its seed and number alone, and takes the steps that the equation says."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core import seeds
from ontogeny.core.losses import mse
from ontogeny.testing import Point

VECTORIZED = pytest.mark.parametrize("vectorized", [True, False], ids=["vectorized", "one by one"])


def numbered(model: Point, batch: Tensor) -> Tensor:
    """Each sample is its own number, so that the loss at the center tells which sample was taken, to the bit."""
    return batch + 0.5 * (model.w**2).sum()


def trace(draws: xr.DataTree, name: str) -> np.ndarray:
    """Warm-up and draws of one variable of the chains' statistics."""
    return np.concatenate([np.asarray(draws[f"{prefix}sample_stats"][name]) for prefix in ("warmup_", "")], axis=1)


def walk(num_chains: int, vectorized: bool, seed: int = 0, **posterior: Any) -> xr.DataTree:
    settings: dict[str, Any] = {"nbeta": 20.0, "localization": 1.0, "batch_size": 1} | posterior
    target = og.LocalPosterior(Point(20), torch.arange(1000.0), numbered, **settings)
    lengths = {"num_draws": 15, "num_warmup": 5}
    return og.sample(target, og.SGLD(0.01), num_chains=num_chains, seed=seed, vectorized=vectorized, **lengths)


def test_noise_and_order_are_the_same_to_the_bit_however_chains_are_batched() -> None:
    free = {"nbeta": 0.0, "localization": 0.0}  # nothing but noise moves the chain
    reference = walk(4, vectorized=False, **free)
    for num_chains, vectorized in itertools.product((1, 2, 4), (True, False)):
        other = walk(num_chains, vectorized, **free)
        for name in ("distance", "loss_at_center"):
            assert np.array_equal(trace(other, name), trace(reference, name)[:num_chains])


def test_draws_are_the_same_however_chains_are_batched() -> None:
    reference = walk(4, vectorized=False)
    assert trace(reference, "distance")[:, 1:].min() > 0
    for num_chains, vectorized in itertools.product((1, 2, 4), (True, False)):
        other = walk(num_chains, vectorized)
        for name in ("distance", "loss", "loss_at_center"):
            np.testing.assert_allclose(trace(other, name), trace(reference, name)[:num_chains], rtol=1e-5)


@VECTORIZED
def test_a_seed_gives_the_same_draws_again_and_another_seed_others(vectorized: bool) -> None:
    xr.testing.assert_identical(walk(2, vectorized), walk(2, vectorized))
    first, other = walk(2, vectorized), walk(2, vectorized, seed=1)
    for name in ("distance", "loss_at_center"):
        assert not np.isin(trace(first, name)[:, 1:], trace(other, name)[:, 1:]).all(axis=1).any()


@VECTORIZED
def test_chains_differ_in_noise_and_in_order(vectorized: bool) -> None:
    draws = walk(4, vectorized)
    for name in ("distance", "loss_at_center"):
        for one, other in itertools.combinations(trace(draws, name), 2):
            assert (one[1:] == other[1:]).mean() < 0.2


def test_the_order_is_that_of_the_seed_tree_with_replacement() -> None:
    numbers = trace(walk(3, vectorized=True, seed=5), "loss_at_center")
    for chain, order in enumerate(numbers):
        generator = seeds.generator(5, "order", chain)
        assert order.tolist() == [torch.randint(1000, (1,), generator=generator).item() for _ in order]


def test_a_batch_of_all_samples_has_each_of_them_once() -> None:
    numbers = trace(walk(2, vectorized=True, batch_size=1000), "loss_at_center")
    assert (numbers == 499.5).all()


@pytest.mark.parametrize("thinning", [1, 3])
@VECTORIZED
def test_chains_take_the_steps_of_the_equation(vectorized: bool, thinning: int) -> None:
    """Each is w ← w - (ε/2)[nβ ∇L_B(w) + γ (w - w*)] + √ε ξ, written out with plain autograd on one flat vector."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    inputs, targets = torch.randn(30, 3), torch.randn(30, 2)
    posterior = og.LocalPosterior(model, (inputs, targets), mse, nbeta=40.0, localization=3.0, batch_size=8)
    lengths = {"num_chains": 2, "num_draws": 6, "num_warmup": 4, "thinning": thinning}
    draws = og.sample(posterior, og.SGLD(0.01), seed=9, vectorized=vectorized, **lengths)

    def loss_at(w: Tensor, rows: Tensor) -> Tensor:
        first, bias, second, last_bias = w.split([12, 4, 8, 2])
        hidden = torch.tanh(inputs[rows] @ first.reshape(4, 3).T + bias)
        return (hidden @ second.reshape(2, 4).T + last_bias - targets[rows]).square().sum(dim=1).mean()

    center = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    for chain in range(2):
        noise, order = seeds.generator(9, "noise", chain), seeds.generator(9, "order", chain)
        w, expected = center.clone(), []
        for _ in range(10 * thinning):
            rows = torch.randint(30, (8,), generator=order)
            w.requires_grad_()
            loss = loss_at(w, rows)
            (gradient,) = torch.autograd.grad(loss, w)
            w = w.detach()
            expected.append([loss.item(), loss_at(center, rows).item(), (w - center).norm().item()])
            w = w - 0.005 * (40 * gradient + 3 * (w - center)) + 0.1 * torch.randn(26, generator=noise)
        found = np.stack([trace(draws, name)[chain] for name in ("loss", "loss_at_center", "distance")], axis=1)
        np.testing.assert_allclose(found, expected[::thinning], rtol=2e-4, atol=1e-5)


def test_small_models_are_vectorized_and_those_that_cannot_be_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    gradients = og.LocalPosterior.gradients

    def watched(self: Any, positions: Tensor, indices: Tensor, out: Tensor, engine: Any, paired: bool) -> Tensor:
        seen.append(engine is not None)
        return gradients(self, positions, indices, out, engine, paired)

    def branching(model: Point, batch: Tensor) -> Tensor:
        return numbered(model, batch) if model.w.sum() > -1e9 else batch

    monkeypatch.setattr(og.LocalPosterior, "gradients", watched)
    for loss, size in ((numbered, 20), (branching, 20), (numbered, 20_000)):
        posterior = og.LocalPosterior(Point(size), torch.arange(10.0), loss, batch_size=1)
        og.sample(posterior, og.SGLD(0.01), num_chains=2, num_draws=1, num_warmup=0)
    assert seen == [True, False, False, False, False]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.out = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x)[0])[..., 0]


def test_operations_that_vmap_takes_one_by_one_are_not_vectorized() -> None:
    posterior = og.LocalPosterior(Recurrent(), torch.randn(8, 4, 2), lambda model, x: model(x).square().mean(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not posterior.vectorizes()


def test_a_map_style_dataset_is_sampled_as_its_tensors_are() -> None:
    torch.manual_seed(0)
    model, inputs, targets = nn.Linear(3, 1), torch.randn(20, 3), torch.randn(20, 1)
    for vectorized in (True, False):
        both = [
            og.sample(
                og.LocalPosterior(model, data, mse, batch_size=4),
                og.SGLD(1e-3),
                **{"num_chains": 2, "num_draws": 5, "num_warmup": 0, "vectorized": vectorized},
            )
            for data in ((inputs, targets), list(zip(inputs, targets, strict=True)))
        ]
        xr.testing.assert_identical(*both)


def test_progress_is_told_of_every_step() -> None:
    told = []

    class Listener:
        def start(self, task: str, total: int, done: int = 0) -> None:
            told.append(("start", total))

        def advance(self, task: str, amount: int = 1, note: str = "") -> None:
            told.append(("advance", amount))

        def finish(self, task: str) -> None:
            told.append(("finish", 0))

    posterior = og.LocalPosterior(Point(3), torch.arange(10.0), numbered)
    og.sample(posterior, og.SGLD(0.01), num_chains=2, num_draws=3, num_warmup=2, thinning=2, progress=Listener())
    assert told == [("start", 10), *[("advance", 1)] * 10, ("finish", 0)]
