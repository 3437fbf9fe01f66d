"""The controls of a belief regression on mess3 and RRXOR, where what they can tell is known."""

from typing import NamedTuple

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from ontogeny.compmech.belief_distances import distance_comparison
from ontogeny.compmech.belief_regression import hidden_directions, regress_beliefs
from ontogeny.core.errors import InvalidArgument
from ontogeny.probes.config import ProbeConfig

FEW = ProbeConfig(num_permutations=19)


class Listed(NamedTuple):
    """All contexts of 1 to so many tokens, with their exact probabilities, beliefs and next-token laws."""

    prefixes: list[tuple[int, ...]]
    weights: np.ndarray
    beliefs: np.ndarray
    laws: np.ndarray


def mess3(x, a):
    hidden = np.full((3, 3), x) + (1 - 3 * x) * np.eye(3)
    emission = np.full((3, 3), (1 - a) / 2) + (a - (1 - a) / 2) * np.eye(3)
    return np.stack([hidden * emission[:, z] for z in range(3)])


def rrxor():
    T = np.zeros((2, 5, 5))  # S, 0, 1, T, F
    for token, start, end in [(0, 0, 1), (1, 0, 2), (0, 1, 4), (1, 1, 3), (0, 2, 3), (1, 2, 4)]:
        T[token, start, end] = 0.5
    T[1, 3, 0] = T[0, 4, 0] = 1
    return T


def listed(T, stationary, length):
    level, found = [((), 1.0, np.asarray(stationary))], []
    for _ in range(length):
        longer = [
            ((*prefix, token), weight, belief @ T[token]) for prefix, weight, belief in level for token in range(len(T))
        ]
        level = [(p, w * b.sum(), b / b.sum()) for p, w, b in longer if b.sum() > 1e-12]
        found += level
    prefixes, weights, beliefs = zip(*found, strict=True)
    beliefs = np.stack(beliefs)
    return Listed(list(prefixes), np.array(weights), beliefs, beliefs @ T.sum(axis=2).T)


CASES = {
    "mess3(.05, .85)": listed(mess3(0.05, 0.85), np.ones(3) / 3, 8),
    "mess3(.15, .6)": listed(mess3(0.15, 0.6), np.ones(3) / 3, 8),
    "RRXOR": listed(rrxor(), np.array([2, 1, 1, 1, 1]) / 6, 10),
}
RRXOR = CASES["RRXOR"]


def regress(case, activations, weights=None, config=FEW, **more):
    weights = case.weights if weights is None else weights
    return regress_beliefs(activations, case.beliefs, case.prefixes, weights, next_token_laws=case.laws, config=config)


@pytest.mark.parametrize(
    ("name", "law", "endings"),
    [
        ("mess3(.05, .85)", 1.000, [0.834, 0.949, 0.991]),
        ("mess3(.15, .6)", 1.000, [0.804, 0.961, 0.993]),
        ("RRXOR", 0.246, [0.149, 0.283, 0.462]),
    ],
)
def test_rivals_have_their_known_r2(name, law, endings):
    """Least squares over all contexts by probability, of 8 tokens at most for mess3 and of 10 for RRXOR."""
    scores = regress(CASES[name], CASES[name].laws).scores.sel(target="belief")
    assert scores.in_sample_r2.sel(predictor="next_token_law").item() == pytest.approx(law, abs=5e-4)
    known = scores.sel(predictor=["last_1", "last_2", "last_3"])
    assert known.in_sample_r2.values == pytest.approx(endings, abs=5e-4)
    assert known.columns.values.tolist()[0] == CASES[name].laws.shape[1]
    assert known.r2.values == pytest.approx(endings, abs=0.03)
    assert (known.r2 < known.in_sample_r2).all()


def test_law_of_rrxor_has_its_known_r2_when_contexts_weigh_alike():
    scores = regress(RRXOR, RRXOR.laws, np.ones(len(RRXOR.weights))).scores.in_sample_r2
    assert scores.sel(predictor="next_token_law", target="belief").item() == pytest.approx(0.291, abs=5e-4)


def test_law_determines_the_belief_of_mess3_and_hides_three_dimensions_of_rrxor():
    case = CASES["mess3(.05, .85)"]
    assert hidden_directions(case.beliefs, case.laws, case.weights).shape == (3, 0)
    found = regress(case, case.laws)
    assert any("linear in the next token law" in remark for remark in found.remarks)
    assert found.scores["dimensions"].values.tolist() == [3, 3, 0]

    hidden = hidden_directions(RRXOR.beliefs, RRXOR.laws, RRXOR.weights)
    assert hidden.shape == (5, 3)
    assert hidden.T @ hidden == pytest.approx(np.eye(3))
    seen = rrxor().sum(axis=2) @ hidden
    assert seen == pytest.approx(np.zeros((2, 3)), abs=1e-12)
    assert hidden.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


def test_activations_that_hold_the_law_alone_miss_what_it_hides():
    noise = np.random.default_rng(0).standard_normal((len(RRXOR.laws), 6))
    r2 = regress(RRXOR, np.hstack([RRXOR.laws, 0.01 * noise])).scores.r2.sel(predictor="activations")
    assert r2.sel(target="next_token_law") > 0.99
    assert r2.sel(target="hidden") < 0.1
    full = regress(RRXOR, np.hstack([RRXOR.beliefs, noise])).scores.r2.sel(predictor="activations")
    assert (full > 0.99).all()


