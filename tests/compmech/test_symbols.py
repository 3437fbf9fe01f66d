"""Sequences as people have them: whatever holds them and whatever the symbols are called, the result is the same."""

from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ontogeny import compmech as cm
from ontogeny.compmech import cssr, hankel
from ontogeny.compmech.rank_test import table_rank
from ontogeny.compmech.symbols import read
from ontogeny.core.errors import InvalidArgument

GOLDEN = cm.process("golden_mean").sample(1, 12_000, seed=0)[0].numpy()
ZERO_ONE_RANDOM = cm.process("zero_one_random").sample(1, 3000, seed=1)[0].numpy()
MESS3 = cm.process("mess3").sample(1, 12_000, seed=0)[0].numpy()

names = st.one_of(
    st.lists(st.integers(), min_size=3, max_size=3, unique=True),
    st.lists(st.integers(-9, 9), min_size=3, max_size=3, unique=True),
    st.lists(st.text(max_size=3), min_size=3, max_size=3, unique=True),
)


def renamed(tokens, symbols):
    return [symbols[token] for token in tokens.tolist()]


def permuted(matrices, symbols):
    """Of the symbols' order to that of the sorted alphabet."""
    return matrices[np.argsort([sorted(symbols).index(symbol) for symbol in symbols])]


@given(names, st.sampled_from(["cssr", "spectral"]), st.sampled_from([GOLDEN, ZERO_ONE_RANDOM, MESS3]))
@settings(max_examples=12)
def test_renamed_symbols_permute_the_result_and_change_nothing_else(symbols, method, tokens):
    symbols = symbols[: tokens.max() + 1]
    plain, other = cm.reconstruct(tokens, method), cm.reconstruct(renamed(tokens, symbols), method)
    for name in ("finding", "num_states", "dimension", "method", "level"):
        assert getattr(plain, name) == getattr(other, name)
    np.testing.assert_equal(other.entropy_rate, plain.entropy_rate)
    assert list(other.alphabet) == sorted(symbols)
    assert (plain.machine is None) == (other.machine is None)
    if plain.machine is not None and other.machine is not None:
        expected = permuted(plain.machine.transition_matrices, symbols)
        np.testing.assert_array_equal(other.machine.transition_matrices, expected)
        np.testing.assert_array_equal(other.machine.initial, plain.machine.initial)


@given(names, st.sampled_from([GOLDEN, ZERO_ONE_RANDOM, MESS3]))
@settings(max_examples=10)
def test_renamed_symbols_leave_states_entropies_tables_and_ranks_as_they_are(symbols, tokens):
    other = renamed(tokens, symbols)
    states, growing = cssr.causal_states(tokens, 0.001)
    again, still = cssr.causal_states(other, 0.001)
    np.testing.assert_array_equal(states, again)
    assert growing == still
    np.testing.assert_array_equal(hankel.past_future_counts(tokens), hankel.past_future_counts(other))
    np.testing.assert_array_equal(hankel.predictive_clusters(tokens, 2), hankel.predictive_clusters(other, 2))
    for estimator in ("grassberger", "miller_madow", "plug_in"):
        found = cm.estimate_block_entropies(other, 5, estimator)
        np.testing.assert_array_equal(found, cm.estimate_block_entropies(tokens, 5, estimator))


@given(st.permutations(range(9)), st.permutations(range(9)))
@settings(max_examples=10)
def test_the_rank_of_a_table_does_not_depend_on_the_order_of_rows_and_columns(rows, columns):
    counts = hankel.past_future_counts(MESS3)
    assert table_rank(counts[rows][:, columns]) == table_rank(counts) == 3


def test_what_holds_a_sequence_changes_nothing():
    tokens = GOLDEN[:3000]
    forms = [
        tokens.tolist(),
        tuple(tokens.tolist()),
        deque(tokens.tolist()),
        (int(token) for token in tokens),
        [np.int8(token) for token in tokens],
        list(torch.tensor(tokens)),
        "".join("ab"[token] for token in tokens),
        np.array(["tails", "heads"])[1 - tokens],
        np.array(["T", "H"], dtype=object)[1 - tokens],
        *(tokens.astype(dtype) for dtype in (np.uint8, bool, np.float32, np.float16, object)),
        *(torch.tensor(tokens, dtype=dtype) for dtype in (torch.int32, torch.bool, torch.bfloat16)),
        torch.tensor(tokens, dtype=torch.float64, requires_grad=True),
    ]
    for form in forms:
        np.testing.assert_array_equal(read(form).tokens, read(tokens).tokens)
    assert [read(form).alphabet for form in ([True, False], [2.0, -1.0], "ba")] == [(False, True), (-1, 2), ("a", "b")]
    assert read([2**70, -(2**70), 5]).alphabet == (-(2**70), 5, 2**70)
    assert read(np.array([2**63, 2**63 + 1], np.uint64)).size == 2


