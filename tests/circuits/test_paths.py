"""Path ablations against forward passes written out, and on a network with one path that matters."""

from itertools import product
from typing import Any

import pytest
import torch
from tests.models.families import network
from torch import Tensor

from ontogeny import circuits
from ontogeny.circuits import RepeatConfig, Replacement
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, run_with_cache
from ontogeny.testing import InductionTransformer

TOKENS = torch.randint(11, (4, 7), generator=torch.Generator().manual_seed(0))


def three_layers(**changes: Any) -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 11, "context_length": 9, "d_model": 12, "num_heads": 3, "d_mlp": 20}
    model = Transformer(TransformerConfig(num_layers=3, **shape | changes), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, each in model.named_parameters():  # gains and biases too
            each.add_(0.3 * torch.randn(each.shape, generator=torch.Generator().manual_seed(len(name))))
    return model


def written_out(model: Transformer, sent: Tensor, head: int, input: str) -> Tensor:
    """The forward pass of layer 2 by hand, in which one input of one head reads the stream less `sent`."""
    block: Any = model.blocks[2]
    stream = run_with_cache(model, TOKENS, names="blocks.2.hook_resid_pre")[1]["blocks.2.hook_resid_pre"]
    positions = model.pos_embed.W_pos[: TOKENS.shape[1]]
    normal, other = block.ln1(stream), block.ln1(stream - sent)
    out = block.attn.b_O
    for h in range(3):
        mine = {each: other if (h, each) == (head, input) else normal for each in "QKV"}
        w = {each: getattr(block.attn, f"W_{each}")[h] for each in "QKVO"}
        b = {each: getattr(block.attn, f"b_{each}")[h] for each in "QKV"}
        q, k = ((mine[each] + positions) @ w[each] + b[each] for each in "QK")
        scores = q @ k.mT / 2 + torch.full((7, 7), -torch.inf).triu(1)
        out = out + scores.softmax(-1) @ (mine["V"] @ w["V"] + b["V"]) @ w["O"]
    stream = stream + out
    stream = stream + block.mlp(block.ln2(stream))
    return model.unembed(model.ln_final(stream))


@torch.no_grad()
@pytest.mark.parametrize("input", ["Q", "K", "V"])
@pytest.mark.parametrize("how", ["zero", "mean"])
@pytest.mark.parametrize("sender", ["L0H1", "L1H0", "L0.mlp", "embed"])
def test_the_receiver_alone_hears_the_change_and_by_one_edge_alone(input: Any, how: Any, sender: str) -> None:
    """Layers between and all other readers hear the sender as it is; the norm's scale follows."""
    model = three_layers()
    activation = run_with_cache(model, TOKENS, names=sender)[1][sender]
    sent = activation if how == "zero" else activation - activation.mean((0, 1))
    if "H" in sender:
        sent = sent @ model.get_parameter(f"blocks.{sender[1]}.attn.W_O")[int(sender[3])]
    expected, before = written_out(model, sent, 2, input), model(TOKENS)
    assert not torch.allclose(expected, before, atol=1e-3)
    with circuits.ablate_path(model, sender, "L2H2", input, how):
        torch.testing.assert_close(model(TOKENS), expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(model(TOKENS), before)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())


def test_the_path_of_the_pair_carries_induction_and_no_other_path_does() -> None:
    circuit = InductionTransformer()
    model, repeats = circuit.model(), RepeatConfig(num_sequences=2)

    def matching() -> float:
        return float(circuits.head_scores(model, repeats=repeats)["prefix_matching"].max())

    assert matching() > 0.95
    inputs: tuple[Any, ...] = ("Q", "K", "V")
    for one, other, input in product(range(4), range(4), inputs):
        pair = (f"L0H{one}", f"L1H{other}", input)
        with circuits.ablate_path(model, f"L0H{one}", f"L1H{other}", input):
            found = matching()
        if pair == (circuit.previous_token, circuit.induction, "K"):
            assert found < 0.1
        else:
            assert found > 0.95, pair


@torch.no_grad()
def test_all_senders_together_leave_the_key_without_any_stream() -> None:
    """Without norms edges add up: what a key hears without any sender is its bias and positions."""
    model = three_layers(normalization="none", d_mlp=0, positions="shortformer")
    site = "blocks.1.attn.hook_k"
    found = 0
    for sender in ("embed", "L0.attn"):
        with circuits.ablate_path(model, sender, "L1H1", "K"):
            found += run_with_cache(model, TOKENS, names=site)[1][site]
    whole = run_with_cache(model, TOKENS, names=site)[1][site]
    attention: Any = model.blocks[1].attn
    positions = model.pos_embed.W_pos[:7] @ attention.W_K[1] + attention.b_K[1]
    torch.testing.assert_close((found - whole)[:, :, 1], positions.expand(4, -1, -1), atol=1e-4, rtol=1e-4)


def test_grouped_keys_belong_to_all_heads_of_the_group() -> None:
    model = network("llama")[0]
    with pytest.raises(InvalidArgument, match=r"all heads that share K with 'L1H4'.*\['L1H3', 'L1H4', 'L1H5'\]"):
        circuits.ablate_path(model, "L0H0", "L1H4", "K").__enter__()
    before = model(TOKENS).logits
    with circuits.ablate_path(model, "L0H0", ["L1H3", "L1H4", "L1H5"], "K"):
        shared = model(TOKENS).logits
    with circuits.ablate_path(model, "L0H0", "L1H4", "Q"):
        own = model(TOKENS).logits
    assert not torch.allclose(shared, before, atol=1e-4)
    assert not torch.allclose(own, before, atol=1e-4)
    assert torch.equal(model(TOKENS).logits, before)


@torch.no_grad()
def test_a_rotated_key_is_made_of_the_other_stream_before_it_is_turned() -> None:
    """In Llama: keys of a group of heads, against keys projected by hand."""
    model = network("llama")[0]
    layer = model.model.layers[1]
    names = ["L0H0", "model.layers.0", "model.layers.1.self_attn.k_proj"]
    cache = run_with_cache(model, TOKENS, names=names)[1]
    output = model.model.layers[0].self_attn.o_proj.weight[:, :4].T
    keys = layer.self_attn.k_proj(layer.input_layernorm(cache["model.layers.0"] - cache["L0H0"] @ output))
    seen: list[Tensor] = []
    with circuits.ablate_path(model, "L0H0", ["L1H3", "L1H4", "L1H5"], "K"):
        seen.append(run_with_cache(model, TOKENS, names=names[-1:])[1][names[-1]])
    torch.testing.assert_close(seen[0][..., 4:], keys[..., 4:], atol=1e-5, rtol=1e-4)
    assert torch.equal(seen[0][..., :4], cache[names[-1]][..., :4])


def test_networks_that_do_not_add_to_the_stream_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="layers that add what attention and MLP return"):
        circuits.ablate_path(network("gemma2")[0], "L0H0", "L1H0", "Q").__enter__()


def test_resampled_paths_repeat() -> None:
    model, how = three_layers(), Replacement("resample", seed=2)
    with torch.no_grad(), circuits.ablate_path(model, "L0H1", "L1H2", "V", how):
        assert torch.equal(model(TOKENS), model(TOKENS))
