"""Numbers that are known from the literature or from a calculation by hand, to the digits printed there."""

import math

import numpy as np
import pytest

from ontogeny import compmech as cm
from ontogeny.core.errors import InvalidArgument

# name: h, C, E, chi, TI, S, beliefs, recurrent ones, depth
COMPLETE = {
    "golden_mean": (2 / 3, 0.918296, 0.251629, 2 / 3, 0.251629, 0.918296, 3, 2, 1),
    "even": (2 / 3, 0.918296, 0.918296, 0, 3.169925, 3.169925, 4, 2, 2),
    "zero_one_random": (1 / 3, 1.584963, 1.584963, 0, 2.836592, 2.836592, 7, 3, 2),
    "rrxor": (2 / 3, 2.251629, 2.251629, 0, 12.743093, 12.743093, 36, 5, 6),
    "random_insertion": (3 / 5, 1.521928, 1.246439, 0.275489, 4.547687, 4.823176, 9, 3, 3),
    "nemo": (3 / 4, 1.5, 0.581704, 0.918296, 1.547250, 4.072564, 6, 3, 3),
}


def digits(value):
    """Equal to the last of six printed digits."""
    return pytest.approx(value, abs=6e-7)


@pytest.mark.parametrize("name", COMPLETE)
def test_measures_of_finite_presentations(name):
    p = cm.process(name)
    h, complexity, excess, hidden, transient, synchronization, *_ = COMPLETE[name]
    found = cm.entropy_rate(p), cm.statistical_complexity(p), cm.excess_entropy(p), cm.crypticity(p)
    assert found == digits((h, complexity, excess, hidden))
    assert all(value.exact for value in found)
    assert cm.transient_information(p) == digits(transient)
    assert cm.synchronization_information(p) == digits(synchronization)


@pytest.mark.parametrize("name", COMPLETE)
def test_size_of_mixed_state_presentations(name):
    m = cm.mixed_states(cm.process(name))
    assert m.complete
    assert (m.num_states, m.num_recurrent, m.depth) == COMPLETE[name][-3:]
    np.testing.assert_allclose(m.matrix.sum(axis=1), 1)
    assert cm.epsilon_machine(cm.process(name)).num_states == m.num_recurrent


def roots(value, order):
    return [value ** (1 / order) * np.exp(2j * np.pi * k / order) for k in range(order)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("golden_mean", [1, -1 / 2]),
        ("even", [1, -1 / 2, 2**-0.5, -(2**-0.5)]),
        ("zero_one_random", roots(1, 3)),
        ("rrxor", [*roots(1, 3), *roots(1 / 2, 3), *roots(1 / 4, 3)]),
        ("random_insertion", [1, 2**-0.5, -(2**-0.5), (-1 + 1j) / 2, (-1 - 1j) / 2]),
    ],
)
def test_spectrum_has_these_and_no_other_nonzero_eigenvalues(name, expected):
    spectrum = cm.mixed_states(cm.process(name)).spectrum()
    values = np.concatenate(spectrum)
    values = values[np.abs(values) > 1e-9]
    distance = np.abs(values[:, None] - np.array(expected))
    assert distance.min(axis=0).max() < 1e-9
    assert distance.min(axis=1).max() < 1e-9
    assert (len(spectrum.recurrent), len(values) >= len(expected)) == (COMPLETE[name][-2], True)


def test_spectrum_tells_how_long_synchronisation_takes():
    golden, even, rrxor = (cm.mixed_states(cm.process(name)) for name in ("golden_mean", "even", "rrxor"))
    assert not golden.spectrum().transient.any()
    assert golden.sync_time(1e-6) == 1
    assert even.sync_time(1e-3) == math.ceil(math.log(1e-3) / math.log(2**-0.5))
    assert rrxor.sync_time(1e-3) == math.ceil(math.log(1e-3) / math.log(2 ** (-1 / 3)))


@pytest.mark.parametrize(
    ("name", "order"), [("coin", 0), ("golden_mean", 1), ("zero_one_random", 3), ("even", math.inf)]
)
def test_markov_order(name, order):
    assert cm.markov_order(cm.process(name)) == order


