"""The parts of small networks: ours, torch's own, hand-written ones, and networks without attention."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.restriction import matching, shapes_of
from ontogeny.models import Transformer, TransformerConfig, components, intervene, restrict


def transformer(**changes: Any) -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 11, "context_length": 6, "d_model": 12, "num_heads": 3, "d_mlp": 20}
    return Transformer(TransformerConfig(**shape | changes), torch.Generator().manual_seed(0))


class Selfmade(nn.Module):
    """One layer without a list around it: keys and values fused, two heads, ReLU, weights tied by hand."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Embedding(5, 8)
        self.attention = SelfmadeAttention(heads)
        self.head = nn.Linear(8, 5, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        return self.head(x + self.attention(x))


class SelfmadeAttention(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mix: nn.Module = nn.Identity()
        self.q, self.kv, self.out = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(8, 8)
        nn.init.zeros_(self.out.weight)  # a network at the start of its training

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (self.q(x), *self.kv(x).chunk(2, -1))
        )
        pattern = (q @ k.mT + torch.full(x.shape[1:2] * 2, -torch.inf).triu(1)).softmax(-1)
        return self.out((self.mix(pattern) @ v).transpose(1, 2).flatten(2))


class Torch(nn.Module):
    """Layers of `torch.nn`, with attention over all positions and norms after."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(5, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.encoder(self.embed_tokens(tokens)))


def test_parts_of_our_transformer() -> None:
    model = transformer()
    parts = components(model)
    names = ["L0", "L0.attn", "L0.norm1", "L0.norm2", "L0.mlp", "L0.mlp.neurons", "L0H0", "L0H1", "L0H2"]
    assert list(parts)[: 2 + 2 * len(names)] == [
        "embed",
        "unembed",
        *names,
        *(each.replace("L0", "L1") for each in names),
    ]
    assert parts["L1"].tensors == parts["blocks.1"].tensors
    assert parts["L1.norm2"].tensors == ("blocks.1.ln2.w", "blocks.1.ln2.b")
    assert parts["unembed"].tensors == ("unembed.W_U", "unembed.b_U")
    for head in range(3):
        masks = restrict(model, f"L1H{head}").masks()
        for name, mask in masks.items():
            expected = torch.zeros(mask.shape, dtype=torch.bool)
            if name.startswith("blocks.1.attn.") and not name.endswith("b_O"):
                expected[head] = True
            assert torch.equal(mask, expected)
        assert parts[f"L1H{head}"].num_parameters == sum(int(mask.sum()) for mask in masks.values()) == 4 * 12 * 4 + 12


def test_a_head_of_ours_moves_its_own_result_alone() -> None:
    model = transformer(num_layers=1)
    tokens = torch.randint(11, (2, 6), generator=torch.Generator().manual_seed(0))
    free = restrict(model, "L0H1").masks()
    changed = {name: tensor + free[name] for name, tensor in model.named_parameters()}
    seen: list[Tensor] = []
    with torch.no_grad(), intervene(model, {"blocks.0.attn.hook_result": seen.append}):
        model(tokens)
        torch.func.functional_call(model, changed, (tokens,))
    moved = (seen[1] - seen[0]).abs().amax((0, 1, 3))
    assert (moved > 1e-3).tolist() == [False, True, False]


@pytest.mark.parametrize("changes", [{"d_mlp": 0}, {"num_heads": 1}, {"normalization": "none", "positions": "learned"}])
def test_other_shapes_of_our_transformer(changes: dict[str, Any]) -> None:
    model = transformer(**changes)
    parts = components(model)
    assert ("L0.mlp" in parts) == (model.config.d_mlp > 0)
    assert ("L0.norm1" in parts) == (model.config.normalization == "layer")
    assert [name for name in parts if name.startswith("L1H")] == [f"L1H{i}" for i in range(model.config.num_heads)]
    free = restrict(model, " | ".join(name for name in parts if name.startswith("L0H"))).masks()
    assert all(free[f"blocks.0.attn.{name}"].all() for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V"))
    assert not free["blocks.0.attn.b_O"].any()


def test_a_network_without_a_list_of_layers_and_with_a_projection_of_zeros() -> None:
    model = Selfmade()
    parts = components(model)
    assert parts["L0"].tensors == parts["L0.attn"].tensors == parts["attention"].tensors
    assert parts["embed"].tensors == parts["unembed"].tensors == parts["head"].tensors == ("tokens.weight",)
    masks = restrict(model, "L0H1").masks()
    assert masks["attention.q.weight"].all(1).nonzero().flatten().tolist() == [4, 5, 6, 7]
    assert masks["attention.kv.weight"].all(1).nonzero().flatten().tolist() == [4, 5, 6, 7, 12, 13, 14, 15]
    assert masks["attention.kv.bias"].nonzero().flatten().tolist() == [4, 5, 6, 7, 12, 13, 14, 15]
    assert masks["attention.out.weight"].all(0).nonzero().flatten().tolist() == [4, 5, 6, 7]
    assert not masks["attention.out.bias"].any()


def test_heads_that_are_mixed_are_not_told_apart() -> None:
    model = Selfmade()
    model.attention.mix = nn.Conv2d(2, 2, 1)  # talking heads
    parts = components(model)
    assert "L0.attn" in parts
    assert "L0H0" not in parts


def test_layers_of_torch() -> None:
    model = Torch()
    parts = components(model)
    assert parts["L1"].tensors == parts["encoder.layers.1"].tensors
    masks = restrict(model, "L1H1").masks()
    rows = [*range(4, 8), *range(12, 16), *range(20, 24)]
    assert masks["encoder.layers.1.self_attn.in_proj_weight"].all(1).nonzero().flatten().tolist() == rows
    assert masks["encoder.layers.1.self_attn.in_proj_bias"].nonzero().flatten().tolist() == rows
    assert masks["encoder.layers.1.self_attn.out_proj.weight"].all(0).nonzero().flatten().tolist() == [4, 5, 6, 7]
    assert parts["L0.mlp.neurons"].units == 16
    assert parts["embed"].tensors == ("embed_tokens.weight",)


def test_a_network_of_vectors_has_parts_where_its_input_is_given() -> None:
    layers = (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2))
    model = nn.Sequential(nn.Linear(3, 8), *layers, nn.Linear(8, 1))
    assert "L0H0" not in components(model)
    inputs = (torch.randn(32, 4, 3, generator=torch.Generator().manual_seed(0)),)
    parts = components(model, inputs)
    assert {"L0H0", "L1H1", "L1.mlp"} < set(parts)
    assert (parts["embed"].tensors, parts["unembed"].tensors) == (("0.weight", "0.bias"), ("3.weight", "3.bias"))
    assert restrict(model, "L1H1", inputs).masks()["2.self_attn.in_proj_weight"].sum() == 3 * 4 * 8


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2)),
        nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5)),
    ],
    ids=["mlp", "cnn", "bigram"],
)
def test_networks_without_attention_have_modules_and_parameters(model: nn.Module) -> None:
    parts = components(model)
    assert {"0", "0.weight"} < set(parts)
    assert not any(name.startswith("L") for name in parts)
    assert restrict(model, "0 | *.bias").free[0] == "0.weight"


def test_set_algebra() -> None:
    model = transformer(num_layers=1)
    parts, shapes = components(model), shapes_of(model)

    def masks(pattern: str) -> dict[str, Tensor]:
        return matching(pattern, parts, shapes).masks()

    head, attention = masks("L0H1"), masks("L0.attn")
    complement, difference = masks("~L0H1"), masks("L0.attn - L0H1")
    again, whole = masks("embed | L0.attn - L0H1 | L0H1"), masks("L0.attn | embed")
    rest, bias = masks("~L0H0 - L0H1 - L0H2 - ~L0.attn"), masks("blocks.0.attn.b_O")
    for name in masks("*"):
        assert torch.equal(complement[name], ~head[name])
        assert torch.equal(difference[name], attention[name] & ~head[name])
        assert torch.equal(again[name], whole[name])
        assert torch.equal(rest[name], bias[name])
    assert matching("L0H1 - L0.attn", parts, shapes).free == ()
    every_head = matching("L0H0 | L0H1 | L0H2 | *.0.attn.b_O", parts, shapes)
    assert every_head.indices == dict.fromkeys(parts["L0.attn"].tensors)


def test_neurons_are_taken_by_their_number() -> None:
    model = transformer(num_layers=1)
    parts, shapes = components(model), shapes_of(model)
    masks = restrict(model, "L0.mlp.neurons[3:5]").masks()
    assert masks["blocks.0.mlp.W_in"].all(0).nonzero().flatten().tolist() == [3, 4]
    assert masks["blocks.0.mlp.b_in"].nonzero().flatten().tolist() == [3, 4]
    assert masks["blocks.0.mlp.W_out"].all(1).nonzero().flatten().tolist() == [3, 4]
    assert sum(int(mask.sum()) for mask in masks.values()) == 2 * (12 + 1 + 12)
    for span in ("5:3", "0:21", "3", "a:b", "2:2"):
        with pytest.raises(InvalidArgument, match=r"a range within the 20 units of 'L0.mlp.neurons'"):
            matching(f"L0.mlp.neurons[{span}]", parts, shapes)


@pytest.mark.parametrize(("wrong", "near"), [("L0H7", "'L0H"), ("L1.attention", "'L1.attn'"), ("unemebd", "'unembed'")])
def test_a_wrong_name_lists_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        restrict(transformer(), f"embed | {wrong}")
    assert near in str(caught.value)


class Once(nn.Module):
    """Runs alone no more after it has run in its network."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.calls = nn.Linear(8, 16), nn.Linear(16, 8), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("no state to go on from")
        return x + self.down(torch.relu(self.up(x)))


def test_a_module_that_does_not_run_alone_has_its_path_for_a_name() -> None:
    parts = components(nn.Sequential(nn.Embedding(3, 8), Once(), nn.Linear(8, 3)))
    assert "1" in parts
    assert "1.up.weight" in parts
    assert not any(part.startswith("L0") for part in parts)
