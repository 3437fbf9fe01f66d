"""`pass_size` bounds every batch that reaches the caller's loss, and changes results by rounding only."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.losses import mse
from ontogeny.sampling import memory
from ontogeny.sampling.spectrum import spectrum

NUM_SAMPLES = 600
INPUTS = torch.randn(NUM_SAMPLES, 3, generator=torch.Generator().manual_seed(0))
DATA = (
    INPUTS,
    INPUTS.sum(1, keepdim=True) + 0.3 * torch.randn(NUM_SAMPLES, 1, generator=torch.Generator().manual_seed(1)),
)
PROBE = {"probe": (DATA[0][:30], DATA[1][:30])}


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


class Watched:
    """A loss that remembers how many samples it was given at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        self.sizes.append(len(batch[0]))
        return mse(model, batch)


@pytest.mark.parametrize(
    ("batch_size", "vectorized"),
    [
        pytest.param(20, True, id="minibatches-vectorized"),
        pytest.param(200, False, id="all samples-one by one"),
        pytest.param(20, False, id="minibatches-one by one", marks=pytest.mark.slow),
        pytest.param(200, True, id="all samples-vectorized", marks=pytest.mark.slow),
    ],
)
def test_draws_are_those_without_it_to_rounding(batch_size: int, vectorized: bool) -> None:
    lengths: dict[str, Any] = {"num_chains": 2, "num_draws": 5, "num_warmup": 1, "vectorized": vectorized}
    split, whole = (
        og.sample(
            og.LocalPosterior(network(), (DATA[0][:200], DATA[1][:200]), mse, batch_size=batch_size, pass_size=size),
            og.SGLD(1e-3),
            observables=PROBE,
            **lengths,
        )
        for size in (7, None)
    )
    for name in ("posterior/loss_difference", "posterior/probe", "sample_stats/virial", "sample_stats/loss_at_center"):
        np.testing.assert_allclose(split[name], whole[name], rtol=1e-3, atol=1e-5, err_msg=name)
    assert split["posterior/loss_difference"].std() > 0


SHORT: dict[str, Any] = {"kernel": og.SGLD(1e-4), "num_chains": 2, "num_draws": 20, "num_warmup": 4}
CALIBRATED = og.Calibrated(budget=3_000, num_chains=2)


@pytest.mark.parametrize(
    ("sampler", "restriction"),
    [
        pytest.param(CALIBRATED, None, id="calibrated"),
        pytest.param(CALIBRATED, "0.bias", id="calibrated, of a part"),
        pytest.param(og.Fixed(**SHORT), "0.bias", id="fixed, of a part"),
        pytest.param(og.Fixed(**SHORT, control_variate=True), None, id="control variate"),
        pytest.param(og.Fixed(**SHORT), None, id="fixed", marks=pytest.mark.slow),
        pytest.param(
            og.Fixed(**SHORT, control_variate=True), "0.bias", id="control variate, of a part", marks=pytest.mark.slow
        ),
    ],
)
def test_no_pass_is_larger(sampler: og.sampling.Sampler, restriction: str | None) -> None:
    loss = Watched()
    few = DATA[0][:150], DATA[1][:150]
    whole = og.LocalPosterior(network(), few, loss, batch_size=64, pass_size=7)
    posterior = whole if restriction is None else whole.restricted(restriction)
    draws = sampler.draw(posterior, observables=PROBE)
    assert max(loss.sizes) == 7
    assert draws["posterior/probe"].notnull().all()


@pytest.mark.parametrize("restriction", [None, "0.bias"])
def test_a_default_call_keeps_to_what_fits_in_memory(restriction: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `pass_size` it is measured: here memory for some samples of the whole network, and for no more."""
    monkeypatch.setattr(memory, "MEMORY", 10_000)
    posterior = og.LocalPosterior(network(), DATA, mse, restriction=restriction)
    fits = posterior.pass_size
    assert 8 < fits < NUM_SAMPLES / 2
    loss = Watched()
    og.estimate_llc(network(), DATA, loss, restriction=restriction, budget=20_000)
    assert 3 <= max(loss.sizes) <= fits


def test_the_spectrum_is_taken_in_one_pass_of_that_size() -> None:
    loss = Watched()
    found = spectrum(og.LocalPosterior(network(), DATA, loss, pass_size=50), seed=0)
    assert found is not None
    assert max(loss.sizes) == 50


def test_the_gradient_on_all_samples_at_the_center_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    on_all, gradients = [], og.LocalPosterior.gradients

    def counted(self: Any, positions: Tensor, indices: Any, *rest: Any, **options: Any) -> Tensor:
        if indices is None:
            on_all.append(torch.equal(positions[0], self.center))
        return gradients(self, positions, indices, *rest, **options)

    monkeypatch.setattr(og.LocalPosterior, "gradients", counted)
    og.Calibrated(budget=30_000, num_chains=2).draw(og.LocalPosterior(network(), DATA, mse))
    assert on_all == [True]