def test_last_tokens_overtake_activations_that_hold_the_last_three():
    table = {ending: i for i, ending in enumerate({prefix[-3:] for prefix in RRXOR.prefixes})}
    activations = np.eye(len(table))[[table[prefix[-3:]] for prefix in RRXOR.prefixes]]
    found = regress(RRXOR, activations)
    assert found.overtaken_by in (3, 4)  # the ridge and the table differ where endings are rare
    assert "Overtaken by the last" in str(found)
    beliefs = regress(RRXOR, RRXOR.beliefs)
    assert beliefs.overtaken_by is None
    assert "Not overtaken by the last 8 tokens or fewer." in beliefs.remarks


def test_longest_endings_do_not_tell_a_context_from_itself():
    """Held out, the table of all ten tokens knows no more than that of nine."""
    found = regress(RRXOR, RRXOR.laws, config=ProbeConfig(num_permutations=19, max_last_tokens=20))
    scores = found.scores.sel(predictor="last_10", target="belief")
    assert found.scores.sizes["predictor"] == 4 + 10
    assert scores.in_sample_r2.item() == pytest.approx(1)
    assert scores.r2.item() == pytest.approx(found.scores.r2.sel(predictor="last_9", target="belief").item())


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [True, False])
def test_p_value_of_noise_is_uniform_and_its_r2_is_not_above_zero(weighted):
    case = listed(rrxor(), np.array([2, 1, 1, 1, 1]) / 6, 6)
    found = []
    for seed in range(40):
        noise = np.random.default_rng(seed).standard_normal((len(case.weights), 5))
        config = ProbeConfig(num_permutations=39, seed=seed)
        found.append(
            regress_beliefs(noise, case.beliefs, case.prefixes, case.weights if weighted else None, config=config)
        )
    p_values = np.array([result.p_value for result in found])
    assert p_values.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * 40))
    assert (p_values <= 0.1).mean() < 0.1 + 4 * np.sqrt(0.09 / 40)
    r2 = np.array([result.r2 for result in found])
    assert r2.mean() < 0
    assert r2.max() < 0.1


def test_shuffled_beliefs_are_not_read_from_activations_that_hold_the_belief():
    found = regress(RRXOR, RRXOR.beliefs, config=ProbeConfig())
    assert found.p_value == 1 / 200
    assert np.abs(found.shuffled_r2).max() < 0.05
    assert "p = 0.005 (199 shuffles)" in str(found)


def test_distances_of_rrxor_beliefs_have_the_published_r2_with_those_of_laws():
    found = distance_comparison(RRXOR.beliefs, RRXOR.beliefs, RRXOR.laws)
    assert found.beliefs_r2 == pytest.approx(1)
    assert found.laws_r2 == pytest.approx(0.31, abs=5e-3)
    assert found.num_contexts == 1046
    naive = np.corrcoef(pdist(RRXOR.beliefs), pdist(RRXOR.laws))[0, 1] ** 2
    assert found.laws_r2 == pytest.approx(naive)
    swapped = distance_comparison(RRXOR.laws, RRXOR.beliefs, RRXOR.laws)
    assert (swapped.beliefs_r2, swapped.laws_r2) == pytest.approx((naive, 1))


def test_weights_of_contexts_count_like_repetitions_in_distances():
    predicted, beliefs, laws = np.random.default_rng(0).standard_normal((3, 20, 4))
    weights = np.r_[np.ones(10), np.zeros(10)]
    assert distance_comparison(predicted, beliefs, laws, weights) == distance_comparison(
        predicted[:10], beliefs[:10], laws[:10]
    )


def test_sample_of_many_contexts_has_nearly_the_r2_of_all():
    case = CASES["mess3(.05, .85)"]
    noisy = case.beliefs + 0.2 * np.random.default_rng(0).standard_normal(case.beliefs.shape)
    first, second = (distance_comparison(noisy, case.beliefs, case.laws, case.weights, seed=seed) for seed in (0, 1))
    assert first != second
    assert first.num_contexts < 2000
    assert first.beliefs_r2 == pytest.approx(second.beliefs_r2, abs=0.04)
    assert first.laws_r2 == pytest.approx(first.beliefs_r2, abs=1e-9)  # of mess3 distances are in proportion
    assert first == distance_comparison(noisy, case.beliefs, case.laws, case.weights, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beliefs": RRXOR.beliefs[:-1]}, "1046 rows"),
        ({"predicted": np.where(np.eye(1046, 5) > 0, np.nan, 0.5)}, "finite"),
        ({"weights": np.full(1046, -1.0)}, "negative"),
        ({"weights": np.eye(1, 1046)[0]}, "three or more"),
    ],
)
def test_distances_that_cannot_be_compared_are_refused(change, message):
    arguments = {"predicted": RRXOR.beliefs, "beliefs": RRXOR.beliefs, "next_token_laws": RRXOR.laws} | change
    with pytest.raises(InvalidArgument, match=message):
        distance_comparison(**arguments)


def test_laws_that_are_not_linear_in_the_beliefs_are_refused():
    with pytest.raises(InvalidArgument, match="linear"):
        regress_beliefs(RRXOR.beliefs, RRXOR.beliefs, RRXOR.prefixes, next_token_laws=RRXOR.laws**2)
