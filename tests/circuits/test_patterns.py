"""Patterns are streamed, and recomputed where no module returns them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ontogeny.circuits import attention_patterns, pattern_scores, repeat_scores, text_scores
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Transformer, TransformerConfig, heads, intervene, run_with_cache
from ontogeny.models.anatomy import Head

TOKENS = torch.randint(11, (5, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model() -> Transformer:
    shape: dict[str, Any] = {"vocabulary_size": 11, "context_length": 9, "d_model": 12, "num_heads": 3}
    return Transformer(TransformerConfig(**shape), torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def hidden(model: Transformer) -> list[Head]:
    """The heads, as if no module returned their patterns."""
    return [replace(head, pattern=None) for head in heads(model)]


def test_patterns_are_read_or_made_from_one_hot_values(model: Transformer, hidden: list[Head]) -> None:
    sites = [f"blocks.{layer}.attn.hook_pattern" for layer in (0, 1)]
    cache = run_with_cache(model, TOKENS, names=sites)[1]
    for known in (None, hidden):
        for layer, patterns in attention_patterns(model, TOKENS, batch_size=5, known=known):
            torch.testing.assert_close(patterns, cache[sites[layer]])


def test_scores_are_the_same_in_batches_of_any_size(model: Transformer) -> None:
    whole = dict(attention_patterns(model, TOKENS, batch_size=5))
    expected = text_scores(torch.stack([whole[0], whole[1]]))
    for batch_size in (1, 2, 5):
        found = pattern_scores(model, TOKENS, text_scores, batch_size)
        assert found.keys() == expected.keys()
        for name, each in expected.items():
            assert found[name].shape == (2, 3, 5)
            torch.testing.assert_close(found[name], each)


def test_no_more_than_one_layer_of_one_batch_is_held(model: Transformer) -> None:
    alive: list[int] = []

    def score(patterns: Tensor) -> dict[str, Tensor]:
        alive.append(patterns.numel())
        return repeat_scores(patterns, 3)

    pattern_scores(model, TOKENS, score, batch_size=2)
    assert alive == [each * 3 * 9 * 9 for each in (2, 2, 2, 2, 1, 1)]


def test_interventions_apply_and_the_model_comes_back(model: Transformer) -> None:
    def uniform(pattern: Tensor) -> Tensor:
        return torch.full_like(pattern, 1 / 9)

    model.train()
    with intervene(model, {"blocks.0.attn.hook_pattern": uniform}):
        changed = dict(attention_patterns(model, TOKENS))
    assert (changed[0] == 1 / 9).all()
    assert not torch.allclose(changed[1], dict(attention_patterns(model, TOKENS))[1])
    assert all(each.training and not each._forward_hooks for each in model.modules())


def test_outputs_that_are_no_means_of_values_are_refused(model: Transformer, hidden: list[Head]) -> None:
    doubled = intervene(model, {"blocks.0.attn.hook_z": lambda z: 2 * z})
    with doubled, pytest.raises(InvalidArgument, match="heads whose outputs are means"):
        next(attention_patterns(model, TOKENS, known=hidden))
