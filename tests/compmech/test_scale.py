"""Many sequences, tokens, states and beliefs: what is done in pieces is what is done at once."""

import numpy as np
import pytest

from ontogeny import compmech as cm
from ontogeny.compmech import dedup
from ontogeny.core.errors import InvalidArgument


@pytest.mark.parametrize("name", ["mess3", "days_of_week", "tom_quantum", "many tokens and states"])
def test_beliefs_and_probabilities_in_pieces_are_those_of_the_equation(name):
    if name.startswith("many"):
        weights = np.random.default_rng(0).random((20, 15, 15))
        process = cm.HMM(weights / weights.sum(axis=(0, 2))[:, None])
    else:
        process = cm.process(name)
    tokens = process.sample(2003, 35, seed=1).numpy()
    belief, bits = np.tile(process.initial, (len(tokens), 1)), np.zeros(len(tokens))
    found = process.beliefs(tokens)
    np.testing.assert_array_equal(found[:, 0], belief)
    for position, column in enumerate(tokens.T):
        belief = np.einsum("bs,bst->bt", belief, process.transition_matrices[column])
        norm = belief @ process.final
        belief, bits = belief / norm[:, None], bits + np.log2(norm)
        np.testing.assert_allclose(found[:, position + 1], belief, atol=1e-12)
    np.testing.assert_allclose(cm.log2_word_probabilities(process, tokens), bits, rtol=1e-12)
    np.testing.assert_allclose(process.beliefs(tokens[2000:]), found[2000:], atol=1e-12)


def test_the_first_impossible_token_of_a_block_is_named():
    even = cm.process("even")
    tokens = np.zeros((2100, 40), int)
    tokens[2050, 20] = tokens[2060, 17] = tokens[2070, 17] = 1  # a lone 1 makes the 0 after it impossible
    with pytest.raises(InvalidArgument, match="token 0 of probability 0 in sequence 2060, position 18"):
        even.beliefs(tokens)
    impossible = np.flatnonzero(np.isneginf(cm.log2_word_probabilities(even, tokens)))
    np.testing.assert_array_equal(impossible, [2050, 2060, 2070])
    assert even.beliefs(tokens[:0]).shape == (0, 41, 2)
    assert even.beliefs(tokens[:, :0]).shape == (2100, 1, 2)


def test_vectors_are_found_alike_by_dictionaries_and_sorted_arrays(monkeypatch):
    rng = np.random.default_rng(0)
    distinct = rng.random((300, 4))
    batches = [distinct[rng.integers(0, until, 200)] for until in (1, 5, 100, 300, 300)]
    batches = [batch + 1e-13 * rng.standard_normal(batch.shape) for batch in batches]
    found = []
    for few in (0, 350, 10_000):  # at once, on the way, never
        monkeypatch.setattr(dedup, "_FEW", few)
        index = dedup.Index(4)
        found.append(([index.add(batch) for batch in batches], index.vectors, index.widest))
    for places, vectors, widest in found:
        np.testing.assert_array_equal(places, found[0][0])
        np.testing.assert_array_equal(vectors, found[0][1])
        assert widest == found[0][2] < dedup.ROUNDING
    for batch, places in zip(batches, found[0][0], strict=True):
        np.testing.assert_allclose(found[0][1][places], batch, atol=1e-11)


@pytest.mark.parametrize("name", ["rrxor", "even", "nemo", "mess3", "tom_quantum"])
def test_entropies_by_the_graph_are_those_by_levels(name, monkeypatch):
    process = cm.process(name)
    by_graph = cm.myopic_entropies(process, 8)
    monkeypatch.setattr("ontogeny.compmech.measures._FEW", 0)
    np.testing.assert_allclose(cm.myopic_entropies(process, 8), by_graph, atol=1e-12)


def test_limits_hold_for_graphs_and_for_levels():
    rrxor = cm.process("rrxor")
    for call in (cm.myopic_entropies, cm.mean_belief_entropies):
        with pytest.raises(InvalidArgument, match="levels of at most 20 beliefs"):
            call(rrxor, 30, max_states=20)
    assert len(cm.myopic_entropies(rrxor, 3, max_states=20)) == 3
    assert len(cm.myopic_entropies(rrxor, 0)) == 0
