"""The contexts of the belief study are all that the process allows, with exact beliefs, laws and losses."""

import numpy as np
import pytest
import torch

import ontogeny as og
from ontogeny import compmech as cm
from ontogeny.compmech import all_contexts, losses_by_length
from ontogeny.models import RecurrentConfig, RecurrentNetwork, Transformer, TransformerConfig
from ontogeny.studies.belief_states.recipe import ALL, read_sites, sites_of

LENGTH = 5


@pytest.fixture(scope="module", params=["mess3", "rrxor", "golden_mean"])
def process(request: pytest.FixtureRequest) -> cm.GHMM:
    return cm.process(request.param)


def test_contexts_are_all_possible_words(process: cm.GHMM) -> None:
    table = all_contexts(process, LENGTH)
    sums = np.bincount(table.lengths, weights=table.probabilities)[1:]
    np.testing.assert_allclose(sums, 1, atol=1e-12)
    words = table.prefixes[table.lengths == LENGTH]
    assert len(np.unique(words, axis=0)) == len(words) == len(table.words)
    np.testing.assert_allclose(table.probabilities[table.lengths == LENGTH], cm.word_probabilities(process, words))


def test_beliefs_are_those_of_the_filter(process: cm.GHMM) -> None:
    table = all_contexts(process, LENGTH)
    filtered = process.beliefs(table.words)
    for context in np.random.default_rng(0).choice(len(table.first), 40):
        word, position = divmod(int(table.first[context]), LENGTH)
        np.testing.assert_array_equal(table.prefixes[context, : position + 1], table.words[word, : position + 1])
        np.testing.assert_allclose(table.beliefs[context], filtered[word, position + 1], atol=1e-12)
        assert table.lengths[context] == position + 1


def test_a_network_that_knew_the_laws_would_have_the_least_loss(process: cm.GHMM) -> None:
    table = all_contexts(process, LENGTH)
    with np.errstate(divide="ignore"):
        losses = losses_by_length(table, np.log(np.maximum(table.laws, 1e-300)))
    optimum = cm.myopic_entropies(process, LENGTH + 1)[1:] * np.log(2)
    np.testing.assert_allclose(losses, optimum, atol=1e-9)
    uniform = losses_by_length(table, np.zeros_like(table.laws))
    np.testing.assert_allclose(uniform, np.log(process.num_tokens), atol=1e-12)


def network(process: cm.GHMM, recurrent: bool) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    if recurrent:
        return RecurrentNetwork(RecurrentConfig(vocabulary_size=process.num_tokens, num_layers=2, d_model=8), generator)
    shape = TransformerConfig(
        vocabulary_size=process.num_tokens, context_length=LENGTH, num_layers=2, d_model=8, num_heads=2
    )
    return Transformer(shape, generator)


@pytest.mark.parametrize("recurrent", [False, True], ids=["transformer", "LSTM"])
def test_activations_are_those_after_the_context(process: cm.GHMM, recurrent: bool) -> None:
    """Of every context run on its own."""
    model, table = network(process, recurrent), all_contexts(process, LENGTH)
    assert list(sites_of(model)) == ["embedding", "layer 0", "layer 1"]
    found, logits = read_sites(model, table)
    assert list(found) == ["embedding", "layer 0", "layer 1", ALL]
    np.testing.assert_array_equal(found[ALL][:, :8], found["embedding"])
    for context in (0, len(table.lengths) // 2, len(table.lengths) - 1):
        tokens = torch.as_tensor(table.prefixes[context, : table.lengths[context]])[None]
        with torch.no_grad():
            alone = model(tokens)[0, -1].numpy()
        np.testing.assert_allclose(logits[context], alone, atol=1e-5)
    assert all(len(values) == len(table.lengths) for values in found.values())


def test_a_process_with_too_many_words_is_refused() -> None:
    with pytest.raises(og.InvalidArgument, match="at most 100000 words"):
        all_contexts(cm.process("mess3"), 12)


def test_the_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    first, second = (network(cm.process("mess3"), recurrent=True) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
