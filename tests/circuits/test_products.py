"""Circuits of our transformer, GPT-2 and Llama against products formed densely from the weights as they lie there."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.models.families import network
from torch import Tensor

from ontogeny import circuits
from ontogeny.circuits.ends import embedding, unembedding
from ontogeny.circuits.norms import norm_before
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, run_with_cache

Weights = dict[str, Tensor]


def ours(**changes: Any) -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 11, "context_length": 9, "d_model": 12, "num_heads": 3}
    return Transformer(TransformerConfig(**shape | changes), torch.Generator().manual_seed(0))


def gpt2_head(layer: int, head: int) -> Weights:
    """From the layout of GPT-2: queries, keys and values beside one another, (in, out); width 24, heads of 8."""
    state = network("gpt2")[0].state_dict()
    own = slice(8 * head, 8 * head + 8)
    block = f"transformer.h.{layer}"
    q, k, v = state[f"{block}.attn.c_attn.weight"].split(24, dim=1)
    return {
        "Q": q[:, own],
        "K": k[:, own],
        "V": v[:, own],
        "O": state[f"{block}.attn.c_proj.weight"][own],
        "E": state["transformer.wte.weight"],
        "U": state["lm_head.weight"].T,
        "gain": state[f"{block}.ln_1.weight"],
        "final": state["transformer.ln_f.weight"],
        "centred": torch.tensor(1.0),
    }


def llama_head(layer: int, head: int) -> Weights:
    """From the layout of Llama: (out, in), six heads of 4 of which three share keys and values; no mean taken away."""
    state = network("llama")[0].state_dict()
    own, group = slice(4 * head, 4 * head + 4), slice(4 * (head // 3), 4 * (head // 3) + 4)
    attention = f"model.layers.{layer}.self_attn"
    return {
        "Q": state[f"{attention}.q_proj.weight"][own].T,
        "K": state[f"{attention}.k_proj.weight"][group].T,
        "V": state[f"{attention}.v_proj.weight"][group].T,
        "O": state[f"{attention}.o_proj.weight"][:, own].T,
        "E": state["model.embed_tokens.weight"],
        "U": state["lm_head.weight"].T,
        "gain": state[f"model.layers.{layer}.input_layernorm.weight"],
        "final": state["model.norm.weight"],
        "centred": torch.tensor(0.0),
    }


@pytest.mark.parametrize(("name", "layout", "count"), [("gpt2", gpt2_head, 3), ("llama", llama_head, 6)])
def test_circuits_of_families_are_the_products_of_their_weights(name: str, layout: Any, count: int) -> None:
    model = network(name)[0]
    for layer, head in [(layer, head) for layer in (0, 1) for head in range(count)]:
        w, own = layout(layer, head), f"L{layer}H{head}"
        width = len(w["gain"])
        centre = torch.eye(width) - w["centred"] / width
        into, out = centre @ torch.diag(w["gain"]), centre @ torch.diag(w["final"])
        expected = {
            "qk": w["Q"] @ w["K"].T,
            "ov": w["V"] @ w["O"],
            "folded qk": into @ w["Q"] @ w["K"].T @ into.T,
            "full qk": w["E"] @ w["Q"] @ w["K"].T @ w["E"].T,
            "full ov": w["E"] @ w["V"] @ w["O"] @ w["U"],
            "full folded ov": w["E"] @ into @ w["V"] @ w["O"] @ out @ w["U"],
        }
        found = {
            "qk": circuits.qk_circuit(model, own),
            "ov": circuits.ov_circuit(model, own),
            "folded qk": circuits.qk_circuit(model, own, fold_norm=True),
            "full qk": circuits.qk_circuit(model, own, full=True),
            "full ov": circuits.ov_circuit(model, own, full=True),
            "full folded ov": circuits.ov_circuit(model, own, full=True, fold_norm=True),
        }
        for what, dense in expected.items():
            torch.testing.assert_close(found[what].dense(), dense, atol=1e-4, rtol=1e-4, msg=f"{own} {what}")
            assert found[what].left.shape[1] == w["Q"].shape[1]
            assert bool(found[what].note) == (name == "llama" and "qk" in what)
        share = torch.linalg.eigvals(expected["full ov"].double())
        assert circuits.copying_score(model, own) == pytest.approx(
            float(share.real.sum() / share.abs().sum()), abs=1e-3
        )
    torch.testing.assert_close(circuits.direct_path(model).dense(), layout(0, 0)["E"] @ layout(0, 0)["U"])


def test_the_qk_circuit_is_the_attention_score_and_the_ov_circuit_what_is_added_to_the_logits() -> None:
    """One layer without norms, and positions that are zero."""
    model = ours(num_layers=1, normalization="none")
    with torch.no_grad():
        model.pos_embed.W_pos.zero_()
    tokens = torch.tensor([[3, 0, 7, 10, 3], [1, 2, 2, 9, 5]])
    names = ["blocks.0.attn.hook_attn_scores", "blocks.0.attn.hook_pattern"]
    logits, cache = run_with_cache(model, tokens, names=names)
    rebuilt = circuits.direct_path(model).rows(tokens) + model.unembed.b_U
    for head in range(3):
        table = circuits.qk_circuit(model, f"L0H{head}", full=True).dense() / model.config.d_head**0.5
        scores = table[tokens[:, :, None], tokens[:, None, :]]
        seen = torch.ones(5, 5, dtype=torch.bool).tril()
        torch.testing.assert_close(cache[names[0]][:, head][:, seen], scores[:, seen])
        moved = circuits.ov_circuit(model, f"L0H{head}", full=True).rows(tokens)
        rebuilt = rebuilt + cache[names[1]][:, head] @ moved
    torch.testing.assert_close(logits, rebuilt)


def test_the_norm_before_a_part_is_found_by_what_it_does() -> None:
    model = ours()
    with torch.no_grad():
        model.get_parameter("blocks.1.ln1.w").normal_(generator=torch.Generator().manual_seed(1))
        model.get_parameter("blocks.1.ln1.b").normal_(generator=torch.Generator().manual_seed(2))
    norm = norm_before(model, "blocks.1.attn")
    assert norm is not None
    assert (norm.path, norm.centred) == ("blocks.1.ln1", True)
    torch.testing.assert_close(norm.gain, model.get_parameter("blocks.1.ln1.w").detach())
    torch.testing.assert_close(norm.bias, model.get_parameter("blocks.1.ln1.b").detach())
    x = torch.randn(3, 12, generator=torch.Generator().manual_seed(3))
    y = F.layer_norm(x, (12,), norm.gain, norm.bias)
    torch.testing.assert_close(norm.gained(x) * norm.scale(x, y) + norm.bias, y)
    assert norm_before(ours(normalization="none"), "blocks.1.attn") is None
    gemma = norm_before(network("gemma")[0], "model.layers.0.self_attn")  # whose gain is one more than its weight
    assert gemma is not None
    torch.testing.assert_close(gemma.gain, 1 + network("gemma")[0].model.layers[0].input_layernorm.weight.detach())


def test_folding_nothing_changes_nothing_and_is_not_done_unasked() -> None:
    model = ours(normalization="none")
    for read in (circuits.qk_circuit, circuits.ov_circuit):
        assert torch.equal(read(model, "L1H1", fold_norm=True).dense(), read(model, "L1H1").dense())
    normed = ours()
    with torch.no_grad():
        normed.get_parameter("blocks.1.ln1.w").mul_(2)
    assert torch.equal(circuits.qk_circuit(normed, "L1H1").dense(), circuits.qk_circuit(model, "L1H1").dense())


def test_ends_are_read_by_what_they_do() -> None:
    model = ours()
    with torch.no_grad():
        model.unembed.b_U.normal_(generator=torch.Generator().manual_seed(0))
    assert torch.equal(embedding(model), model.embed.W_E)
    matrix, bias = unembedding(model)
    torch.testing.assert_close(matrix, model.unembed.W_U.detach())
    assert torch.equal(bias, model.unembed.b_U)


def test_heads_that_normalise_queries_or_keys_have_no_qk_product() -> None:
    model = network("qwen3")[0]
    with pytest.raises(InvalidArgument, match=r"'L0H2', whose queries or keys are divided by their length first"):
        circuits.qk_circuit(model, "L0H2")
    assert circuits.ov_circuit(model, "L0H2").shape == (24, 24)
    with pytest.raises(InvalidArgument, match="divided by their length"):
        circuits.composition(model, "K")
    assert circuits.composition(model, "V").notnull().sum() == 36


def test_weights_come_back_as_they_were() -> None:
    model = ours().train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    circuits.ov_circuit(model, "L0H1", full=True, fold_norm=True).eigenvalues()
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert all(each.training and not each._forward_hooks for each in model.modules())
    assert all(each.grad is None for each in model.parameters())
