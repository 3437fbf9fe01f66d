"""Passes in 16 bits with float32 copies of what moves, activations computed again, and logits in blocks."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.sampling.memory import _saved_bytes

SHAPE = TransformerConfig(vocabulary_size=40, context_length=12, num_layers=3, d_model=32, num_heads=2, d_mlp=64)
TOKENS = torch.randint(40, (60, 12), generator=torch.Generator().manual_seed(1))


def transformer() -> Transformer:
    return Transformer(SHAPE, torch.Generator().manual_seed(0))


HEAD, SLOW = og.restrict(transformer(), "L2H1"), pytest.mark.slow


def drawn(model: nn.Module, loss_fn: Any = og.losses.next_token, **options: Any) -> Any:
    posterior = og.LocalPosterior(model, TOKENS, loss_fn, nbeta=20.0, batch_size=8, **options)
    return og.sample(posterior, og.SGLD(1e-4), num_chains=2, num_draws=8, num_warmup=0, vectorized=False)


@pytest.mark.parametrize("restriction", [pytest.param(None, marks=SLOW), HEAD])
def test_small_steps_are_not_lost_in_16_bits(restriction: Any) -> None:
    """A step of 1e-3 of a weight is below the resolution of bfloat16, but not of what moves."""
    model = transformer().bfloat16()
    before = {name: each.clone() for name, each in model.named_parameters()}
    posterior = og.LocalPosterior(
        model, TOKENS, og.losses.next_token, 20.0, restriction=restriction, batch_size=8, precision="model"
    )
    assert posterior.center.dtype == torch.float32
    dtypes = {each.dtype for each in posterior.one_by_one.model.parameters()}
    assert dtypes == {torch.bfloat16}
    draws = og.sample(posterior, og.SGLD(1e-10), num_chains=1, num_draws=30, num_warmup=0)
    distance = np.asarray(draws["sample_stats"]["distance"])[0]
    expected = np.sqrt(posterior.num_parameters * 1e-10 * 29)  # of a random walk
    assert distance[-1] == pytest.approx(expected, rel=0.15)
    assert all(torch.equal(each, before[name]) for name, each in model.named_parameters())


def test_losses_agree_with_those_in_32_bits_to_rounding() -> None:
    wide, narrow = (drawn(transformer().bfloat16(), restriction=HEAD, precision=how) for how in ("float32", "model"))
    for name in ("loss", "loss_at_center"):
        np.testing.assert_allclose(narrow["sample_stats"][name], wide["sample_stats"][name], rtol=2e-3)


def test_frozen_weights_are_not_copied() -> None:
    model = transformer().bfloat16()
    own = {each.data_ptr() for each in model.parameters()}
    narrow, wide = (
        og.LocalPosterior(model, TOKENS, og.losses.next_token, restriction=HEAD, precision=how)
        for how in ("model", "float32")
    )
    shared = [each.data_ptr() in own for each in narrow.one_by_one.model.parameters()]
    assert sum(not each for each in shared) == len(narrow.one_by_one.live)
    assert not any(each.data_ptr() in own for each in wide.one_by_one.model.parameters())


def test_layers_computed_again_give_the_same_draws_and_store_less() -> None:
    found = [drawn(transformer(), recompute=again) for again in (False, True)]
    np.testing.assert_array_equal(*(each["posterior"]["loss_difference"] for each in found))
    saved = []
    for again in (False, True):
        posterior = og.LocalPosterior(transformer(), TOKENS, og.losses.next_token, recompute=again)
        kept: dict[int, int] = {}

        def pack(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = posterior.one_by_one.graph(posterior._views(posterior.center[None]), TOKENS[:20], 20)
        saved.append(sum(kept.values()))
        del loss
    assert saved[1] < 0.5 * saved[0]
    assert _saved_bytes(posterior.one_by_one, posterior._views(posterior.center[None]), TOKENS[:20], 20) > saved[1]


@SLOW
def test_layers_computed_again_go_with_kept_activations() -> None:
    found = [drawn(transformer(), restriction=HEAD, recompute=again) for again in (False, True)]
    np.testing.assert_array_equal(*(each["posterior"]["loss_difference"] for each in found))
    posterior = og.LocalPosterior(
        transformer(), TOKENS, og.losses.next_token, nbeta=20.0, restriction=HEAD, recompute=True
    )
    assert posterior.kept_activations == ("blocks.1",)


@pytest.mark.parametrize("restriction", [HEAD, *(pytest.param(each, marks=SLOW) for each in (None, "unembed"))])
def test_logits_in_blocks_give_the_same_draws(restriction: Any) -> None:
    blocks = og.losses.NextTokenInBlocks("unembed", positions=7)
    found = [drawn(transformer(), loss, restriction=restriction) for loss in (og.losses.next_token, blocks)]
    one, other = (each["posterior"]["loss_difference"] for each in found)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert one.std() > 0
