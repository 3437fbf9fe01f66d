"""Callers' models, data and random states come back as they were; the copy that is sampled is in evaluation mode."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.losses import cross_entropy, mse, next_token

LENGTHS = {"num_chains": 2, "num_draws": 5, "num_warmup": 3}
VECTORIZED = pytest.mark.parametrize("vectorized", [True, False], ids=["vectorized", "one by one"])


class Tied(nn.Module):
    """A language model whose embedding is its unembedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.inner = nn.Linear(4, 4)
        self.unembed = nn.Linear(4, 11, bias=False)
        self.unembed.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.unembed(torch.tanh(self.inner(self.embed(tokens))))


def awkward_model() -> nn.Sequential:
    """Dropout and batch norm in mixed modes, a frozen weight, gradients, hooks, and statistics that are not initial."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 6), nn.BatchNorm1d(6)),
        nn.Linear(6, 3),
    )
    model(torch.randn(32, 5) * 2 + 1).square().mean().backward()
    model[1].eval()
    model[4].weight.requires_grad_(False)
    next(model[6].parameters()).grad = None
    model[2].register_forward_hook(lambda module, inputs, output: None)
    return model


def classification(num_samples: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (num_samples,), generator=generator)
    return torch.randn(num_samples, 5, generator=generator) * 2 + 1, labels


def everything(model: nn.Module, data: tuple[Tensor, ...]) -> list[Any]:
    """All that a caller could find changed: values, identities, versions, modes, gradients, hooks, random states."""
    tensors = [*model.parameters(), *model.buffers(), *data]
    gradients = [None if p.grad is None else (id(p.grad), p.grad._version, p.grad.tolist()) for p in tensors]
    return [
        [(id(t), t._version, t.data_ptr(), t.dtype, t.requires_grad, t.tolist()) for t in tensors],
        gradients,
        [(name, id(module), module.training, sorted(vars(module))) for name, module in model.named_modules()],
        [(list(module._forward_hooks), list(module._forward_pre_hooks)) for module in model.modules()],
        [(list(module._backward_hooks), list(module._state_dict_hooks)) for module in model.modules()],
        torch.get_rng_state().tolist(),
        repr(np.random.get_state()),  # noqa: NPY002  (the global state is what must not change)
        (torch.is_grad_enabled(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()),
    ]


def by_sample(model: nn.Module, data: tuple[Tensor, ...], vectorized: bool) -> None:
    posterior = og.LocalPosterior(model, data, cross_entropy, batch_size=8)
    og.sample(posterior, og.SGLD(1e-2), observables={"probe": data}, vectorized=vectorized, **LENGTHS)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, data: by_sample(model, data, vectorized=True),
        lambda model, data: by_sample(model, data, vectorized=False),
        lambda model, data: og.estimate_llc(model, data, cross_entropy, budget=40 * 4 * 5),
        lambda model, data: og.estimate_llc(model, data, cross_entropy, budget=40 * 4 * 5, restriction="0 | 6.bias"),
    ],
    ids=["vectorized", "one by one", "one call", "restricted"],
)
def test_nothing_of_the_callers_is_changed(call: Callable[[nn.Module, tuple[Tensor, ...]], object]) -> None:
    model, data = awkward_model(), classification()
    before = everything(model, data)
    call(model, data)
    for earlier, later in zip(before, everything(model, data), strict=True):
        assert earlier == later


def test_nothing_of_the_callers_is_changed_when_the_loss_raises() -> None:
    model, data, calls = awkward_model(), classification(), []

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        calls.append(None)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return cross_entropy(model, batch)

    before = everything(model, data)
    with pytest.raises(KeyboardInterrupt):
        og.sample(og.LocalPosterior(model, data, loss), og.SGLD(1e-2), vectorized=False, **LENGTHS)
    assert everything(model, data) == before


OUTSIDE_THE_TESTS = """
import random
import torch
import ontogeny as og
before = random.getstate()
og.estimate_llc(torch.nn.Linear(3, 1), (torch.zeros(8, 3), torch.zeros(8, 1)), og.losses.mse, budget=320)
assert random.getstate() == before
"""


@pytest.mark.slow
def test_pythons_own_random_state_is_not_changed() -> None:
    """In a process of its own, because the run-time check of annotations draws from it."""
    subprocess.run([sys.executable, "-c", OUTSIDE_THE_TESTS], check=True)


@VECTORIZED
def test_dropout_is_off_and_batch_norm_frozen_while_sampling(vectorized: bool) -> None:
    """At its first step a chain is at the center, so that its loss there is the one of the model in evaluation mode."""
    model, data = awkward_model(), classification()
    posterior = og.LocalPosterior(model, data, cross_entropy)
    draws = og.sample(posterior, og.SGLD(1e-2), num_chains=2, num_draws=5, num_warmup=0, vectorized=vectorized)
    with torch.no_grad():
        expected = cross_entropy(model.eval(), data).mean().item()
    first = np.asarray(draws["posterior"]["loss_difference"])[:, 0]
    np.testing.assert_allclose(first, 0, atol=1e-6)
    np.testing.assert_allclose(draws["sample_stats"]["loss_at_center"], expected, rtol=1e-5)
    again = og.sample(posterior, og.SGLD(1e-2), num_chains=2, num_draws=5, num_warmup=0, vectorized=vectorized)
    np.testing.assert_array_equal(draws["posterior"]["loss_difference"], again["posterior"]["loss_difference"])


def test_the_center_is_what_the_weights_were_when_the_posterior_was_made() -> None:
    model, data = nn.Linear(5, 3), classification()
    posterior = og.LocalPosterior(model, data, cross_entropy)
    before = og.sample(posterior, og.SGLD(1e-3), **LENGTHS)
    with torch.no_grad():
        model.weight.zero_()
    after = og.sample(posterior, og.SGLD(1e-3), **LENGTHS)
    np.testing.assert_array_equal(before["posterior"]["loss_difference"], after["posterior"]["loss_difference"])


@VECTORIZED
def test_tied_weights_are_one_parameter(vectorized: bool) -> None:
    torch.manual_seed(0)
    model, tokens = Tied(), torch.randint(11, (6, 7))
    posterior = og.LocalPosterior(model, tokens, next_token, nbeta=5.0)
    assert posterior.num_parameters == 11 * 4 + 4 * 4 + 4
    gradients = torch.empty(1, posterior.num_parameters)
    engine = posterior.batched() if vectorized else None
    posterior.gradients(posterior.center[None], torch.arange(6)[None], gradients, engine)
    loss = next_token(model, tokens).mean()
    expected = torch.autograd.grad(loss, list(model.parameters()))  # of both uses of the tied weight together
    torch.testing.assert_close(gradients[0], 5 * torch.cat([gradient.flatten() for gradient in expected]))


@VECTORIZED
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_below_32_bits_move_in_32(dtype: torch.dtype, vectorized: bool) -> None:
    torch.manual_seed(0)
    model, tokens = Tied().to(dtype), torch.randint(11, (6, 7))
    posterior = og.LocalPosterior(model, tokens, next_token)
    assert posterior.center.dtype == torch.float32
    draws = og.sample(posterior, og.SGLD(1e-12), vectorized=vectorized, **LENGTHS)
    moved = np.asarray(draws["sample_stats"]["distance"])
    assert (moved > 0).all()
    assert moved.max() < 1e-4  # a step that a weight of 16 bits could not take
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def test_buffers_below_32_bits_meet_weights_of_32() -> None:
    model, (inputs, labels) = awkward_model().bfloat16(), classification()
    posterior = og.LocalPosterior(model, (inputs, labels), cross_entropy)
    assert og.llc(og.sample(posterior, og.SGLD(1e-4), **LENGTHS)).value > 0
    assert model[1].running_mean.dtype == torch.bfloat16


def test_weights_of_64_bits_stay_so() -> None:
    model = nn.Linear(5, 3).double()
    posterior = og.LocalPosterior(model, (torch.randn(9, 5).double(), torch.randn(9, 3).double()), mse)
    assert posterior.center.dtype == torch.float64
    assert og.sample(posterior, og.SGLD(1e-4), **LENGTHS)["posterior"]["loss_difference"].notnull().all()


def test_a_recurrent_network_is_sampled_like_any_other() -> None:
    """Its weights are listed a second time inside the module."""

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.LSTM(3, 4, batch_first=True)
            self.out = nn.Linear(4, 2)

        def forward(self, sequences: Tensor) -> Tensor:
            return self.out(self.cells(sequences)[0][:, -1])

    torch.manual_seed(0)
    posterior = og.LocalPosterior(Recurrent(), (torch.randn(9, 5, 3), torch.randn(9, 2)), mse)
    draws = og.sample(posterior, og.SGLD(1e-3), num_chains=2, num_draws=20, num_warmup=5)
    assert (draws["posterior"]["loss_difference"].std("draw") > 0).all()
