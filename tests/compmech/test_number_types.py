"""Matrices, laws and beliefs in the number types that people have, each to its own precision."""

import numpy as np
import pytest
import torch

from ontogeny import compmech as cm
from ontogeny.core.errors import InvalidArgument

MESS3 = cm.process("mess3").transition_matrices
BLOCH = cm.process("tom_quantum")
# How far a number may be off: four roundings of its type.
NUMPY = [(np.float16, 4e-3), (np.float32, 5e-7), (np.float64, 0), (np.longdouble, 0)]
TORCH = [(torch.bfloat16, 4e-2), (torch.float16, 4e-3), (torch.float32, 5e-7), (torch.float64, 0)]
IN_ALL_TYPES = [
    *((lambda array, dtype=dtype: np.asarray(array).astype(dtype), error) for dtype, error in NUMPY),
    *((lambda array, dtype=dtype: torch.tensor(array, dtype=dtype), error) for dtype, error in TORCH),
    (lambda array: list(torch.tensor(array, dtype=torch.float32)), 5e-7),
    (lambda array: [list(part) for part in array.astype(np.float32)], 5e-7),
    (lambda array: array.tolist(), 0),
    (lambda array: torch.tensor(array, requires_grad=True), 0),
    (lambda array: torch.tensor(array).to_sparse(), 0),
]


@pytest.mark.parametrize(("convert", "error"), IN_ALL_TYPES)
def test_matrices_are_taken_to_the_precision_of_their_type(convert, error):
    given = cm.HMM(convert(MESS3))
    assert given.transition_matrices.dtype == np.float64
    np.testing.assert_allclose(given.net_matrix.sum(axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(given.transition_matrices, MESS3, atol=error)
    assert abs(cm.entropy_rate(given) - cm.entropy_rate(cm.HMM(MESS3))) <= 10 * error + 1e-12
    signed = cm.GHMM(convert(BLOCH.transition_matrices))
    np.testing.assert_allclose(signed.transition_matrices, BLOCH.transition_matrices, atol=error)
    assert cm.minimal_dimension(signed) == 3


@pytest.mark.parametrize("name", ["even", "rrxor", "nemo", "tom_quantum", "post_quantum", "quantum_rrxor"])
def test_all_of_a_process_in_single_precision_is_still_stationary(name):
    known = cm.process(name, p=0.3) if name in ("even", "nemo") else cm.process(name)
    single = [a.astype(np.float32) for a in (known.transition_matrices, known.initial, known.final)]
    given = cm.HMM(*single[:2]) if isinstance(known, cm.HMM) else cm.GHMM(*single)
    assert given.is_stationary
    np.testing.assert_allclose(cm.block_entropies(given, 4), cm.block_entropies(known, 4), atol=1e-5)


def test_laws_beliefs_and_weights_in_single_precision():
    third = np.full(3, 1 / 3, np.float32)
    assert cm.entropy(third) == pytest.approx(np.log2(3))
    assert cm.entropy(torch.softmax(torch.randn(4, 50, generator=torch.Generator().manual_seed(0)), 1)).shape == (4,)
    np.testing.assert_allclose(cm.union([cm.HMM(MESS3)] * 3, third).initial.sum(), 1, atol=1e-14)
    belief = torch.tensor(cm.HMM(MESS3).initial, dtype=torch.bfloat16)
    assert cm.next_token_law(cm.HMM(MESS3), belief).dtype == np.float64
    words = [[0, 1], [2, 2]]
    expected = cm.HMM(MESS3).beliefs(words)
    for form in (np.array(words, float), torch.tensor(words, dtype=torch.bfloat16), list(torch.tensor(words))):
        np.testing.assert_array_equal(cm.HMM(MESS3).beliefs(form), expected)


def test_integers_are_matrices_of_processes_without_chance():
    swap = cm.HMM([[[0, 1], [0, 0]], [[0, 0], [1, 0]]])
    assert cm.entropy_rate(swap) == 0
    assert cm.entropy_rate(cm.HMM(torch.tensor([[[0, 1], [0, 0]], [[0, 0], [1, 0]]]))) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_rows_that_do_not_sum_to_one_are_named_and_the_advice_mends_them(dtype):
    weights = np.array([[[1, 0], [2, 1]], [[0, 0], [1, 0]]], dtype)
    with pytest.raises(InvalidArgument, match=r"a sum of 4\.0 in row 1, of what state 1 does") as caught:
        cm.HMM(weights)
    mended = eval(caught.value.instead.split(" if ")[0], {"T": weights})
    with pytest.raises(InvalidArgument, match="row 1"):
        cm.HMM(mended * np.array([[[1], [1.01]]]))
    np.testing.assert_allclose(cm.HMM(mended).net_matrix, [[1, 0], [0.75, 0.25]], atol=1e-7)


def test_what_single_precision_does_not_explain_is_refused():
    """Also what was single once, and is double now: nobody can tell that from a mistake, and the advice mends it."""
    with pytest.raises(InvalidArgument, match="sum to 1"):
        cm.HMM((MESS3 * (1 + 1e-5)).astype(np.float32))
    widened = MESS3.astype(np.float32).astype(np.float64)
    with pytest.raises(InvalidArgument, match="sum to 1") as caught:
        cm.HMM(widened)
    cm.HMM(eval(caught.value.instead.split(" if ")[0], {"T": widened}))
    with pytest.raises(InvalidArgument, match=r"largest modulus 1\.01") as caught:
        cm.GHMM(1.01 * BLOCH.transition_matrices)
    cm.GHMM(eval(caught.value.instead, {"T": 1.01 * BLOCH.transition_matrices, "np": np}))


@pytest.mark.parametrize("given", [MESS3.astype(complex), MESS3.astype(str), [*MESS3.tolist()[:2], [[0.1]]], None, "T"])
def test_what_are_no_real_numbers_is_refused(given):
    for kind in (cm.HMM, cm.GHMM):
        with pytest.raises(InvalidArgument) as caught:
            kind(given)
        assert caught.value.argument == "transition_matrices"
