"""Machines from 10⁵ tokens of processes that have one, and refusals for those that have none."""

from bisect import bisect
from functools import cache

import numpy as np
import pytest

from ontogeny import compmech as cm
from ontogeny.compmech.rank_test import table_rank
from ontogeny.core.errors import InvalidArgument

METHODS = ["cssr", "spectral"]


@cache
def tokens_of(name, seed):
    """One long sequence, drawn state by state: the sampler is made for many sequences."""
    p = cm.process(name)
    laws = p.transition_matrices.transpose(1, 0, 2).reshape(p.num_states, -1).cumsum(axis=1).tolist()
    rng = np.random.default_rng(seed)
    state, tokens = int(rng.choice(p.num_states, p=p.stationary)), []
    for uniform in rng.random(100_000).tolist():
        token, state = divmod(bisect(laws[state][:-1], uniform), p.num_states)
        tokens.append(token)
    return np.array(tokens)


@pytest.mark.parametrize(
    ("name", "states", "method"),
    [
        *(("golden_mean", 2, "cssr"), ("even", 2, "cssr"), ("random_insertion", 3, "spectral")),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (("golden_mean", 2, "spectral"), ("even", 2, "spectral"), ("random_insertion", 3, "cssr"))
        ),
    ],
)
def test_finite_machines_are_recovered(name, states, method):
    found = cm.reconstruct(tokens_of(name, seed=1), method=method)
    assert found.finding is cm.Finding.UNIFILAR
    assert found.machine is not None
    assert (found.num_states, found.machine.num_states, found.dimension) == (states, states, states)
    assert found.entropy_rate == pytest.approx(float(cm.entropy_rate(cm.process(name))), abs=0.01)
    assert found.machine.is_unifilar
    np.testing.assert_allclose(
        cm.myopic_entropies(found.machine, 5), cm.myopic_entropies(cm.process(name), 5), atol=0.01
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["sns", "nond"])
def test_processes_without_a_finite_machine_are_refused(name, method):
    found = cm.reconstruct(tokens_of(name, seed=1), method=method)
    assert found.finding is not cm.Finding.UNIFILAR
    assert found.dimension == 2 < found.num_states
    assert found.finding.advice


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("method", METHODS)
def test_verdicts_do_not_hang_on_the_seed(method, seed):
    for name in ("golden_mean", "even", "random_insertion", "zero_one_random", "sns", "nond"):
        found = cm.reconstruct(tokens_of(name, seed), method=method)
        assert (found.finding is cm.Finding.UNIFILAR) == (name not in ("sns", "nond")), (name, found.finding)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["golden_mean", "even", "rrxor", "coin", "zero_one_random", "nemo"])
def test_short_data_are_too_short_to_tell(name, method):
    for length in (1, 2, 50, 200, 500, 999):
        found = cm.reconstruct(tokens_of(name, seed=3)[-length:], method=method)
        assert found.finding is cm.Finding.UNDECIDED
        assert (found.machine, found.finding.advice[:17]) == (None, "Too short to tell")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["golden_mean", "even", "rrxor", "coin", "random_insertion", "nemo", "sns", "nond"])
def test_data_of_middling_length_give_the_right_machine_or_none(name, method):
    """Neither another machine nor, of processes that have one, that there is none."""
    for length in (1500, 5000, 12_000):
        found = cm.reconstruct(tokens_of(name, seed=3)[:length], method=method)
        right = {cm.Finding.UNIFILAR} if name not in ("sns", "nond") else {cm.Finding.MIXTURES, cm.Finding.GROWING}
        assert found.finding in right | {cm.Finding.UNDECIDED}
        assert (found.finding is cm.Finding.UNIFILAR) == (found.finding.advice == "")
        if found.finding is cm.Finding.UNIFILAR:
            assert found.machine is not None
            truth = cm.process(name)
            assert found.num_states == found.dimension == cm.epsilon_machine(truth).num_states
            np.testing.assert_allclose(cm.myopic_entropies(found.machine, 4), cm.myopic_entropies(truth, 4), atol=0.03)


def test_sequences_too_short_for_words_of_two_tokens_leave_it_undecided():
    """The pairs of RRXOR are those of a coin: only longer words tell."""
    pairs = cm.process("rrxor").sample(20_000, 2, seed=0)
    assert cm.reconstruct(pairs).finding is cm.Finding.UNDECIDED
    assert cm.reconstruct(pairs[:, :1]).finding is cm.Finding.UNDECIDED


def test_rank_of_tables():
    rng = np.random.default_rng(0)
    factors = rng.dirichlet(np.ones(8), size=(2, 3))
    for rank in (1, 2, 3):
        law = np.einsum("ri,rj->ij", factors[0][:rank], factors[1][:rank]) / rank
        assert table_rank(rng.multinomial(50_000, law.ravel()).reshape(8, 8), 0.001) == rank


def test_the_level_of_the_rank_test():
    rng = np.random.default_rng(0)
    law = np.full((4, 4), 1 / 16)
    ranks = [table_rank(rng.multinomial(5000, law.ravel()).reshape(4, 4), 0.05) for _ in range(200)]
    assert 0.01 < np.mean(np.array(ranks) > 1) < 0.10


def test_bias_corrections_come_closer_than_the_plug_in():
    rng = np.random.default_rng(0)
    law = rng.dirichlet(np.ones(50))
    truth = float(cm.entropy(law))
    counts = rng.multinomial(200, law, size=300)
    bias = {
        estimate.__name__: np.mean([estimate(row) for row in counts]) - truth
        for estimate in (cm.plug_in_entropy, cm.miller_madow_entropy, cm.grassberger_entropy)
    }
    assert bias["plug_in_entropy"] < -0.1
    assert abs(bias["miller_madow_entropy"]) < 0.06
    assert abs(bias["grassberger_entropy"]) < 0.03
    with pytest.raises(InvalidArgument, match="counts"):
        cm.grassberger_entropy([0, 0])


def test_block_entropies_from_a_sequence():
    found = cm.estimate_block_entropies(tokens_of("even", seed=0), 6)
    np.testing.assert_allclose(found, cm.block_entropies(cm.process("even"), 6), atol=0.02)
    with pytest.raises(InvalidArgument, match="estimator"):
        cm.estimate_block_entropies(np.zeros(10, int), 2, estimator="guess")
