"""Wrong use is refused with the argument's name, and nothing is renormalised in silence."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from ontogeny import compmech as cm
from ontogeny.core.errors import InvalidArgument

EVEN = cm.process("even").transition_matrices


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (EVEN[0], "shape"),
        (EVEN[:, :, :1], "shape"),
        (2 * EVEN, "sum to 1"),
        (EVEN * np.array([[[1], [1 + 1e-6]]]), "sum to 1"),
        (np.stack([EVEN[0] - 0.1, EVEN[1] + 0.1]), "at least 0"),
        (np.where(EVEN == 1, np.nan, EVEN), "finite"),
    ],
    ids=["2-D", "not square", "twice", "a little off", "negative", "NaN"],
)
def test_matrices_that_are_no_hmm(matrices, message):
    with pytest.raises(InvalidArgument, match=message) as caught:
        cm.HMM(matrices)
    assert caught.value.argument == "transition_matrices"


def test_matrices_that_are_no_generalised_process():
    bloch = cm.process("tom_quantum").transition_matrices
    with pytest.raises(InvalidArgument, match="largest eigenvalue 1"):
        cm.GHMM(1.01 * bloch)
    with pytest.raises(InvalidArgument, match="probability at least 0"):
        cm.GHMM(np.stack([EVEN[0] - 0.4 * np.eye(2), EVEN[1] + 0.4 * np.eye(2)]) @ np.diag([1, 1.0]))


def test_a_reducible_process_needs_weights():
    p = cm.union([cm.process("golden_mean"), cm.process("even")], [0.5, 0.5])
    with pytest.raises(InvalidArgument, match="2 recurrent classes") as caught:
        cm.HMM(p.transition_matrices)
    assert "cm.union" in str(caught.value)
    np.testing.assert_allclose(cm.HMM(p.transition_matrices, p.initial).stationary, p.stationary)
    for weights in ([0.5, 0.6], [1.0], [1.5, -0.5]):
        with pytest.raises(InvalidArgument, match="weights"):
            cm.union([cm.process("golden_mean"), cm.process("even")], weights)


def test_impossible_words():
    even = cm.process("even")
    words = np.array([[0, 1, 1, 0], [0, 1, 0, 1]])
    np.testing.assert_allclose(cm.word_probabilities(even, words), [1 / 12, 0], atol=1e-12)
    assert cm.log2_word_probabilities(even, words)[1] == -np.inf
    with pytest.raises(InvalidArgument, match="sequence 1, position 2"):
        even.beliefs(words)


@pytest.mark.parametrize("tokens", [[[0, 2]], [[-1, 0]], [[0.5, 1.0]], [0, 1]])
def test_unknown_tokens(tokens):
    with pytest.raises(InvalidArgument, match="tokens"):
        cm.process("even").beliefs(tokens)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("messy", {}),
        ("mess3", {"y": 0.1}),
        ("mess3", {"x": 0.6}),
        ("mess3", {"alpha": 1.5}),
        ("even", {"p": -0.1}),
        ("mr_name", {"p": 0.7, "q": 0.7}),
        ("matching_parens", {"open_probs": [0.5, 0.5]}),
        ("golden_mean_rk", {"r": 0}),
        ("post_quantum", {"log_alpha": -1.0}),
        ("fanizza", {"lam": 0.8}),
        ("tom_quantum", {"beta": 0.0}),
    ],
)
def test_named_processes_check_their_parameters(name, parameters):
    with pytest.raises(InvalidArgument):
        cm.process(name, **parameters)


def test_measures_of_a_process_that_is_not_stationary():
    p = cm.with_bos(cm.process("even"))
    for measure in (cm.entropy_rate, cm.excess_entropy, cm.statistical_complexity, cm.epsilon_machine, cm.reverse):
        with pytest.raises(InvalidArgument, match="stationary"):
            measure(p)


def test_other_arguments():
    p = cm.process("even")
    with pytest.raises(InvalidArgument, match="length"):
        p.sample(3, -1)
    with pytest.raises(InvalidArgument, match="max_states"):
        cm.myopic_entropies(cm.process("mess3"), 12, max_states=1000)
    with pytest.raises(InvalidArgument, match="method"):
        cm.reconstruct(np.zeros(2000, int), method="magic")
    with pytest.raises(InvalidArgument, match="shape"):
        cm.next_token_law(p, np.ones(3))


def advice_of(call, *arguments):
    with pytest.raises((InvalidArgument, TypeCheckError)) as caught:
        call(*arguments)
    if isinstance(caught.value, TypeCheckError):
        pytest.skip("under `make test-all` annotations refuse before")
    return caught.value.instead


@pytest.mark.parametrize(
    "measure", [cm.entropy_rate, cm.mixed_states, cm.reverse, cm.minimal_dimension, cm.with_bos, cm.crypticity]
)
def test_bare_matrices_are_told_how_to_become_a_process(measure):
    known = {"cm": cm, "T": cm.process("even").transition_matrices}
    of_matrices, named = advice_of(measure, known["T"]).split(" for labelled matrices T of shape ")
    measure(eval(of_matrices, known))
    measure(eval(named.split(", or ")[1].removesuffix("."), known))


def test_advice_is_code_that_works():
    even, mess3, rrxor = cm.process("even"), cm.process("mess3"), cm.process("rrxor")
    known = {"cm": cm, "np": np, "tokens": [[0, 1, 1, 0], [0, 1, 0, 1]], "counts": [3, 1]}
    possible = eval(advice_of(even.beliefs, known["tokens"]).split(", the")[0], known | {"process": even})
    assert possible.tolist() == [[0, 1, 1, 0]]
    even.beliefs(eval(advice_of(even.beliefs, [0, 1, 1]).split(" for")[0], {"tokens": [0, 1, 1]}))
    eval(advice_of(cm.epsilon_machine, mess3).split(" for")[0], known | {"process": mess3})
    for arguments in ((mess3,), (mess3, 9, 5000)):
        eval(advice_of(cm.mixed_states, *arguments).split(", or")[0], known | {"process": mess3})
    longest = int(advice_of(cm.myopic_entropies, rrxor, 30, 20).split(",")[0].removeprefix("length="))
    assert len(cm.myopic_entropies(rrxor, longest, 20)) == longest
    law = eval(advice_of(cm.entropy, [3, 1]).split(", if")[0], known)
    assert law == pytest.approx(float(cm.entropy([0.75, 0.25])))
    even.sample(1, 1, **eval(f"dict({advice_of(even.sample, 1, 1, 0, 'nowhere')})"))


def test_settings_of_a_regression_are_refused_by_name():
    for name, value in (("num_folds", 2), ("num_permutations", 1.5), ("seed", "a"), ("folds", 5)):
        with pytest.raises(InvalidArgument) as caught:
            cm.BeliefRegressionConfig(**{name: value})
        assert caught.value.argument == name