def test_beliefs_of_rrxor():
    m = cm.mixed_states(cm.process("rrxor"))
    np.testing.assert_array_equal(np.bincount(m.first_depth), [1, 2, 4, 8, 12, 7, 2])
    laws = np.unique(m.laws[:, 0].round(9))
    np.testing.assert_allclose(laws, [0, 0.25, 1 / 3, 0.375, 0.4, 0.5, 0.6, 0.625, 2 / 3, 0.75, 1], atol=1e-9)
    np.testing.assert_allclose(
        cm.mean_belief_entropies(cm.process("rrxor"), 5),
        [2.251629, 1.918296, 1.584963, 1.333333, 1.093285, 0.896241],
        atol=1e-6,
    )


def test_beliefs_of_zero_one_random():
    p = cm.process("zero_one_random")
    beliefs = p.beliefs([[1, 0], [0, 1]])
    np.testing.assert_allclose(beliefs[0], [[1 / 3] * 3, [1 / 3, 0, 2 / 3], [1 / 2, 1 / 2, 0]], atol=1e-12)
    np.testing.assert_allclose(beliefs[1, 1], [1 / 3, 2 / 3, 0], atol=1e-12)
    assert sorted(p.beliefs([[1, 0, 0], [1, 0, 1]])[:, 3].max(axis=1)) == pytest.approx([1, 1])


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_closed_forms_of_golden_mean_and_even(p):
    rate = float(cm.entropy(np.array([p, 1 - p]))) / (1 + p)
    complexity = float(cm.entropy(np.array([1, p]) / (1 + p)))
    for name in ("golden_mean", "even"):
        q = cm.process(name, p=p)
        np.testing.assert_allclose(q.stationary, [1 / (1 + p), p / (1 + p)])
        assert cm.entropy_rate(q) == pytest.approx(rate, abs=1e-12)
        assert cm.statistical_complexity(q) == pytest.approx(complexity, abs=1e-12)
    assert cm.entropy_rate(cm.process("golden_mean", p=0.3)) == digits(0.677916)


SEQUENCES = {
    "even": [0.918296, 0.874185, 0.792481, 0.770426, 0.729574, 0.718546, 0.698120],
    "zero_one_random": [1, 0.918296, 2 / 3, 1 / 3, 1 / 3],
    "rrxor": [
        *(1, 1, 0.918296, 0.906715, 0.863711, 0.833333),
        *(0.810012, 0.778835, 0.760213, 0.744170, 0.726162, 0.715993),
    ],
    "random_insertion": [0.881291, 0.879673, 0.802901, 0.739837, 0.701451, 0.669918],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_myopic_entropies(name):
    np.testing.assert_allclose(cm.myopic_entropies(cm.process(name), len(SEQUENCES[name])), SEQUENCES[name], atol=6e-7)


MESS3 = [  # x, alpha, zeta, h, E, loss in nats over positions 1-10 and 2-10
    (0.05, 0.85, 0.85, 1.14472, 0.5709, 0.83303, 0.80352),
    (0.15, 0.6, 0.55, 1.570934, 0.01812, 1.09014, 1.08920),
    (0.5, 0.6, -0.5, 1.572951, 0.01520, 1.09134, 1.09053),
    (0.2, 0.5, 0.4, 1.583917, 0.00122, 1.09797, 1.09790),
    (0.1, 0.75, 0.7, 1.454963, 0.1688, 1.02020, 1.01149),
    (0.11, 0.79, 0.67, 1.426341, 0.1905, 1.00187, 0.99112),
]


@pytest.mark.parametrize(("x", "alpha", "zeta", "h", "excess", "ten", "nine"), MESS3)
def test_mess3(x, alpha, zeta, h, excess, ten, nine):
    p = cm.process("mess3", x=x, alpha=alpha)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(p.net_matrix)), np.sort([1, zeta, zeta]), atol=1e-7)
    rates = cm.myopic_entropies(p, 10)
    assert rates.mean() * math.log(2) == pytest.approx(ten, abs=6e-6)
    assert rates[1:].mean() * math.log(2) == pytest.approx(nine, abs=6e-6)
    rate = cm.entropy_rate(p)
    assert not rate.exact
    assert rate == pytest.approx(h, abs=6e-6)
    assert rate.low <= rate <= rate.high
    assert rate.high - rate.low < 2e-5
    found = cm.excess_entropy(p)
    assert found == pytest.approx(excess, abs=6e-5)
    assert found.low <= found <= found.high < found.low + 2e-5


