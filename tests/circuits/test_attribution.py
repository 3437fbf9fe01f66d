"""Direct contributions to the logits: parts that sum to them, and are those of the weights."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.models.families import network

from ontogeny import circuits
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, intervene, run_with_cache
from ontogeny.testing import InductionTransformer

TOKENS = torch.randint(11, (3, 7), generator=torch.Generator().manual_seed(0))


def random_network(**changes: Any) -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 11, "context_length": 9, "d_model": 12, "num_heads": 3, "d_mlp": 20}
    model = Transformer(TransformerConfig(**shape | changes), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, each in model.named_parameters():
            each.add_(0.3 * torch.randn(each.shape, generator=torch.Generator().manual_seed(len(name))))
    return model


@torch.no_grad()
@pytest.mark.parametrize("positions", ["shortformer", "learned"])
@pytest.mark.parametrize("normalization", ["layer", "none"])
@pytest.mark.parametrize("d_mlp", [0, 20])
def test_contributions_sum_to_the_logits(positions: str, normalization: str, d_mlp: int) -> None:
    model = random_network(positions=positions, normalization=normalization, d_mlp=d_mlp)
    found = circuits.logit_attribution(model, TOKENS)
    assert found["contribution"].dims == ("component", "sequence", "position", "token")
    total = found["contribution"].sum("component").values
    np.testing.assert_allclose(total, model(TOKENS).numpy(), atol=1e-4)
    np.testing.assert_array_equal(found["logits"], model(TOKENS).numpy())
    other = abs(found["contribution"].sel(component="other")).max()
    assert (other > 0.1) == (positions == "learned")


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "gptj", "opt", "llama", "gemma", "falcon, grouped", "gpt_oss"])
def test_they_sum_in_families_and_nothing_but_positions_is_left_over(name: str) -> None:
    model = network(name)[0]
    found = circuits.logit_attribution(model, TOKENS)
    np.testing.assert_allclose(found["contribution"].sum("component"), model(TOKENS).logits.numpy(), atol=1e-4)
    other = float(abs(found["contribution"].sel(component="other")).max())
    assert other > 0.1 if name in ("gpt2", "opt") else other < 1e-5


@torch.no_grad()
def test_a_head_adds_what_its_weights_make_of_its_z() -> None:
    model = random_network()
    names = ["L1H2", "blocks.1.hook_resid_post"]
    cache = run_with_cache(model, TOKENS, names=names)[1]
    stream, written = cache[names[1]], cache[names[0]] @ model.get_parameter("blocks.1.attn.W_O")[2]
    scale = (stream.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
    expected = (
        (written - written.mean(-1, keepdim=True)) * scale * model.get_parameter("ln_final.w") @ model.unembed.W_U
    )
    found = circuits.logit_attribution(model, TOKENS)["contribution"].sel(component="L1H2")
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_targets_take_their_own_logits() -> None:
    model, targets = random_network(), TOKENS.roll(-1, dims=1)
    whole, some = circuits.logit_attribution(model, TOKENS), circuits.logit_attribution(model, TOKENS, targets)
    assert some["contribution"].dims == ("component", "sequence", "position")
    for name in ("contribution", "logits"):
        picked = np.take_along_axis(
            whole[name].values, np.broadcast_to(targets.numpy()[..., None], (*whole[name].shape[:-1], 1)), -1
        )
        np.testing.assert_allclose(some[name], picked[..., 0], atol=1e-5)


def test_an_induction_head_raises_the_token_that_repeats() -> None:
    model = InductionTransformer().model()
    once = torch.randperm(31, generator=torch.Generator().manual_seed(0))[:16]
    tokens = once.repeat(2)[None]
    found = circuits.logit_attribution(model, tokens, tokens.roll(-1, dims=1))["contribution"][:, 0, 16:-1]
    assert (found.sel(component="L1H2") > 7).all()
    assert (abs(found.drop_sel(component="L1H2").sum("component")) < 1).all()


def test_interventions_apply_and_the_model_comes_back() -> None:
    model = random_network().train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    with intervene(model, {"L0H1": torch.zeros_like}):
        assert not circuits.logit_attribution(model, TOKENS)["contribution"].sel(component="L0H1").any()
    assert circuits.logit_attribution(model, TOKENS)["contribution"].sel(component="L0H1").any()
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert all(each.training and not each._forward_hooks for each in model.modules())


@pytest.mark.parametrize(
    ("name", "why"), [("gemma2", "the output of 'L0' is not"), ("bloom", "'L0' is not"), ("cohere", "scaled, capped")]
)
def test_networks_whose_logits_are_no_such_sum_are_refused(name: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        circuits.logit_attribution(network(name)[0], TOKENS)
