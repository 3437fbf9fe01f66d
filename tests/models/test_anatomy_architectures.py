"""Roles of heads of decoder families: products rebuilt from them are the family's own scores and outputs."""

import copy
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
import transformers
from tests.models.families import FAMILIES, GROUPED, WIDE, WIDTHS, module, network
from torch import Tensor, nn

from ontogeny.circuits import attention_patterns
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Head, Site, heads, intervene, run_with_cache

QUICK = ("gpt2", "gpt_neox", "llama", "qwen3", "olmo2")
every_family = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else (pytest.mark.slow,)) for name in FAMILIES]
)
# Which families divide queries and keys by their length, and over how much.
NORMALIZED = {"persimmon": "by head", "qwen3": "by head", "gemma3": "by head", "olmo2": "over heads"}
ALIBI = ("bloom", "mpt", "falcon, alibi")
TOKENS = torch.randint(31, (4, 6), generator=torch.Generator().manual_seed(0))


@cache
def exact(name: str) -> nn.Module:
    """The family's network without a cap on its scores; in 64 bits, except for experts, which run in 32 alone."""
    model = copy.deepcopy(network(name)[0])
    model = model if name in ("mixtral", "gpt_oss") else model.double()
    for each in model.modules():
        if getattr(each, "attn_logit_softcapping", None):
            each.attn_logit_softcapping = None
    return model


def inside(name: str, layer: int) -> tuple[list[Head], Tensor, Tensor, Tensor, Tensor]:
    """Heads of a layer; what its attention reads, attends with, projects and writes, all at the first position."""
    model = exact(name)
    mine = [head for head in heads(model) if head.layer == layer]
    projection = module(model, FAMILIES[name].output, layer)[0]
    places = [Site(mine[0].attention, "input"), Site(projection, "input"), Site(projection)]
    encoded: dict[str, Any] = {"attention_mask": torch.ones_like(TOKENS), "output_attentions": True}
    if mine[0].rotary:  # all turned by one angle
        encoded["position_ids"] = torch.zeros_like(TOKENS)
    output, cached = run_with_cache(model, TOKENS, names=places, **encoded)
    return mine, cached[places[0]], output.attentions[layer], cached[places[1]], cached[places[2]]


