"""Restrictions of the data: their losses are those of the distribution that they stand for."""

import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.losses import mse, next_token
from ontogeny.data import at_positions, mixture, on_tokens, relative_to, weighted
from ontogeny.models import Transformer, TransformerConfig

SHAPE = TransformerConfig(vocabulary_size=7, context_length=6, num_layers=1, d_model=8, num_heads=2)


def network(seed: int = 0) -> Transformer:
    return Transformer(SHAPE, torch.Generator().manual_seed(seed))


def tokens(count: int = 20) -> Tensor:
    return torch.randint(7, (count, 6), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, -0.1])
def test_a_mixture_has_the_mixed_loss(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (tuple(torch.randn(size, width, generator=generator) for width in (3, 2)) for size in (40, 10))
    model = nn.Linear(3, 2)
    mixed = mixture(first, second, share)
    found = weighted(mse)(model, mixed).mean()
    expected = (1 - share) * mse(model, first).mean() + share * mse(model, second).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert mixed[-1].mean().item() == pytest.approx(1, rel=1e-6)


def test_the_posterior_of_a_mixture_is_that_of_its_loss() -> None:
    data, other = (torch.randn(30, 3), torch.randn(30, 2)), (torch.randn(30, 3), torch.randn(30, 2))
    posterior = og.LocalPosterior(nn.Linear(3, 2), mixture(data, other, 0.5), weighted(mse), batch_size=60)
    w = posterior.center + 0.1
    out = torch.empty_like(w)[None]
    posterior.gradients(w[None], None, out)
    each = [
        og.LocalPosterior(nn.Linear(3, 2), part, mse, nbeta=posterior.nbeta, batch_size=30) for part in (data, other)
    ]
    found = torch.zeros_like(w)
    for one in each:
        one.center = posterior.center
        grad = torch.empty_like(w)[None]
        one.gradients(w[None], None, grad)
        found += grad[0] / 2
    torch.testing.assert_close(out[0], found, rtol=1e-4, atol=1e-4)


def test_tokens_of_a_class_alone() -> None:
    model, data = network(), tokens()
    of_class = data[:, 1:] < 3
    found = on_tokens(next_token, lambda batch: batch[:, 1:] < 3, data)(model, data)
    losses = next_token(model, data)
    torch.testing.assert_close(found.mean(), losses[of_class].mean())
    with pytest.raises(og.InvalidArgument, match="a class of tokens that occurs"):
        on_tokens(next_token, lambda batch: batch[:, 1:] > 9, data)


def test_positions_alone() -> None:
    model, data = network(), tokens()
    torch.testing.assert_close(at_positions(next_token, 2)(model, data), next_token(model, data)[:, 2:])


def test_a_model_relative_to_itself_loses_nothing() -> None:
    model, other, data = network(), network(1), tokens()
    assert relative_to(model)(model, data).abs().max() < 1e-5
    found = relative_to(other)(model, data)
    law, log_q = other(data)[:, :-1].softmax(-1), model(data)[:, :-1].log_softmax(-1)
    torch.testing.assert_close(found, (law * (law.log() - log_q)).sum(-1), rtol=1e-4, atol=1e-5)


def test_the_reference_is_a_copy_that_takes_no_gradient() -> None:
    model, other = network(), network(1)
    loss = relative_to(other)
    before = loss(model, tokens()).detach()
    loss(model, tokens()).mean().backward()
    assert all(parameter.grad is None for parameter in other.parameters())
    with torch.no_grad():
        other.unembed.W_U.zero_()
    torch.testing.assert_close(loss(model, tokens()).detach(), before)


def test_data_that_do_not_match_are_refused() -> None:
    with pytest.raises(og.InvalidArgument, match="2 tensors, as in `first`"):
        mixture((torch.zeros(2), torch.zeros(2)), torch.zeros(2), 0.5)
    with pytest.raises(og.InvalidArgument, match="a tensor or a tuple of tensors"):
        mixture([1, 2], torch.zeros(2), 0.5)
