"""The transformer computes what it should, under TransformerLens's names and shapes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, intervene, run_with_cache

BATCH, LENGTH, WIDTH, HEADS, VOCABULARY = 3, 9, 12, 4, 11
VARIANTS: dict[str, dict[str, Any]] = {
    "attention-only": {},
    "full": {"d_mlp": 20},
    "learned positions": {"positions": "learned", "d_mlp": 20},
    "without normalization": {"normalization": "none", "d_mlp": 20},
    "smeared keys": {"smeared_keys": True},
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def make_model(seed: int = 0, **settings: Any) -> Transformer:
    config = TransformerConfig(
        vocabulary_size=VOCABULARY, context_length=LENGTH + 2, d_model=WIDTH, num_heads=HEADS, **settings
    )
    model = Transformer(config, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():  # biases and gains too, so that a forgotten one is seen
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (BATCH, LENGTH), generator=torch.Generator().manual_seed(7))


def normalized(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def by_hand(model: Transformer, tokens: Tensor) -> Tensor:
    """Logits straight from the equations, one sequence, head and query at a time."""
    config = model.config

    def norm(name: str, x: Tensor) -> Tensor:
        if config.normalization == "none":
            return x
        return normalized(x, model.get_parameter(f"{name}.w"), model.get_parameter(f"{name}.b"))

    logits = []
    for sequence in tokens:
        positions = model.pos_embed.W_pos[: len(sequence)]
        x = model.embed.W_E[sequence]
        if config.positions == "learned":
            x = x + positions
        for layer, block in enumerate(model.blocks):
            attention: Any = block.attn
            value_input = norm(f"blocks.{layer}.ln1", x)
            query_input = value_input + (positions if config.positions == "shortformer" else 0)
            out = torch.zeros_like(x) + attention.b_O
            for head in range(config.num_heads):
                q = query_input @ attention.W_Q[head] + attention.b_Q[head]
                k = query_input @ attention.W_K[head] + attention.b_K[head]
                v = value_input @ attention.W_V[head] + attention.b_V[head]
                if config.smeared_keys:
                    share = attention.smear[head].sigmoid()
                    k = torch.stack([share * k[at] + (1 - share) * k[max(at - 1, 0)] for at in range(len(k))])
                for query in range(len(sequence)):
                    scores = torch.stack([q[query] @ k[key] for key in range(query + 1)]) / config.d_head**0.5
                    mixed = sum(p * v[key] for key, p in enumerate(scores.softmax(0)))
                    out[query] = out[query] + mixed @ attention.W_O[head]
            x = x + out
            if config.d_mlp:
                mlp: Any = block.mlp
                hidden = norm(f"blocks.{layer}.ln2", x) @ mlp.W_in + mlp.b_in
                x = x + 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5)) @ mlp.W_out + mlp.b_out
        logits.append(norm("ln_final", x) @ model.unembed.W_U + model.unembed.b_U)
    return torch.stack(logits)


@every_variant
def test_logits_are_those_of_the_equations(variant: str, tokens: Tensor) -> None:
    model = make_model(**VARIANTS[variant])
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), by_hand(model, tokens), rtol=1e-4, atol=1e-5)


@every_variant
def test_watching_any_site_changes_nothing(variant: str, tokens: Tensor) -> None:
    """Patterns, heads' results and normalised streams are formed on another path when somebody looks."""
    model = make_model(**VARIANTS[variant])
    sites = [name for name, _ in model.named_modules() if name.rpartition(".")[2].startswith("hook_")]
    plain = model(tokens)
    for watched in ([site] for site in sites):
        logits, cache = run_with_cache(model, tokens, names=watched)
        assert list(cache) == watched  # every site is on the path
        torch.testing.assert_close(logits, plain, rtol=1e-4, atol=1e-5)
    logits, cache = run_with_cache(model, tokens, names=sites)
    assert set(cache) == set(sites)
    torch.testing.assert_close(logits, plain, rtol=1e-4, atol=1e-5)


def test_gradients_are_the_same_on_both_attention_paths(tokens: Tensor) -> None:
    model = make_model(d_mlp=20)

    def gradient() -> Tensor:
        model.zero_grad()
        model(tokens).square().mean().backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])

    fused = gradient()
    sites = ["blocks.0.attn.hook_pattern", "blocks.1.attn.hook_result", "ln_final.hook_normalized"]
    with intervene(model, {site: lambda activation: None for site in sites}):
        explicit = gradient()
    torch.testing.assert_close(explicit, fused, rtol=1e-3, atol=1e-6)