def projected(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight if bias is None else x @ weight + bias


def normalized(vectors: list[Tensor], norm: nn.Module, over: str) -> list[Tensor]:
    """Queries or keys as the family's own norm leaves them."""
    if over == "by head":
        return [norm(each[:, None])[:, 0] if each.ndim == 3 else norm(each) for each in vectors]
    return list(norm(torch.cat(vectors, -1)).split(vectors[0].shape[-1], -1))


def unexplained(products: Tensor, pattern: Tensor) -> tuple[float, float, float]:
    """How far log-patterns are from a multiple of the products and one of the distance: the largest difference, the
    multiple, and the multiple of the distance.
    """
    query, key = torch.ones(pattern.shape[-2:]).tril(-1).nonzero().T
    seen = (pattern[:, query, key] > 0).flatten()
    log = pattern.log()
    scores = (log[:, query, key] - log[:, query, query]).flatten()[seen]
    found = (products.detach()[:, query, key] - products.detach()[:, query, query]).flatten()[seen]
    distance = (query - key).expand(len(pattern), -1).flatten()[seen].to(found)
    known = torch.stack([found, distance], dim=1)
    solution = torch.linalg.lstsq(known, scores[:, None]).solution
    return float((known @ solution - scores[:, None]).abs().max()), *solution[:, 0].tolist()


@every_family
@pytest.mark.parametrize("layer", [0, 1])
def test_products_of_queries_and_keys_are_the_scores(name: str, layer: int) -> None:
    mine, x, pattern, *_ = inside(name, layer)
    assert len(mine) == FAMILIES[name].heads
    over = NORMALIZED.get(name, "no")
    assert {head.normalized for head in mine} == {over}
    queries = [projected(x, head.W_Q, head.b_Q) for head in mine]
    keys = [projected(x, head.W_K, head.b_K) for head in mine]
    found = [unexplained(q @ k.mT, pattern[:, head.index]) for head, q, k in zip(mine, queries, keys, strict=True)]
    if over != "no":
        assert max(rest for rest, *_ in found) > 1e-2  # there is no product
        norms = dict(exact(name).get_submodule(mine[0].attention).named_children())
        q_norm, k_norm = (
            next(each for path, each in norms.items() if path.startswith(f"{kind}_") and "norm" in path)
            for kind in "qk"
        )
        members = len(mine) // max(1, FAMILIES[name].groups)
        groups = keys[::members] if FAMILIES[name].groups else keys
        queries, groups = normalized(queries, q_norm, over), normalized(groups, k_norm, over)
        keys = [groups[index // members] if FAMILIES[name].groups else groups[index] for index in range(len(mine))]
        found = [unexplained(q @ k.mT, pattern[:, head.index]) for head, q, k in zip(mine, queries, keys, strict=True)]
    assert max(rest for rest, *_ in found) < 1e-5
    scales = [scale for _, scale, _ in found]
    assert min(scales) > 0
    assert max(scales) - min(scales) < 1e-4 * max(scales)
    assert all((abs(slope) > 1e-3) == (name in ALIBI) for *_, slope in found)


@every_family
@pytest.mark.parametrize("layer", [0, 1])
def test_products_of_values_and_output_are_what_heads_write(name: str, layer: int) -> None:
    mine, x, pattern, z, written = inside(name, layer)
    total = torch.zeros_like(written)
    for head in mine:
        assert head.site is not None
        own = pattern[:, head.index] @ projected(x, head.W_V, head.b_V)
        torch.testing.assert_close(own, head.site.read(z), atol=1e-5, rtol=0)
        total += pattern[:, head.index] @ x @ (head.W_V @ head.W_O)
        total += 0 if head.b_V is None else pattern[:, head.index].sum(-1, keepdim=True) * (head.b_V @ head.W_O)
    bias = getattr(module(exact(name), FAMILIES[name].output, layer)[1], "bias", None)
    torch.testing.assert_close(total + (0 if bias is None else bias), written, atol=1e-5, rtol=0)


def hooks_of(model: nn.Module) -> list[int]:
    """The library leaves some of its own on models that were asked for their attentions."""
    return [
        key for each in model.modules() for hooks in (each._forward_hooks, each._forward_pre_hooks) for key in hooks
    ]


@every_family
def test_a_head_by_name_is_its_columns_by_hand_bit_for_bit(name: str) -> None:
    (model, _), family = network(name), FAMILIES[name]
    path, projection = module(model, family.output, 1)
    last = family.heads - 1

    def by_hand(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        z = args[0].clone()
        z.unflatten(-1, (family.heads, -1))[..., last, :] = 0
        return (z, *args[1:])

    with torch.no_grad():
        before, hooks = model(TOKENS).logits, hooks_of(model)
        with intervene(model, {f"L1H{last}": torch.zeros_like}):
            by_name = model(TOKENS).logits
        handle = projection.register_forward_pre_hook(by_hand)
        expected = model(TOKENS).logits
        handle.remove()
        after = model(TOKENS).logits
    assert torch.equal(by_name, expected)
    assert not torch.equal(by_name, before)
    assert torch.equal(after, before)
    assert hooks_of(model) == hooks
    seen = run_with_cache(model, TOKENS, names=[f"L1H{last}", Site(path, "input")])[1]
    assert torch.equal(seen[f"L1H{last}"], seen[Site(path, "input")].unflatten(-1, (family.heads, -1))[..., last, :])


@every_family
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_patterns_are_those_that_the_model_attends_with(name: str, implementation: str) -> None:
    model = copy.deepcopy(network(name)[0])
    with torch.no_grad():
        expected = model(TOKENS, output_attentions=True).attentions
    try:
        model.set_attn_implementation(implementation)
    except ValueError:
        pytest.skip(f"no {implementation}")
    seen = []
    for layer, patterns in attention_patterns(model, TOKENS, batch_size=3):
        seen.append((layer, len(patterns)))
        torch.testing.assert_close(patterns, expected[layer][:3] if len(patterns) == 3 else expected[layer][3:])
    assert seen == [(0, 3), (1, 3), (0, 1), (1, 1)]


def roles(model: nn.Module) -> list[Head]:
    """Heads probed anew: what is known of a model is known of that object alone."""
    return heads(copy.deepcopy(model))


@every_family
def test_roles_do_not_depend_on_how_gradients_are_rounded(
    name: str, other_rounding: Callable[[int], AbstractContextManager[None]]
) -> None:
    model, _ = network(name)
    with other_rounding(0):
        found = roles(model)
    assert found == roles(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_nor_in_ten_other_roundings(name: str, other_rounding: Callable[[int], AbstractContextManager[None]]) -> None:
    model, _ = network(name)
    expected = roles(model)
    for seed in range(1, 11):
        with other_rounding(seed):
            assert roles(model) == expected


def made(config: str, settings: dict[str, Any]) -> nn.Module:
    return transformers.AutoModelForCausalLM.from_config(getattr(transformers, config)(**settings)).eval()


LATENT = WIDE | {"num_key_value_heads": 6, "num_experts_per_tok": 2, "kv_lora_rank": 8, "qk_rope_head_dim": 4}
LATENT |= {"qk_nope_head_dim": 4, "v_head_dim": 4, "n_routed_experts": 4, "moe_intermediate_size": 16}
LATENT |= {"n_group": 2, "topk_group": 1}
MAMBA = {"vocab_size": 31, "hidden_size": 24, "num_hidden_layers": 2, "state_size": 4}


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ("DeepseekV3Config", LATENT | {"q_lora_rank": 8}),
        ("DeepseekV3Config", LATENT | {"q_lora_rank": None}),
        ("MambaConfig", MAMBA),
        ("DiffLlamaConfig", GROUPED),
        ("Llama4TextConfig", GROUPED | {"head_dim": 8, "num_local_experts": 4, "intermediate_size_mlp": 40}),
    ],
    ids=["latent queries", "latent keys", "recurrent", "differences of heads", "norms without parameters"],
)
def test_where_there_are_no_roles_there_are_no_heads(config: str, settings: dict[str, Any]) -> None:
    model = made(config, settings)
    assert heads(model) == []
    with pytest.raises(InvalidArgument, match="'L0H0'"), intervene(model, {"L0H0": torch.zeros_like}):
        pass
    with pytest.raises(InvalidArgument, match="none are told apart"):
        next(attention_patterns(model, TOKENS))


@pytest.mark.parametrize("config", ["Olmo3Config", "Olmo2Config"])
def test_queries_under_one_norm_of_all_heads_are_not_a_heads_own_and_say_so(config: str) -> None:
    model = made(config, GROUPED)
    for head in heads(model):
        assert head.normalized == "over heads"
        assert head.query.site is None
        assert head.key.site is None
        assert head.value.site is not None
        assert head.site is not None
    assert replace(head, normalized="no") != head


def test_a_group_has_no_activation_and_its_error_names_what_has() -> None:
    model, _ = network("llama")
    with pytest.raises(InvalidArgument, match=r"'L1G0', the keys.*'L1H0'"), intervene(model, {"L1G0": torch.neg}):
        pass
    for absent in ("L7G0", "L0G2", "L0.G"):
        with pytest.raises(InvalidArgument) as caught, intervene(model, {absent: torch.neg}):
            pass
        near = re.findall(r"'([^']*)'", caught.value.instead)
        assert near
        with intervene(model, dict.fromkeys(near, torch.neg)):
            pass
    assert heads(model)[0].key == heads(model)[2].key
    assert heads(model)[0].key != heads(model)[3].key
    assert WIDTHS["hidden_size"] == len(heads(model)[0].W_Q)