def test_many_short_sequences_are_counted_one_by_one():
    ragged = [[0, 1, 1], [1], [], [1, 1]]
    forms = [
        ragged,
        [np.array(part, int) for part in ragged],
        [torch.tensor(part, dtype=torch.int64) for part in ragged],
        np.array([list(part) for part in ragged], dtype=object),
        [tuple("ab"[token] for token in part) for part in ragged],
    ]
    for form in forms:
        data = read(form)
        assert (data.tokens.tolist(), data.left.tolist()) == ([0, 1, 1, 1, 1, 1], [3, 2, 1, 1, 2, 1])
    # Pairs 01, 11 and 11: none of them reaches from one sequence into the next.
    pair = float(cm.entropy([1 / 3, 2 / 3]))
    assert cm.estimate_block_entropies(ragged, 2, "plug_in")[2] == pytest.approx(pair)
    for form in (np.array([[0, 1], [1, 0]]), torch.tensor([[0, 1], [1, 0]]), ((0, 1), (1, 0))):
        assert read(form).lengths.tolist() == [2, 2]


@pytest.mark.parametrize("method", ["cssr", "spectral"])
def test_machines_from_many_sequences(method):
    """Cut where a word of one sequence would run into the next, the even process shows words that it does not have."""
    length = 20 if method == "cssr" else 200
    tokens = cm.process("even").sample(40_000 // length, length, seed=1)
    found = cm.reconstruct(tokens, method)
    assert (found.finding, found.num_states, found.dimension) == (cm.Finding.UNIFILAR, 2, 2)
    assert found.machine is not None
    np.testing.assert_allclose(
        cm.myopic_entropies(found.machine, 5), cm.myopic_entropies(cm.process("even"), 5), atol=0.02
    )
    ragged = [row[: length - number % 3] for number, row in enumerate(tokens)]
    assert cm.reconstruct(ragged, method).finding is cm.Finding.UNIFILAR


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ([0, 0.5, 1], "0.5, which is no symbol"),
        (np.array([0.0, np.nan]), "nan, which is no symbol"),
        (torch.tensor([1.0, torch.inf]), "inf, which is no symbol"),
        ([[0, 1], [None]], "None, which is no symbol"),
        ([[[0], [1]]], r"\[0\], which is no symbol"),
        ([0, 1, [1]], "0 among sequences"),
        ([0, "a"], "'a' beside 0"),
        ([["a"], [True]], "'a' beside True"),
        (np.zeros((2, 2, 2), int), "shape"),
        (np.array(3), "found array"),
        ([1 + 1j], "no symbol"),
        (np.array(["2020-01-01"], "M8[D]"), "datetime64"),
        (np.ma.masked_array([0, 1], [False, True]), "masked"),
        ({"input_ids": [0, 1]}, "input_ids"),
        ({0, 1}, "found {0, 1}"),
        (b"01", "bytes"),
        (None, "None"),
        (7, "found 7"),
        ([], "no symbols"),
        ([[], []], "no symbols"),
        ("", "no symbols"),
        (torch.empty(3, device="meta"), "meta"),
    ],
    ids=str,
)
def test_what_is_no_sequence_of_symbols_is_refused_by_name(sequence, message):
    for call in (cm.reconstruct, lambda given: cm.estimate_block_entropies(given, 1)):
        with pytest.raises(InvalidArgument, match=message) as caught:
            call(sequence)
        assert caught.value.argument == "sequence"


def test_the_advice_for_real_numbers_works():
    x = np.random.default_rng(0).standard_normal(5000)
    with pytest.raises(InvalidArgument, match="digitize") as caught:
        cm.reconstruct(x)
    advice = caught.value.instead.split(" for ")[0]
    assert cm.reconstruct(eval(advice, {"np": np, "x": x})).num_states == 1
