"""Heads of small networks by what their weights do, where the answer was written by hand."""

import gc
import weakref
from typing import Any

import pytest
import torch
import transformers
from tests.models.families import WIDE
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Head, Site, Transformer, TransformerConfig, anatomy, heads, intervene, run_with_cache

TOKENS = torch.tensor([[0, 3, 1, 4], [2, 2, 0, 1]])


def ours(**changes: Any) -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 5, "context_length": 6, "d_model": 12, "num_heads": 3}
    return Transformer(TransformerConfig(**shape | changes), torch.Generator().manual_seed(0))


class Shuffled(nn.Module):
    """One layer of two heads whose keys and values stand in orders of their own."""

    def __init__(self, cosine: bool = False) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(5, 8), nn.Linear(8, 5)
        self.attention = ShuffledAttention(cosine)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        return self.head(x + self.attention(x))


class ShuffledAttention(nn.Module):
    keys, values = (2, 0, 3, 1), (3, 2, 0, 1)

    def __init__(self, cosine: bool) -> None:
        super().__init__()
        self.cosine = cosine
        self.vkq, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        v, k, q = (each.unflatten(-1, (2, 4)).transpose(1, 2) for each in self.vkq(x).chunk(3, -1))
        if self.cosine:
            q = q / q.norm(dim=-1, keepdim=True)
        pattern = (q @ k[..., self.keys].mT + torch.full(x.shape[1:2] * 2, -torch.inf).triu(1)).softmax(-1)
        return self.out((pattern @ v[..., self.values]).transpose(1, 2).flatten(2))


def biased(head: Head) -> list[tuple[Tensor, Tensor]]:
    pairs = (head.W_Q, head.b_Q), (head.W_K, head.b_K), (head.W_V, head.b_V)
    return [(weight, bias) for weight, bias in pairs if bias is not None]


@pytest.mark.parametrize("positions", ["shortformer", "learned"])
@pytest.mark.parametrize("num_heads", [1, 3])
def test_heads_of_our_transformer(positions: str, num_heads: int) -> None:
    model = ours(positions=positions, num_heads=num_heads, d_mlp=20)
    found = og.heads(model)
    assert [head.name for head in found] == [f"L{layer}H{head}" for layer in (0, 1) for head in range(num_heads)]
    for head in found:
        attention = model.get_submodule(f"blocks.{head.layer}.attn")
        for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V"):
            assert torch.equal(getattr(head, name), getattr(attention, name)[head.index]), name
        path = f"blocks.{head.layer}.attn"
        assert head.site == Site(f"{path}.hook_z", "output", -2, head.index)
        names = [each.site.module for each in (head.query, head.key, head.value) if each.site]
        assert names == [f"{path}.hook_{each}" for each in "qkv"]
        assert head.pattern == Site(f"{path}.hook_pattern", axis=1, index=head.index)
        assert (head.rotary, head.normalized, head.attention) == (False, "no", path)


def test_matrices_are_the_models_own_and_can_be_read_of_other_weights() -> None:
    model = ours()
    head = heads(model)[1]
    with torch.no_grad():
        model.get_parameter("blocks.0.attn.W_Q")[1] += 1
    assert torch.equal(head.W_Q, model.get_parameter("blocks.0.attn.W_Q")[1])
    (head.W_Q @ head.W_K.mT).sum().backward()
    gradient = model.get_parameter("blocks.0.attn.W_Q").grad
    assert gradient is not None
    assert gradient[1].any()
    assert not gradient[[0, 2]].any()
    other = {name: torch.full_like(tensor, 2.0) for name, tensor in model.state_dict().items()}
    assert torch.equal(head.query.of(other), torch.full((12, 4), 2.0))


def test_columns_stand_in_the_order_in_which_they_meet() -> None:
    model = Shuffled()
    weights = model.attention.vkq.weight
    for head in heads(model):
        start = 4 * head.index
        assert [head.query.index, head.value.index] == [
            tuple(16 + start + ShuffledAttention.keys.index(place) for place in range(4)),
            tuple(start + place for place in ShuffledAttention.values),
        ]
        assert head.key.index == tuple(range(8 + start, 12 + start))
        assert head.query.bias is not None
        assert head.query.bias.index == head.query.index
        assert torch.equal(head.W_V, weights[[start + place for place in ShuffledAttention.values]].mT)
        x = run_with_cache(model, TOKENS, names=[Site("attention", "input"), Site("attention.out", "input")])[1]
        stream = x[Site("attention", "input")]
        q, k, v = (stream @ weight + bias for weight, bias in biased(head))
        pattern = (q @ k.mT + torch.full((4, 4), -torch.inf).triu(1)).softmax(-1)
        assert head.site is not None
        torch.testing.assert_close(pattern @ v, head.site.read(x[Site("attention.out", "input")]))


def test_where_coordinates_of_queries_do_not_meet_those_of_keys_in_pairs_there_are_no_roles() -> None:
    assert len(heads(Shuffled())) == 2
    assert heads(Shuffled(cosine=True)) == []


def test_an_attention_that_calls_no_module_has_roles_and_says_that_nothing_shows_its_heads() -> None:
    model = nn.Sequential(nn.Embedding(5, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 5))
    second = heads(model)[1]
    projection = model.get_parameter("1.self_attn.in_proj_weight")
    for matrix, start in ((second.W_Q, 4), (second.W_K, 12), (second.W_V, 20)):
        assert torch.equal(matrix, projection[start : start + 4].mT)
    assert second.site is None
    with pytest.raises(InvalidArgument, match=r"'L0H1', whose attention calls a function.*'L0\.attn'"):
        intervene(model, {"L0H1": torch.zeros_like}).__enter__()
    seen: list[Tensor] = []
    with intervene(model, {"L0.attn": seen.append}):
        model.train()(TOKENS)
    assert seen[0].shape == (2, 4, 8)


def test_an_output_projection_outside_the_module_that_mixes() -> None:
    model = transformers.BertForMaskedLM(transformers.BertConfig(**WIDE)).eval()
    last = heads(model)[-1]
    layer = "bert.encoder.layer.1.attention"
    assert torch.equal(last.W_Q, model.get_parameter(f"{layer}.self.query.weight")[20:].mT)
    assert torch.equal(last.W_O, model.get_parameter(f"{layer}.output.dense.weight")[:, 20:].mT)
    assert last.site == Site(f"{layer}.output.dense", "input", -1, (20, 21, 22, 23))


def test_a_model_is_probed_once_anew_when_it_changes_and_not_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[nn.Module] = []
    probe = anatomy.structure

    def counted(model: nn.Module, *args: Any, **options: Any) -> Any:
        calls.append(model)
        return probe(model, *args, **options)

    monkeypatch.setattr(anatomy, "structure", counted)
    model = Shuffled()
    assert heads(model) == heads(model)
    with intervene(model, {"L0H1": torch.zeros_like}):
        model(TOKENS)
    assert len(calls) == 1
    model.attention = ShuffledAttention(cosine=True)
    assert heads(model) == []
    assert len(calls) == 2
    calls.clear()
    known = weakref.ref(model)
    del model
    gc.collect()
    assert known() is None


def test_the_model_comes_back_as_it_was() -> None:
    model = ours().train()
    state, random = {name: each.clone() for name, each in model.state_dict().items()}, torch.get_rng_state()
    heads(model)
    assert all(torch.equal(each, state[name]) for name, each in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(each.training and not each._forward_hooks for each in model.modules())
    assert all(each.grad is None for each in model.parameters())