def test_loss_of_rrxor_in_nats():
    rates = cm.myopic_entropies(cm.process("rrxor"), 10) * math.log(2)
    assert (rates.mean(), rates[1:].mean()) == pytest.approx((0.59717, 0.58650), abs=6e-6)


def test_infinite_presentations_say_so():
    mess3 = cm.process("mess3")
    partial = cm.mixed_states(mess3, max_depth=8)
    assert partial.num_states == 9841  # every word gives a belief of its own
    assert not partial.complete
    with pytest.raises(InvalidArgument, match="complete graph"):
        partial.spectrum()
    with pytest.raises(InvalidArgument, match="not finite"):
        cm.mixed_states(mess3)
    with pytest.raises(InvalidArgument, match="max_states"):
        cm.mixed_states(mess3, max_depth=9, max_states=5000)
    with pytest.raises(InvalidArgument, match="finitely many causal states"):
        cm.epsilon_machine(mess3)
    assert math.isinf(cm.statistical_complexity(mess3))
    assert math.isinf(cm.crypticity(mess3))


@pytest.mark.parametrize(("name", "h", "complexity"), [("sns", 0.677867, 2.711469), ("nond", 0.686192, 2.480437)])
def test_infinitely_many_causal_states_of_finite_entropy(name, h, complexity):
    p = cm.process(name)
    assert cm.myopic_entropies(p, 16)[-1] == digits(h)
    rate = cm.entropy_rate(p)
    assert rate == digits(h)
    assert rate.low <= rate <= rate.high < rate.low + 1e-6
    with pytest.raises(InvalidArgument, match="finitely many causal states"):
        cm.epsilon_machine(p)
    found = cm.statistical_complexity(p)
    assert found == pytest.approx(complexity, abs=1e-6)
    assert not found.exact
    assert math.isinf(found.high)


def test_complexity_of_the_simple_nonunifilar_source_by_its_renewal_law():
    # With n zeros since the last 1 the state has probability (n + 1) 2⁻ⁿ/4 at p = q = 1/2: its entropy is finite.
    n = np.arange(200)
    assert cm.statistical_complexity(cm.process("sns")) == pytest.approx(
        float(cm.entropy((n + 1) * 0.5**n / 4)), abs=1e-7
    )


GENERALISED = [
    ("tom_quantum", {"alpha": 1.0, "beta": 3.0}, {1: 2, 2: 1.952191, 3: 1.924735, 6: 1.885340}),
    ("tom_quantum", {"alpha": 1.0, "beta": 4.3}, {1: 2, 2: 1.986239, 3: 1.975930, 6: 1.955954}),
    ("tom_quantum", {"alpha": 1.0, "beta": 51**0.5}, {1: 2, 2: 1.997945, 3: 1.996108, 6: 1.991567}),
    ("post_quantum", {"log_alpha": 1.0, "beta": 0.5}, {1: 1.049317, 2: 1.027328, 3: 1.019693, 7: 1.009127}),
    ("fanizza", {"alpha": 2000.0, "lam": 0.49}, {1: 0.998950, 2: 0.975859, 3: 0.975138, 14: 0.930208}),
]


@pytest.mark.parametrize(("name", "parameters", "expected"), GENERALISED)
def test_generalised_processes(name, parameters, expected):
    p = cm.process(name, **parameters)
    rates = cm.myopic_entropies(p, max(expected))
    assert [rates[length - 1] for length in expected] == pytest.approx(list(expected.values()), abs=6e-7)


def test_presentations_of_generalised_processes():
    bloch = cm.process("tom_quantum", alpha=1.0, beta=3.0)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(bloch.net_matrix)), [0.1, 0.1, 1], atol=1e-12)
    np.testing.assert_allclose([bloch.stationary, bloch.final], [[1, 0, 0]] * 2, atol=1e-12)
    np.testing.assert_allclose(cm.process("fanizza").final, 1)
    assert [cm.minimal_dimension(cm.process(n)) for n in ("tom_quantum", "golden_mean", "rrxor")] == [3, 2, 5]
    with pytest.raises(InvalidArgument, match="an HMM"):
        cm.mean_belief_entropies(bloch, 3)


def test_reverse_of_the_random_insertion_process():
    p = cm.reverse(cm.process("random_insertion"))
    assert cm.epsilon_machine(p).num_states == 4
    assert cm.statistical_complexity(p) == digits(1.846439)
    assert cm.excess_entropy(p) == digits(1.246439)