STREAM, PER_HEAD = (BATCH, LENGTH, WIDTH), (BATCH, LENGTH, HEADS, WIDTH // HEADS)
SHAPES = {
    "hook_embed": STREAM,
    "hook_pos_embed": STREAM,
    "blocks.0.hook_resid_pre": STREAM,
    "blocks.0.ln1.hook_normalized": STREAM,
    "blocks.0.attn.hook_q": PER_HEAD,
    "blocks.0.attn.hook_k": PER_HEAD,
    "blocks.0.attn.hook_v": PER_HEAD,
    "blocks.0.attn.hook_attn_scores": (BATCH, HEADS, LENGTH, LENGTH),
    "blocks.0.attn.hook_pattern": (BATCH, HEADS, LENGTH, LENGTH),
    "blocks.0.attn.hook_z": PER_HEAD,
    "blocks.0.attn.hook_result": (BATCH, LENGTH, HEADS, WIDTH),
    "blocks.0.hook_attn_out": STREAM,
    "blocks.0.hook_resid_mid": STREAM,
    "blocks.0.ln2.hook_normalized": STREAM,
    "blocks.0.mlp.hook_pre": (BATCH, LENGTH, 20),
    "blocks.0.mlp.hook_post": (BATCH, LENGTH, 20),
    "blocks.0.hook_mlp_out": STREAM,
    "blocks.0.hook_resid_post": STREAM,
    "blocks.1.hook_resid_pre": STREAM,
    "ln_final.hook_normalized": STREAM,
}
WEIGHTS = {
    "embed.W_E": (VOCABULARY, WIDTH),
    "pos_embed.W_pos": (LENGTH + 2, WIDTH),
    "blocks.0.attn.W_Q": (HEADS, WIDTH, WIDTH // HEADS),
    "blocks.0.attn.b_Q": (HEADS, WIDTH // HEADS),
    "blocks.0.attn.W_O": (HEADS, WIDTH // HEADS, WIDTH),
    "blocks.0.attn.b_O": (WIDTH,),
    "blocks.0.mlp.W_in": (WIDTH, 20),
    "blocks.0.mlp.W_out": (20, WIDTH),
    "blocks.0.ln1.w": (WIDTH,),
    "unembed.W_U": (WIDTH, VOCABULARY),
    "unembed.b_U": (VOCABULARY,),
}


def test_names_and_shapes_are_those_of_transformer_lens(tokens: Tensor) -> None:
    model = make_model(d_mlp=20)
    _, cache = run_with_cache(model, tokens, names=SHAPES)
    assert {name: tuple(activation.shape) for name, activation in cache.items()} == SHAPES
    state = model.state_dict()
    assert {name: tuple(state[name].shape) for name in WEIGHTS} == WEIGHTS


def test_activations_are_what_their_names_say(tokens: Tensor) -> None:
    model = make_model(d_mlp=20)
    logits, cache = run_with_cache(model, tokens, names=SHAPES)
    block = "blocks.0"
    pattern, scores = cache[f"{block}.attn.hook_pattern"], cache[f"{block}.attn.hook_attn_scores"]
    torch.testing.assert_close(pattern, scores.softmax(-1))
    torch.testing.assert_close(pattern.sum(-1), torch.ones(BATCH, HEADS, LENGTH))
    assert (pattern.triu(1) == 0).all()
    z = torch.einsum("bhqk,bkhe->bqhe", pattern, cache[f"{block}.attn.hook_v"])
    torch.testing.assert_close(cache[f"{block}.attn.hook_z"], z)
    b_O = model.state_dict()[f"{block}.attn.b_O"]
    torch.testing.assert_close(cache[f"{block}.hook_attn_out"], cache[f"{block}.attn.hook_result"].sum(2) + b_O)
    torch.testing.assert_close(cache["hook_embed"], cache[f"{block}.hook_resid_pre"])
    middle = cache[f"{block}.hook_resid_pre"] + cache[f"{block}.hook_attn_out"]
    torch.testing.assert_close(cache[f"{block}.hook_resid_mid"], middle)
    torch.testing.assert_close(cache[f"{block}.hook_resid_post"], middle + cache[f"{block}.hook_mlp_out"])
    assert torch.equal(cache["blocks.1.hook_resid_pre"], cache[f"{block}.hook_resid_post"])
    normal = cache["ln_final.hook_normalized"]
    torch.testing.assert_close(normal.mean(-1), torch.zeros(BATCH, LENGTH), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.square().mean(-1), torch.ones(BATCH, LENGTH), atol=1e-3, rtol=0)
    final = normal * model.get_parameter("ln_final.w") + model.get_parameter("ln_final.b")
    torch.testing.assert_close(logits, model.unembed(final).detach())


@every_variant
def test_the_future_does_not_change_the_past(variant: str, tokens: Tensor) -> None:
    model, changed = make_model(**VARIANTS[variant]), tokens.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=1e-5, atol=1e-6)
    assert (after[:, 5:] - before[:, 5:]).abs().amax(dim=(0, 2)).min() > 1e-3
    torch.testing.assert_close(model(tokens[:, :5]), before[:, :5], rtol=1e-4, atol=1e-5)


def test_shortformer_positions_never_enter_the_residual_stream(tokens: Tensor) -> None:
    watched = ["hook_pos_embed", "hook_embed", "blocks.0.hook_resid_pre", "blocks.0.attn.hook_v"]
    watched += ["blocks.0.attn.hook_q", "blocks.0.attn.hook_pattern"]

    def look(positions: str) -> list[dict[str, Tensor]]:
        caches = []
        for shift in (0.0, 1.0):
            model = make_model(positions=positions)
            with torch.no_grad():
                model.pos_embed.W_pos.add_(shift * torch.arange(LENGTH + 2)[:, None])
            caches.append(run_with_cache(model, tokens, names=watched)[1])
        return caches

    before, after = look("shortformer")
    equal = {site for site in watched if torch.equal(before[site], after[site])}
    assert equal == {"hook_embed", "blocks.0.hook_resid_pre", "blocks.0.attn.hook_v"}
    before, after = look("learned")
    assert {site for site in watched if torch.equal(before[site], after[site])} == {"hook_embed"}


def test_with_attention_spread_evenly_the_order_of_the_past_is_forgotten(tokens: Tensor) -> None:
    model, permuted = make_model(d_mlp=20), tokens.clone()
    permuted[:, :-1] = tokens[:, :-1].flip(1)
    even = torch.ones(LENGTH, LENGTH).tril()
    even /= even.sum(dim=1, keepdim=True)

    def last(sequences: Tensor) -> Tensor:
        with intervene(model, {"blocks.0.attn.hook_pattern": even.expand_as}):
            site = "blocks.0.hook_resid_post"
            return run_with_cache(model, sequences, names=site)[1][site][:, -1]

    torch.testing.assert_close(last(permuted), last(tokens), rtol=1e-4, atol=1e-5)
    assert not torch.equal(model(permuted)[:, -1], model(tokens)[:, -1])


def test_attention_only_has_no_mlp() -> None:
    names = dict(make_model().named_parameters())
    assert not any("mlp" in name or "ln2" in name for name in names)
    assert {name.split(".")[2] for name in names if name.startswith("blocks.0")} == {"attn", "ln1"}


def test_the_published_setting_has_about_three_million_weights() -> None:
    config = TransformerConfig(vocabulary_size=5000, context_length=1024, num_layers=2, d_model=256, num_heads=8)
    count = sum(parameter.numel() for parameter in Transformer(config, torch.Generator()).parameters())
    embeddings = 5000 * 256 + 1024 * 256 + 256 * 5000 + 5000
    layers = 2 * (4 * 256 * 256 + 3 * 256 + 256 + 2 * 256) + 2 * 256
    assert count == embeddings + layers
    assert count == pytest.approx(3.2e6, rel=0.1)


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    config = TransformerConfig(vocabulary_size=50, context_length=20, d_model=64, d_mlp=200, init_std=0.3)
    models = [Transformer(config, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), before)
    first, again, other = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed.W_E"], other["embed.W_E"])
    expected = {"embed.W_E": 0.3, "pos_embed.W_pos": 0.3, "blocks.0.attn.W_Q": 1 / 8, "blocks.1.mlp.W_out": 200**-0.5}
    for name, std in expected.items():
        assert float(first[name].std()) == pytest.approx(std, rel=0.08), name
    assert all((first[name] == 0).all() for name in first if ".b_" in name)


def test_too_long_an_input_is_refused(tokens: Tensor) -> None:
    model = make_model()
    with pytest.raises(InvalidArgument, match="`tokens`: expected at most context_length=11 positions, found 12"):
        model(torch.zeros(1, 12, dtype=torch.long))
    assert model(torch.zeros(1, 11, dtype=torch.long)).shape == (1, 11, VOCABULARY)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"num_heads": 5}, "num_heads`: expected a divisor of d_model=12, found 5"),
        ({"positions": "rotary"}, "positions"),
        ({"normalization": "rms"}, "normalization"),
        ({"d_head": 3}, "d_head"),
        ({"num_heads": 0}, "num_heads"),
        ({"vocabulary_size": -1}, "vocabulary_size"),
    ],
)
def test_shapes_that_cannot_be_are_refused(wrong: dict[str, Any], told: str) -> None:
    shape: dict[str, Any] = {"vocabulary_size": 5, "context_length": 4, "d_model": 12, "num_heads": 4}
    with pytest.raises(InvalidArgument, match=told):
        TransformerConfig(**(shape | wrong))
