"""Belief regression where the readout is planted, or where there is none."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ontogeny.compmech.belief_regression import regress_beliefs
from ontogeny.core.errors import InvalidArgument
from ontogeny.probes.config import ProbeConfig

RNG = np.random.default_rng(0)
FEW = ProbeConfig(num_permutations=19)
PREFIXES = [prefix for length in range(1, 7) for prefix in itertools.product(range(2), repeat=length)]
PADDED = np.array([[*prefix, *[-1] * (6 - len(prefix))] for prefix in PREFIXES])
SIZE = len(PREFIXES)
BELIEFS = RNG.dirichlet(np.ones(4), size=SIZE)
WEIGHTS = RNG.uniform(0.1, 1, size=SIZE)
PLANTED = BELIEFS @ RNG.standard_normal((4, 12)) + 3.0


def regress(activations=PLANTED, beliefs=BELIEFS, groups=PREFIXES, weights=WEIGHTS, **more):
    return regress_beliefs(activations, beliefs, groups, weights, config=FEW, **more)


@pytest.fixture(scope="module")
def planted():
    return regress()


def test_planted_readout_is_recovered(planted):
    assert planted.r2 == pytest.approx(1, abs=1e-9)
    assert planted.p_value == 1 / 20
    assert planted.effective_contexts == pytest.approx(WEIGHTS.sum() ** 2 / (WEIGHTS**2).sum())
    assert planted.predicted == pytest.approx(BELIEFS, abs=1e-5)
    assert planted.readout(PLANTED) == pytest.approx(BELIEFS, abs=1e-5)


def test_noise_beside_a_planted_readout_leaves_the_share_that_theory_says():
    """With y = x + e in one dimension of x: R² = var(x) / (var(x) + var(e))."""
    x, noise = np.random.default_rng(3).standard_normal((2, 4000, 2)) * np.array([2.0, 1.0])[:, None, None]
    found = regress_beliefs(x, x + noise, np.arange(4000), config=FEW)
    assert found.r2 == pytest.approx(0.8, abs=0.02)


def test_steering_along_the_directions_moves_the_reading_by_as_much(planted):
    change = np.array([0.2, -0.1, 0.05, -0.15])
    moved = planted.readout(PLANTED + change @ planted.readout.directions)
    assert moved - planted.readout(PLANTED) == pytest.approx(np.tile(change, (SIZE, 1)), abs=1e-9)
    assert planted.readout.directions.shape == (4, 12)


def test_repeated_contexts_are_not_on_both_sides_of_a_fold():
    """Every context has a code of its own, in 4 rows: split by rows, any belief is read from it; by prefix, none."""
    codes = np.random.default_rng(2).standard_normal((62, 200))
    again = np.repeat(np.arange(62), 4)
    prefixes = [PREFIXES[i] for i in again]
    grouped = regress(codes[again], BELIEFS[again], prefixes, WEIGHTS[again])
    by_row = regress(codes[again], BELIEFS[again], np.arange(len(again)), WEIGHTS[again])
    assert grouped.num_contexts == 62
    assert grouped.r2 < 0.05
    assert by_row.r2 > 0.9
    assert grouped.r2 == regress(codes, BELIEFS[:62], PREFIXES[:62], WEIGHTS[:62]).r2


def test_groups_say_the_same_as_ids_prefixes_or_padded_tokens(planted):
    padded, ids = regress(groups=PADDED), regress(groups=np.arange(SIZE))
    xr.testing.assert_identical(padded.to_dataset(), planted.to_dataset())
    assert ids.r2 == planted.r2
    assert str(ids).count("not given") == 4
    assert str(planted).count("not given") == 2


@pytest.mark.parametrize(("columns", "warned"), [(SIZE // 2 - 1, False), (SIZE // 2, True)])
def test_as_many_columns_as_half_the_contexts_are_warned_of(columns, warned):
    found = regress(np.random.default_rng(3).standard_normal((SIZE, columns)))
    assert found.too_many_columns is warned
    assert ("Warning" in str(found)) is warned
    assert found.to_dataset().too_many_columns.item() is warned


def test_columns_as_many_as_contexts_fit_anything_in_sample_and_nothing_held_out():
    scores = regress(np.random.default_rng(3).standard_normal((SIZE, SIZE))).scores.sel(
        predictor="activations", target="belief"
    )
    assert scores.in_sample_r2 > 0.999
    assert scores.r2 < 0.1


def test_untrained_network_stands_beside_the_trained_one():
    found = regress(untrained=np.random.default_rng(3).standard_normal((SIZE, 5)))
    scores = found.scores.sel(target="belief")
    assert scores.r2.sel(predictor="untrained") < 0.1
    assert scores["columns"].sel(predictor=["activations", "untrained", "random_projection"]).values.tolist() == [
        12,
        5,
        12,
    ]


def test_law_that_never_varies_hides_the_whole_belief():
    found = regress(next_token_laws=np.full((SIZE, 2), 0.5))
    assert found.scores["dimensions"].sel(target="hidden") == 3
    scores = found.scores.r2.sel(predictor="activations")
    assert np.isnan(scores.sel(target="next_token_law"))
    assert scores.sel(target="hidden") == pytest.approx(1)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-10, 10), seed=st.integers(0, 99))
def test_r2_does_not_depend_on_units_rotation_or_scale_of_weights(scale, shift, seed):
    generator = np.random.default_rng(seed)
    x = PLANTED + generator.standard_normal(PLANTED.shape)
    rotation, _ = np.linalg.qr(generator.standard_normal((12, 12)))
    first = regress(x)
    second = regress(scale * x @ rotation + shift, 2 * BELIEFS - 1, weights=scale * WEIGHTS)
    assert second.r2 == pytest.approx(first.r2, abs=1e-7)
    assert second.shuffled_r2 == pytest.approx(first.shuffled_r2, abs=1e-7)


def test_inputs_are_unchanged_and_equal_seeds_give_equal_results(planted):
    arrays = [PLANTED.astype(np.float32), BELIEFS.copy(), PADDED.copy(), WEIGHTS.copy()]
    for array in arrays:
        array.setflags(write=False)
    first, second = regress(*arrays), regress(*arrays)
    xr.testing.assert_identical(first.to_dataset(), second.to_dataset())
    assert (first.predicted == second.predicted).all()
    assert first.r2 == pytest.approx(planted.r2, abs=1e-6)
    other = regress_beliefs(*arrays, config=ProbeConfig(num_permutations=19, seed=1))
    assert (other.shuffled_r2 != first.shuffled_r2).all()


def with_nan(array):
    return np.where(np.arange(array.size).reshape(array.shape) == 3, np.nan, array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beliefs": BELIEFS[:-1]}, "`beliefs`: expected two dimensions"),
        ({"untrained": PLANTED[:-1]}, "`untrained`"),
        ({"next_token_laws": BELIEFS[:-1]}, "`next_token_laws`"),
        ({"groups": PREFIXES[:-1]}, "`groups`: expected a context for each of 126 rows"),
        ({"groups": np.arange(SIZE) // 20}, "same value wherever the same context"),
        ({"groups": np.arange(SIZE) % 9, "weights": None}, "at least 10 distinct contexts"),
        ({"weights": WEIGHTS[:-1]}, "`weights`: expected one number"),
        ({"weights": -WEIGHTS}, "not negative"),
        ({"weights": np.zeros(SIZE)}, "not all zero"),
        ({"weights": with_nan(WEIGHTS)}, "`weights`: expected finite"),
        ({"activations": with_nan(PLANTED)}, "`activations`: expected finite"),
        ({"beliefs": with_nan(BELIEFS)}, "`beliefs`: expected finite"),
        ({"beliefs": np.full((SIZE, 3), 1 / 3)}, "differ between contexts"),
        ({"activations": PLANTED[:, :0]}, "`activations`: expected two dimensions"),
    ],
)
def test_what_cannot_be_regressed_is_refused(change, message):
    with pytest.raises(InvalidArgument, match=message):
        regress(**change)


def test_different_weights_of_one_prefix_are_refused():
    prefixes = [*PREFIXES, PREFIXES[0]]
    with pytest.raises(InvalidArgument, match="`weights`: expected the same value"):
        regress(np.vstack([PLANTED, PLANTED[:1]]), np.vstack([BELIEFS, BELIEFS[:1]]), prefixes, np.append(WEIGHTS, 2.0))
