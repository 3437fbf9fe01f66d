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
from ontogeny.core.losses import mse
from ontogeny.sampling import SGHMC
from ontogeny.sampling.chains import Chains
from ontogeny.sampling.kernels import Kernel, Noise
from ontogeny.sampling.loop import Controller, run
from ontogeny.sampling.order import Order
from ontogeny.terminal import as_progress
from ontogeny.testing import Point

VECTORIZED = pytest.mark.parametrize("vectorized", [True, False], ids=["vectorized", "one by one"])


def numbered(model: Point, batch: Tensor) -> Tensor:
    """Each sample is its own number, so that the loss at the center tells which sample was taken, to the bit."""
    return batch + 0.5 * (model.w**2).sum()


def scaled(model: Point, batch: Tensor) -> Tensor:
    """A loss whose gradient tells which sample was taken."""
    return 1e-3 * batch * (model.w**2).sum()


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


def test_the_order_is_that_of_seed_chain_and_step() -> None:
    numbers = trace(walk(3, vectorized=True, seed=5), "loss_at_center")
    order = Order(5, 3, 1000, 1)
    assert numbers.T.tolist() == [order.at(step)[:, 0].tolist() for step in range(20)]


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
        sizes = {name: each.numel() for name, each in model.named_parameters()}
        noise, order = Noise(9, sizes, [chain]), Order(9, 2, 30, 8)
        w, expected = center.clone(), []
        for step in range(10 * thinning):
            rows = order.at(step)[chain]
            w.requires_grad_()
            loss = loss_at(w, rows)
            (gradient,) = torch.autograd.grad(loss, w)
            w = w.detach()
            expected.append([loss.item(), loss_at(center, rows).item(), (w - center).norm().item()])
            w = w - 0.005 * (40 * gradient + 3 * (w - center)) + 0.1 * noise.at(step).normal(torch.empty(1, 26))[0]
        found = np.stack([trace(draws, name)[chain] for name in ("loss", "loss_at_center", "distance")], axis=1)
        np.testing.assert_allclose(found, expected[::thinning], rtol=2e-4, atol=1e-5)


def stepped(chains: Chains, *rounds: int) -> Tensor:
    for num_steps in rounds:
        run(chains, num_steps, Controller(), as_progress(False), "sampling")
    return chains.positions


@pytest.mark.parametrize("kernel", [og.SGLD(0.01), SGHMC(0.1)], ids=["SGLD", "SGHMC"])
def test_rounds_go_on_where_the_last_one_ended(kernel: Kernel) -> None:
    posterior = og.LocalPosterior(Point(20), torch.arange(1000.0), numbered, nbeta=20.0, batch_size=1)
    whole = stepped(Chains(posterior, kernel, 2, seed=0), 9)
    assert torch.equal(stepped(Chains(posterior, kernel, 2, seed=0), 2, 1, 6), whole)
    assert len(whole.unique()) == whole.numel()


def test_a_chain_is_resumed_at_any_step() -> None:
    posterior = og.LocalPosterior(Point(20), torch.arange(1000.0), scaled, nbeta=20.0, batch_size=1)
    whole = Chains(posterior, og.SGLD(0.01), 2, seed=0)
    half = stepped(whole, 5).clone()
    again = Chains(posterior, og.SGLD(0.01), 2, seed=0, start=half)
    again.steps = 5
    assert torch.equal(stepped(again, 4), stepped(whole, 4))


@VECTORIZED
def test_a_part_of_a_network_draws_what_the_whole_network_draws_for_it(vectorized: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    free = {"nbeta": 0.0, "localization": 0.0}  # nothing but noise moves the chain
    whole = og.LocalPosterior(model, (torch.randn(30, 3), torch.randn(30, 2)), mse, **free)
    moved = {}
    for name, posterior in {"all": whole, "part": whole.restricted("1.weight")}.items():
        chains = Chains(posterior, og.SGLD(0.01), 3, seed=0, vectorized=vectorized)
        moved[name] = stepped(chains, 7) - posterior.center
    assert torch.allclose(moved["part"], moved["all"][:, 20:30], atol=1e-6)
    assert moved["part"].abs().min() > 1e-4


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
