"""What holds of every process: laws on random ones, and naive references straight from the equations."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ontogeny import compmech as cm


@st.composite
def random_processes(draw):
    """HMMs of two to four states and two or three tokens, some entries 0, every state reachable from every other."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    tokens, states = draw(st.integers(2, 3)), draw(st.integers(2, 4))
    weights = rng.random((tokens, states, states)) * (rng.random((tokens, states, states)) < draw(st.floats(0.3, 1)))
    weights[0] += 0.1 * np.roll(np.eye(states), 1, axis=1)
    return cm.HMM(weights / weights.sum(axis=(0, 2))[:, None])


def all_words(process, length):
    words = list(itertools.product(range(process.num_tokens), repeat=length))
    return np.array(words, dtype=int).reshape(len(words), length)


def naive_probability(process, word):
    vector = process.initial
    for token in word:
        vector = vector @ process.transition_matrices[token]
    return vector @ process.final


@given(random_processes())
@settings(max_examples=25)
def test_probabilities_of_words_sum_to_one_and_are_those_of_the_equation(process):
    for length in range(5):
        words = all_words(process, length)
        found = cm.word_probabilities(process, words)
        assert found.sum() == pytest.approx(1)
        np.testing.assert_allclose(found, [naive_probability(process, word) for word in words], atol=1e-12)


@given(random_processes())
@settings(max_examples=25)
def test_beliefs_and_myopic_entropies_are_those_of_the_equation(process):
    words = all_words(process, 4)
    words = words[cm.word_probabilities(process, words) > 0]
    beliefs = process.beliefs(words)
    for word, along in zip(words, beliefs, strict=True):
        vector = process.stationary
        for token, belief in zip([None, *word], along, strict=True):
            vector = vector if token is None else vector @ process.transition_matrices[token]
            np.testing.assert_allclose(belief, vector / vector.sum(), atol=1e-12)
    blocks = [float(cm.entropy(cm.word_probabilities(process, all_words(process, n)))) for n in range(6)]
    np.testing.assert_allclose(cm.block_entropies(process, 5), blocks, atol=1e-10)


@given(random_processes())
@settings(max_examples=25)
def test_uncertainty_never_grows_and_reversal_keeps_the_words(process):
    assert (np.diff(cm.myopic_entropies(process, 8)) < 1e-10).all()
    backwards = cm.reverse(process)
    words = all_words(process, 4)
    np.testing.assert_allclose(
        cm.word_probabilities(backwards, words[:, ::-1]), cm.word_probabilities(process, words), atol=1e-12
    )
    again = cm.reverse(backwards)
    np.testing.assert_allclose(again.transition_matrices, process.transition_matrices, atol=1e-12)
    np.testing.assert_allclose(cm.block_entropies(backwards, 7), cm.block_entropies(process, 7), atol=1e-7)


@given(random_processes())
@settings(max_examples=10, deadline=None)
def test_the_excess_entropy_is_the_same_backwards(process):
    """Up to the bounds that a presentation without end is known to."""
    there, back = cm.excess_entropy(process), cm.excess_entropy(cm.reverse(process))
    assert there.low <= back.high + 1e-9
    assert back.low <= there.high + 1e-9
    assert abs(float(there) - float(back)) <= there.high - there.low + back.high - back.low + 1e-9


@given(random_processes())
@settings(max_examples=15)
def test_rows_of_the_mixed_states_sum_to_one(process):
    m = cm.mixed_states(process, max_depth=4)
    np.testing.assert_allclose(m.matrix.sum(axis=1)[: m.num_expanded], 1)
    np.testing.assert_allclose(m.laws.sum(axis=1), 1)
    rates = m.distributions(5) @ cm.entropy(m.laws)
    np.testing.assert_allclose(rates, cm.myopic_entropies(process, 5), atol=1e-7)


@pytest.mark.parametrize("name", ["golden_mean", "even", "zero_one_random", "rrxor", "random_insertion", "nemo"])
def test_excess_entropy_is_that_of_reversed_time(name):
    p = cm.process(name)
    assert cm.excess_entropy(cm.reverse(p)) == pytest.approx(cm.excess_entropy(p), abs=1e-9)
    assert cm.entropy_rate(cm.reverse(p)) == pytest.approx(cm.entropy_rate(p), abs=1e-9)


@pytest.mark.parametrize("name", ["golden_mean", "even", "random_insertion", "nemo"])
def test_sums_are_those_of_the_series(name):
    p = cm.process(name)
    surplus = cm.myopic_entropies(p, 200) - cm.entropy_rate(p)
    assert cm.excess_entropy(p) == pytest.approx(surplus.sum())
    assert cm.transient_information(p) == pytest.approx(np.arange(1, 201) @ surplus)
    assert cm.synchronization_information(p) == pytest.approx(cm.mean_belief_entropies(p, 200).sum())


@pytest.mark.parametrize("name", cm.process_names())
def test_every_named_process_is_one(name):
    p = cm.process(name)
    for length in (1, 3):
        found = cm.word_probabilities(p, all_words(p, length))
        assert found.sum() == pytest.approx(1)
        assert (found >= 0).all()
    np.testing.assert_allclose(p.stationary @ p.net_matrix, p.stationary, atol=1e-12)
    np.testing.assert_allclose(p.net_matrix @ p.final, p.final, atol=1e-12)
    assert p.is_stationary
    assert p.sample(3, 5).shape == (3, 5)


