"""Heads, groups, MLPs and ends of decoder families, checked through the forward passes of their own modules."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
import transformers
from tests.models.families import FAMILIES, IDS, WIDE, Family, module, network
from torch import Tensor, nn

from ontogeny.core.restriction import Component, Masks, Slice, matching, shapes_of
from ontogeny.models import components

every_family = pytest.mark.parametrize("name", FAMILIES)
# One of each way in which heads, groups, experts, norms and ends are laid out; the others are laid out alike.
QUICK = (
    *("gpt2", "gpt_neox", "codegen", "bigcode, one key head", "falcon, grouped", "mpt", "phi3"),
    *("llama", "mixtral", "qwen3", "gemma2", "olmo2", "gpt_oss", "llama4"),
)
one_of_each_layout = pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)


def mask(model: nn.Module, part: Component, tensor: str) -> Tensor:
    shapes = shapes_of(model)
    return part.masks(shapes).get(tensor, torch.zeros(shapes[tensor], dtype=torch.bool))


def heads_outputs(model: nn.Module, family: Family, changed: dict[str, Tensor]) -> Tensor:
    """What enters the output projection of the first layer, (batch, position, head, width), with changed weights."""
    seen: list[Tensor] = []
    handle = module(model, family.output)[1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    tokens = torch.randint(31, (2, 5), generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            torch.func.functional_call(model, changed, (tokens,))
    finally:
        handle.remove()
    return seen[0].reshape(2, 5, family.heads, -1)


def masks_of(name: str, pattern: str) -> Masks:
    """The masks of `pattern`, from the components found before."""
    model, parts = network(name)
    return matching(pattern, parts, shapes_of(model)).masks()


def heads_changed_by(name: str, pattern: str) -> list[int]:
    """Heads whose output moves when the free coordinates of `pattern` do."""
    (model, _), family = network(name), FAMILIES[name]
    noise = torch.Generator().manual_seed(1)
    weights = dict(model.named_parameters())
    changed = {
        tensor: weights[tensor] + mask * torch.randn(mask.shape, generator=noise)
        for tensor, mask in masks_of(name, pattern).items()
        if mask.any()
    }
    moved = (heads_outputs(model, family, changed) - heads_outputs(model, family, {})).abs().amax((0, 1, 3))
    assert not ((moved > 1e-5) & (moved < 1e-3)).any()
    return (moved > 1e-3).nonzero().flatten().tolist()


@every_family
def test_heads_partition_queries_and_the_output_projection(name: str) -> None:
    (model, parts), family = network(name), FAMILIES[name]
    labels = [part for part in parts if part.startswith("L1H")]
    assert labels == [f"L1H{head}" for head in range(family.heads)]
    groups = [part for part in parts if part.startswith("L1G")]
    assert groups == [f"L1G{group}" for group in range(family.groups)]
    queries, output = (f"{module(model, ending, 1)[0]}.weight" for ending in (family.queries, family.output))
    assert (torch.stack([mask(model, parts[head], output) for head in labels]).sum(0) == 1).all()
    fused = not family.queries.endswith("q_proj")
    makers = labels + groups if fused else labels
    assert (torch.stack([mask(model, parts[part], queries) for part in makers]).sum(0) == 1).all()
    if family.groups:
        size = parts["L1H0"].num_parameters
        assert all(parts[head].num_parameters == size for head in labels)


@every_family
def test_a_head_or_group_moves_its_own_outputs_alone(name: str) -> None:
    (model, _), family = network(name), FAMILIES[name]
    output = module(model, family.output)[0]
    for head in (0, family.heads - 1):
        moved = heads_changed_by(name, f"L0H{head} - {output}.weight")
        assert head in moved
        assert moved == [head] or family.mixes
        assert heads_changed_by(name, f"L0H{head} - ~{output}.weight") == []
    members = family.heads // max(1, family.groups)
    for group in range(family.groups):
        moved = heads_changed_by(name, f"L0G{group}")
        assert moved == list(range(group * members, (group + 1) * members)) or family.mixes


@every_family
def test_what_heads_share_belongs_to_the_attention(name: str) -> None:
    (model, parts), family = network(name), FAMILIES[name]
    divided = [each for each in parts.values() if each.name.startswith(("L0H", "L0G"))]
    path, attention = module(model, family.output.rpartition(".")[0])
    assert set(parts["L0.attn"].tensors) == {f"{path}.{each}" for each, _ in attention.named_parameters()}
    assert all(set(part.tensors) <= set(parts["L0.attn"].tensors) for part in divided)
    shared = [each for each in parts["L0.attn"].tensors if "norm" in each or each == f"{path}.{family.output}.bias"]
    assert not {tensor for part in divided for tensor in part.tensors} & set(shared)
    rest = " - ".join(["L0.attn", *(part.name for part in divided)])
    left = {each for each, mask in masks_of(name, rest).items() if mask.any()}
    names = {each.removeprefix(f"{path}.") for each in left}
    assert names == {each for each, _ in attention.named_parameters() if "norm" in each} | (
        {f"{family.output.rpartition('.')[2]}.bias"} & {each for each, _ in attention.named_parameters()}
    )


@every_family
def test_a_layer_is_its_attention_its_mlp_and_its_norms(name: str) -> None:
    (_, parts), family = network(name), FAMILIES[name]
    pieces = [each for label, each in parts.items() if label in ("L0.attn", "L0.mlp") or label.startswith("L0.norm")]
    assert sum(each.num_parameters for each in pieces) == parts["L0"].num_parameters
    whole = sorted(tensor for each in pieces for tensor in each.tensors)
    assert whole == sorted(parts["L0"].tensors)
    assert ("L0.mlp.neurons" in parts) == family.neurons
    if family.neurons:
        neurons = parts["L0.mlp.neurons"]
        free = [each for each, mask in masks_of(name, "L0.mlp - L0.mlp.neurons").items() if mask.any()]
        assert all(each.endswith(".bias") for each in free)
        assert len(free) <= 1
        first, others = "L0.mlp.neurons[0:3]", f"L0.mlp.neurons[3:{neurons.units}]"
        masks = [masks_of(name, pattern) for pattern in (first, others, "L0.mlp.neurons")]
        assert all(((one ^ two) == both).all() for one, two, both in zip(*(m.values() for m in masks), strict=True))


@every_family
def test_embedding_and_unembedding_are_found_and_tied_ones_are_one(name: str) -> None:
    (model, parts), family = network(name), FAMILIES[name]
    first = {id(tensor): path for path, tensor in model.named_parameters()}
    assert parts["embed"].tensors == (first[id(model.get_input_embeddings().weight)],)
    assert parts["unembed"].tensors[0] == first[id(model.get_output_embeddings().weight)]
    assert (parts["unembed"].tensors[0] == parts["embed"].tensors[0]) == family.tied


def test_an_output_projection_outside_the_module_that_mixes() -> None:
    config = transformers.BertConfig(**WIDE | {"num_attention_heads": 3})
    parts = components(transformers.BertForMaskedLM(config))
    layer = "bert.encoder.layer.0."
    assert parts["L0"].tensors == parts[layer.removesuffix(".")].tensors
    assert parts["L0.attn"].tensors == parts[f"{layer}attention"].tensors
    assert [part for part in parts if part.startswith("L0H")] == ["L0H0", "L0H1", "L0H2"]
    assert parts["L0H2"].slices[f"{layer}attention.output.dense.weight"] == Slice(1, tuple(range(16, 24)))
    assert parts["L0.mlp.neurons"].units == 40


def test_heads_with_queries_from_a_shared_latent_vector_are_not_told_apart() -> None:
    settings: dict[str, Any] = WIDE | {"num_key_value_heads": 6, "num_experts_per_tok": 2}
    settings |= {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4}
    settings |= {"n_routed_experts": 4, "moe_intermediate_size": 16, "n_group": 2, "topk_group": 1}
    parts = components(transformers.AutoModelForCausalLM.from_config(transformers.DeepseekV3Config(**settings)))
    assert "L1.attn" in parts
    assert not any(part.startswith(("L1H", "L1G")) for part in parts)


def test_a_mixer_that_writes_to_a_state_among_its_arguments() -> None:
    settings = IDS | {"vocab_size": 31, "hidden_size": 24, "attention_hidden_size": 24, "num_hidden_layers": 2}
    parts = components(transformers.RwkvForCausalLM(transformers.RwkvConfig(**settings, intermediate_size=40)).eval())
    layer = "rwkv.blocks.1"
    assert parts["L1.attn"].tensors == parts[f"{layer}.attention"].tensors
    assert parts["L1.mlp"].tensors == (*parts[f"{layer}.feed_forward"].tensors,)
    assert [part for part in parts if part.startswith("L1") and part not in ("L1", "L1.attn", "L1.mlp")] == [
        "L1.norm1",
        "L1.norm2",
    ]


@one_of_each_layout
def test_parts_do_not_depend_on_how_gradients_are_rounded(
    name: str, other_rounding: Callable[[int], AbstractContextManager[None]]
) -> None:
    model, parts = network(name)
    with other_rounding(0):
        assert components(model) == parts


@pytest.mark.slow
@every_family
def test_nor_in_ten_other_roundings(name: str, other_rounding: Callable[[int], AbstractContextManager[None]]) -> None:
    model, parts = network(name)
    for seed in range(1, 11):
        with other_rounding(seed):
            assert components(model) == parts
