"""Head scores on networks whose heads are known, and against definitions written out."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.models.families import network
from torch import Tensor

from ontogeny import circuits
from ontogeny.circuits import RepeatConfig
from ontogeny.circuits.repeats import repeated_tokens
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, heads, intervene, run_with_cache
from ontogeny.testing import InductionTransformer


def random_network(seed: int = 0, **changes: Any) -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 30, "context_length": 24, "d_model": 32, "num_heads": 4}
    return Transformer(TransformerConfig(**shape | changes), torch.Generator().manual_seed(seed))


def test_heads_written_by_hand_get_their_scores_and_labels() -> None:
    network = InductionTransformer()
    scores = circuits.head_scores(network.model())
    assert float(scores["previous_token"].sel(layer=0, head=1)) > 0.99
    assert float(scores["prefix_matching"].sel(layer=1, head=2)) > 0.95
    assert float(scores["copying"].sel(layer=1, head=2)) > 0.95
    assert circuits.copying_score(network.model(), network.induction) > 0.95
    types = circuits.head_types(scores)
    assert types[network.previous_token] == "previous_token"
    assert types[network.induction] == "prefix_matching"
    assert set(types.values()) == {"previous_token", "prefix_matching", "other"}
    # The previous-token head writes where the unembedding does not read: it raises nothing.
    assert np.isnan(scores["copying"].sel(layer=0, head=1))


def test_an_untrained_network_has_no_such_heads() -> None:
    scores = circuits.head_scores(random_network())
    for name in ("previous_token", "prefix_matching", "duplicate_token"):
        assert float(scores[name].max()) < 0.5
    assert float(scores["copying"].max()) < 0.5
    assert abs(float(scores["copying"].mean()) - 1 / scores.attrs["period"]) < 0.1


def written_out(model: Transformer, tokens: Tensor, layer: int, head: int) -> float:
    """The copying score from its definition, one query, key and token at a time."""
    names = [f"blocks.{layer}.attn.hook_{each}" for each in ("pattern", "v")]
    cache = run_with_cache(model, tokens, names=names)[1]
    own = heads(model)[4 * layer + head]
    unembedding = model.get_parameter("ln_final.w")[:, None] * model.unembed.W_U
    unembedding = unembedding - unembedding.mean(0)
    raised_own, raised = 0.0, 0.0
    for s, row in enumerate(tokens.tolist()):
        for k, attended in enumerate(row):
            logits = cache[names[1]][s, k, head] @ own.W_O @ unembedding
            gains = (logits - logits.mean()).clamp(min=0)
            for q in range(k, len(row)):
                weight = float(cache[names[0]][s, head, q, k])
                raised_own += weight * float(gains[attended])
                raised += weight * float(gains[row].sum())
    return raised_own / raised


@torch.no_grad()
def test_copying_is_what_its_definition_says() -> None:
    model = random_network()
    model.get_parameter("ln_final.w").uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
    config = RepeatConfig(num_sequences=2, period=7, occurrences=2)
    found = circuits.head_scores(model, repeats=config, batch_size=1, seed=3)["copying"]
    tokens = repeated_tokens(model, 30, config, 3)[0][:, :7]
    for layer, head in ((0, 0), (0, 3), (1, 2)):
        assert float(found[layer, head]) == pytest.approx(written_out(model, tokens, layer, head), rel=1e-3)


def test_a_head_that_lowers_what_it_attends_to_has_copying_zero() -> None:
    model = InductionTransformer().model()
    with torch.no_grad():
        model.get_parameter("blocks.1.attn.W_O")[2] *= -1
    assert float(circuits.head_scores(model)["copying"].sel(layer=1, head=2)) < 0.01
    assert circuits.copying_score(model, "L1H2") < -0.95


def test_sequences_repeat_with_their_period_and_depend_on_the_seed_alone() -> None:
    model = random_network(context_length=100)
    tokens, period = repeated_tokens(model, 30, RepeatConfig(), 0)
    assert (tuple(tokens.shape), period) == ((10, 100), 25)
    assert torch.equal(tokens[:, :25], tokens[:, 75:])
    assert all(len(set(row)) == 25 for row in tokens[:, :25].tolist())
    assert torch.equal(tokens, repeated_tokens(model, 30, RepeatConfig(), 0)[0])
    assert not torch.equal(tokens, repeated_tokens(model, 30, RepeatConfig(), 1)[0])
    some = repeated_tokens(model, 30, RepeatConfig(tokens=tuple(range(5, 12))), 0)
    assert some[1] == 7
    assert set(some[0].flatten().tolist()) == set(range(5, 12))


@pytest.mark.parametrize(("context", "period", "occurrences"), [(200, 25, 4), (80, 25, 3), (40, 20, 2), (5, 2, 2)])
def test_a_short_context_takes_occurrences_first(context: int, period: int, occurrences: int) -> None:
    scores = circuits.head_scores(random_network(context_length=context))
    assert (scores.attrs["period"], scores.attrs["occurrences"]) == (period, occurrences)
    with pytest.raises(InvalidArgument, match="in a context that holds them twice"):
        circuits.head_scores(random_network(context_length=3))


def test_a_first_token_is_scored_neither_as_query_nor_as_key() -> None:
    model = InductionTransformer(context_length=33).model()
    scores = circuits.head_scores(model, repeats=RepeatConfig(first=0, tokens=tuple(range(1, 31))))
    assert scores.attrs["period"] == 16
    # Position 1 now attends to the first token, which is counted as attention to nothing.
    assert float(scores["previous_token"].sel(layer=0, head=1)) > 0.99
    assert float(scores["prefix_matching"].sel(layer=1, head=2)) > 0.95
    assert float(scores["copying"].sel(layer=1, head=2)) > 0.95


def test_text_has_its_own_scores_and_the_entropy_of_even_attention_is_known() -> None:
    model = random_network()
    with torch.no_grad():
        for layer in (0, 1):
            model.get_parameter(f"blocks.{layer}.attn.W_Q").zero_()
    text = torch.randint(30, (3, 10), generator=torch.Generator().manual_seed(0))
    scores = circuits.head_scores(model, text)
    entropy = np.mean([np.log(position + 1) for position in range(1, 10)])
    np.testing.assert_allclose(scores["attention_entropy"], entropy, rtol=1e-5)
    np.testing.assert_allclose(scores["previous_token"], np.mean([1 / (p + 1) for p in range(1, 10)]), rtol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "qwen3"])
def test_families(name: str) -> None:
    """Against patterns that the library returns itself."""
    model = network(name)[0]
    config = RepeatConfig(num_sequences=2, period=5, occurrences=2)
    scores = circuits.head_scores(model, repeats=config)
    tokens, _ = repeated_tokens(model, 31, config, 0)
    with torch.no_grad():
        patterns = torch.stack(model(tokens, output_attentions=True).attentions)  # layer, sequence, head, query, key
    expected = patterns.diagonal(-4, -2, -1)[..., 1:].mean((1, -1))
    np.testing.assert_allclose(scores["prefix_matching"], expected, atol=1e-5)
    np.testing.assert_allclose(scores["previous_token"], patterns.diagonal(-1, -2, -1).mean((1, -1)), atol=1e-5)
    assert scores["copying"].notnull().all()
    assert bool((scores["copying"] >= 0).all() & (scores["copying"] <= 1).all())


def test_interventions_apply_and_the_model_comes_back() -> None:
    model = InductionTransformer().model().train()
    with intervene(model, {"L0H1": torch.zeros_like}):
        assert float(circuits.head_scores(model)["prefix_matching"].max()) < 0.1
    assert float(circuits.head_scores(model)["prefix_matching"].max()) > 0.95
    assert all(each.training and not each._forward_hooks for each in model.modules())