def test_samples_have_the_law_of_the_process_and_its_beliefs():
    for name in ("mess3", "tom_quantum", "rrxor", "days_of_week"):
        p = cm.process(name)
        words = all_words(p, 2)
        tokens = p.sample(20_000, 2, seed=3).numpy()
        counts = (tokens[:, None] == words).all(axis=2).sum(axis=0)
        expected = cm.word_probabilities(p, words)
        assert (counts[expected < 1e-15] == 0).all()
        deviation = (counts - 20_000 * expected) / np.sqrt(20_000 * np.maximum(expected, 1e-9))
        assert np.abs(deviation).max() < 4.5


def test_sampling_is_a_function_of_the_seed_alone():
    p = cm.process("mess3")
    state = torch.get_rng_state()
    assert torch.equal(p.sample(10, 20, seed=1), p.sample(10, 20, seed=1))
    assert not torch.equal(p.sample(10, 20, seed=1), p.sample(10, 20, seed=2))
    assert torch.equal(torch.get_rng_state(), state)


def test_beliefs_of_long_sequences_do_not_underflow():
    p = cm.process("mess3")
    tokens = p.sample(2, 5000, seed=0)
    assert np.isfinite(p.beliefs(tokens)).all()
    np.testing.assert_allclose(p.beliefs(tokens).sum(axis=2), 1)
    assert -5000 * 1.3 < cm.log2_word_probabilities(p, tokens)[0] < -5000
    laws = cm.next_token_law(p, p.beliefs(tokens)[:, -1])
    np.testing.assert_allclose(laws.sum(axis=1), 1)


def test_unions_keep_their_weights():
    p = cm.union([cm.process("golden_mean"), cm.process("even")], [0.25, 0.75])
    np.testing.assert_allclose(p.stationary, [1 / 6, 1 / 12, 1 / 2, 1 / 4])
    np.testing.assert_allclose(p.stationary[:2].sum(), 0.25)
    assert cm.entropy_rate(p) == pytest.approx(2 / 3)
    complexity = float(cm.entropy(np.array([0.25, 0.75]))) + 0.918296
    assert cm.statistical_complexity(p) == pytest.approx(complexity, abs=1e-6)
    signed = cm.union([cm.process("tom_quantum"), cm.process("post_quantum")], [0.5, 0.5])
    np.testing.assert_allclose(signed.stationary @ signed.net_matrix, signed.stationary, atol=1e-12)
    apart = cm.union([cm.process("coin"), cm.process("coin")], [0.5, 0.5], vocabularies=[[0, 1], [2, 3]])
    assert (apart.num_tokens, float(cm.excess_entropy(apart))) == (4, pytest.approx(1))


def test_products_add_and_factor():
    golden, even = cm.process("golden_mean"), cm.process("even")
    joint = cm.product(golden, even)
    assert cm.entropy_rate(joint) == pytest.approx(4 / 3)
    assert cm.excess_entropy(joint) == pytest.approx(cm.excess_entropy(golden) + cm.excess_entropy(even))
    factored = cm.Factored((golden, even))
    tokens = factored.sample(5, 7, seed=0)
    np.testing.assert_allclose(cm.word_probabilities(joint, tokens) > 0, True)
    first, second = factored.beliefs(tokens)
    np.testing.assert_allclose(
        joint.beliefs(tokens), np.einsum("nta,ntb->ntab", first, second).reshape(5, 8, 4), atol=1e-12
    )


def test_leaks_and_beginnings():
    leaky = cm.leaky(cm.process("rrxor"), 0.1)
    np.testing.assert_allclose(leaky.net_matrix.sum(axis=1), 1)
    np.testing.assert_allclose(
        leaky.transition_matrices, 0.9 * cm.process("rrxor").transition_matrices + 0.1 / 10 * np.ones((2, 5, 5))
    )
    p = cm.with_bos(cm.process("even"))
    assert (p.num_tokens, p.num_states, p.is_stationary) == (3, 3, False)
    assert (p.sample(4, 6)[:, 0] == 2).all()
    np.testing.assert_allclose(p.beliefs([[2]])[0], [[0, 0, 1], [2 / 3, 1 / 3, 0]])
    np.testing.assert_allclose(cm.myopic_entropies(p, 6), [0, *cm.myopic_entropies(cm.process("even"), 5)], atol=1e-12)


def test_epsilon_machine_merges_what_predicts_the_same():
    even = cm.process("even").transition_matrices
    doubled = np.kron(even, np.full((2, 2), 0.5))  # every state twice
    machine = cm.epsilon_machine(cm.HMM(doubled))
    assert machine.num_states == 2
    assert machine.is_unifilar
    words = all_words(machine, 6)
    np.testing.assert_allclose(
        cm.word_probabilities(machine, words), cm.word_probabilities(cm.process("even"), words), atol=1e-12
    )
    assert cm.minimal_dimension(cm.HMM(doubled)) == 2
    # Unifilar, and yet no word ever tells the states apart for certain: the states are merged, not the beliefs.
    never = cm.HMM([[[0.3, 0], [0, 0.6]], [[0, 0.7], [0.4, 0]]])
    assert cm.epsilon_machine(never).num_states == 2
    assert cm.entropy_rate(never).exact
    assert not cm.excess_entropy(never).exact


def test_matrices_are_copied_and_read_only():
    given_matrices = cm.process("even").transition_matrices.copy()
    p = cm.HMM(given_matrices)
    given_matrices[:] = 0
    assert p.transition_matrices.sum() == 2
    with pytest.raises(ValueError, match="read-only"):
        p.transition_matrices[0, 0, 0] = 1
    assert math.isclose(p.stationary.sum(), 1)
