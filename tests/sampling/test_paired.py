"""Losses at w and at w* are taken on the same samples, those at w* once a sample."""

import collections

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.losses import mse
from ontogeny.sampling.order import Order

NUM_SAMPLES, BATCH_SIZE, NUM_CHAINS = 50, 8, 3
LENGTHS = {"num_chains": NUM_CHAINS, "num_draws": 12, "num_warmup": 8}
VECTORIZED = pytest.mark.parametrize("vectorized", [True, False], ids=["vectorized", "one by one"])


def noisy_regression(noise: float) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A linear model at its best weights for targets with so much noise."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    inputs = torch.randn(NUM_SAMPLES, 4)
    augmented = torch.cat([inputs, torch.ones(NUM_SAMPLES, 1)], dim=1)
    targets = inputs.sum(dim=1, keepdim=True) + noise * torch.randn(NUM_SAMPLES, 1)
    best = torch.linalg.lstsq(augmented, targets).solution[:, 0]
    with torch.no_grad():
        model.weight.copy_(best[None, :4])
        model.bias.copy_(best[4:])
    return model, (inputs, targets)


@VECTORIZED
def test_the_loss_at_the_center_is_on_the_minibatch_of_the_draw(vectorized: bool) -> None:
    model, data = noisy_regression(noise=3.0)
    posterior = og.LocalPosterior(model, data, mse, batch_size=BATCH_SIZE)
    draws = og.sample(posterior, og.SGLD(1e-3), seed=4, vectorized=vectorized, **LENGTHS)
    at_center, at_draw = np.asarray(draws["sample_stats"]["loss_at_center"]), np.asarray(draws["sample_stats"]["loss"])
    with torch.no_grad():
        losses = mse(model, data)
    for chain in range(NUM_CHAINS):
        order = Order(4, NUM_CHAINS, NUM_SAMPLES, BATCH_SIZE)
        batches = [order.at(step)[chain] for step in range(8, 20)]
        np.testing.assert_allclose(at_center[chain], [losses[batch].mean() for batch in batches], rtol=1e-5)
    difference = np.asarray(draws["posterior"]["loss_difference"])
    np.testing.assert_allclose(difference, at_draw - at_center, rtol=1e-3, atol=1e-5)


def test_each_sample_is_evaluated_at_the_center_once() -> None:
    model, data = noisy_regression(noise=1.0)
    seen: collections.Counter[int] = collections.Counter()

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        numbers = batch[2].tolist()
        seen.update(numbers)
        losses = mse(model, batch[:2])
        losses.register_hook(lambda _: seen.subtract(numbers))  # passes for gradients do not count
        return losses

    numbered = (*data, torch.arange(NUM_SAMPLES))
    posterior = og.LocalPosterior(model, numbered, loss, batch_size=BATCH_SIZE, pass_size=BATCH_SIZE)
    seen.clear()
    og.sample(posterior, og.SGLD(1e-3), vectorized=False, **LENGTHS)
    og.sample(posterior, og.SGLD(1e-3), vectorized=False, seed=1, **LENGTHS)
    assert len(seen) == NUM_SAMPLES
    assert set(seen.values()) == {1}


def test_pairing_takes_the_noise_of_the_labels_out() -> None:
    model, data = noisy_regression(noise=3.0)
    posterior = og.LocalPosterior(model, data, mse, nbeta=50.0, batch_size=BATCH_SIZE)
    draws = og.sample(posterior, og.SGLD(1e-5), num_chains=4, num_draws=200, num_warmup=0)
    paired = np.asarray(draws["posterior"]["loss_difference"])
    unpaired = np.asarray(draws["sample_stats"]["loss"])
    assert paired.var() < unpaired.var() / 100


def test_observables_are_the_losses_of_named_samples_at_every_draw_and_at_the_center() -> None:
    model, data = noisy_regression(noise=1.0)
    probes = {"first": (data[0][:5], data[1][:5]), "pile-github": (data[0][5:22] + 1, data[1][5:22])}
    posterior = og.LocalPosterior(model, data, mse, batch_size=BATCH_SIZE)
    draws = og.sample(posterior, og.SGLD(1e-3), observables=probes, **LENGTHS)
    with torch.no_grad():
        for name, probe in probes.items():
            at_center = np.asarray(draws["constant_data"][f"{name}_at_center"])
            np.testing.assert_allclose(at_center, mse(model, probe), rtol=1e-5)
            assert draws["posterior"][name].dims == ("chain", "draw", f"{name}_sample")
            assert draws["posterior"][name].shape == (NUM_CHAINS, 12, len(probe[0]))
            assert f"{name}" not in draws["warmup_posterior"]
    start = og.sample(posterior, og.SGLD(1e-3), observables=probes, num_chains=1, num_draws=2, num_warmup=0)
    for name in probes:
        first, second = np.asarray(start["posterior"][name])[0]
        np.testing.assert_allclose(first, start["constant_data"][f"{name}_at_center"], rtol=1e-5)
        assert (first != second).all()


def test_observables_do_not_change_the_draws_and_are_taken_pass_by_pass() -> None:
    model, data = noisy_regression(noise=1.0)
    sizes = []

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        sizes.append(len(batch[0]))
        return mse(model, batch)

    posterior = og.LocalPosterior(model, data, loss, batch_size=BATCH_SIZE, pass_size=BATCH_SIZE)
    plain = og.sample(posterior, og.SGLD(1e-3), vectorized=False, **LENGTHS)
    watched = og.sample(posterior, og.SGLD(1e-3), vectorized=False, observables={"all": data}, **LENGTHS)
    np.testing.assert_array_equal(plain["posterior"]["loss_difference"], watched["posterior"]["loss_difference"])
    assert max(sizes) == BATCH_SIZE
