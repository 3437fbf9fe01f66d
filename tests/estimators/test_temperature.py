"""Ladders of exact draws at normal crossings, and every reason to refuse one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.estimators.reweighting import reweight
from ontogeny.estimators.temperature import Ladder, temperature_ladder

Maker = Callable[..., xr.DataTree]
NBETA = np.geomspace(1e2, 1e8, 12)


def rungs(make_tree: Maker, known: Any, nbeta: np.ndarray = NBETA, draws: int = 15000) -> list[xr.DataTree]:
    """Independent draws, of relative error (1.5 / √draws) / 2 a rung at λ = 1/2."""
    random = np.random.default_rng(1)
    return [
        make_tree(float(value), known.sample(value, (4, draws), random), seed=rung) for rung, value in enumerate(nbeta)
    ]


@pytest.fixture(scope="module")
def ladders(make_tree: Maker, crossing: Any) -> dict[tuple[int, ...], Ladder]:
    return {exponents: temperature_ladder(rungs(make_tree, crossing(*exponents))) for exponents in [(1, 1), (1, 1, 1)]}


@pytest.mark.parametrize("exponents", [(1, 1), (1, 1, 1)])
def test_the_limit_of_a_normal_crossing(
    ladders: dict[tuple[int, ...], Ladder], crossing: Any, exponents: tuple[int, ...]
) -> None:
    ladder = ladders[exponents]
    assert (ladder.outcome, ladder.advice) == (og.Outcome.CONVERGED, "")
    coefficient = ladder.learning_coefficient
    assert abs(coefficient.value - 0.5) < 0.025
    low, high = coefficient.interval
    assert low < 0.5 < high
    assert coefficient.error < 0.025
    assert ladder.multiplicity == len(exponents)
    assert f"multiplicity {len(exponents)} [12 rungs, nβ 100 to 1e+08]" in str(ladder)


def test_the_curve_is_that_of_every_rung_and_its_hotter_neighbour(
    ladders: dict[tuple[int, ...], Ladder], crossing: Any
) -> None:
    curve = ladders[1, 1].curve
    exact = np.array([crossing(1, 1).llc(nbeta) for nbeta in NBETA])
    assert (curve["nbeta"].values == NBETA).all()
    assert (np.abs(curve["value"] - exact) < 4 * curve["mcse"]).all()
    assert (curve["mcse"] < 0.012 * curve["value"]).all()
    assert np.isnan(curve["reweighted"][0])
    assert (np.abs(curve["reweighted"] - exact)[1:] < 4 * curve["reweighted_mcse"][1:]).all()
    assert (curve["reweighted_mcse"][1:] < 0.03 * curve["value"][1:]).all()
    assert ((curve["overlap"][1:] > 0.3) & (curve["overlap"][1:] < 0.9)).all()
    np.testing.assert_allclose(curve["fitted"], exact, rtol=0.01)
    assert float(curve["probability"].sel(multiplicity=2)) > 0.8
    assert curve["used"].all()


def test_the_order_of_the_rungs_does_not_matter(make_tree: Maker, crossing: Any) -> None:
    draws = rungs(make_tree, crossing(1, 1), draws=500)
    one, other = temperature_ladder(draws), temperature_ladder(draws[::-1])
    xr.testing.assert_identical(one.curve, other.curve)
    assert one.learning_coefficient == other.learning_coefficient


def gamma(make_tree: Maker, coefficient: float, nbeta: float, seed: int = 0, draws: int = 50_000) -> xr.DataTree:
    """nβ K of law Gamma(λ): one pole alone."""
    random = np.random.default_rng([seed, int(coefficient)])
    return make_tree(nbeta, random.gamma(coefficient, size=(4, draws)) / nbeta, seed=seed)


@pytest.mark.parametrize(("coefficient", "ratio"), [(0.5, 10.0), (0.5, 2.0), (3.0, 2.0), (10.0, 1.5)])
def test_overlap_and_value_of_reweighting(make_tree: Maker, coefficient: float, ratio: float) -> None:
    found = reweight(gamma(make_tree, coefficient, 100.0), 100.0 * ratio)
    assert found.overlap == pytest.approx(((2 * ratio - 1) / ratio**2) ** coefficient, rel=0.05)
    assert abs(found.value - coefficient) < 4 * found.mcse
    assert found.mcse < 0.02 * coefficient


def test_reweighting_says_its_error(make_tree: Maker) -> None:
    found = [reweight(gamma(make_tree, 1.0, 1.0, seed, draws=200), 3.0) for seed in range(60)]
    deviations = np.array([(item.value - 1) / item.mcse for item in found])
    assert 0.75 < deviations.std() < 1.3


def test_minibatch_noise_is_kept_out_of_reweighting(make_tree: Maker) -> None:
    """Noise as large as the losses: from two minibatches the value is right; from one passed off as all it is not."""
    random = np.random.default_rng(0)
    losses = random.gamma(1.0, size=(4, 50_000)) / 100
    one, other = (losses + random.normal(0, 0.01, losses.shape) for _ in range(2))
    twice = reweight(make_tree(100.0, one, again=other, num_samples=1000), 200.0)
    assert abs(twice.value - 1) < 4 * twice.mcse
    assert twice.mcse < 0.03
    assert np.isnan(reweight(make_tree(100.0, one, num_samples=1000), 200.0).value)
    noisy = reweight(make_tree(100.0, one), 200.0)
    assert abs(noisy.value - 1) > 20 * noisy.mcse


def regular(make_tree: Maker, coefficient: float, nbeta: np.ndarray, draws: int = 2000) -> list[xr.DataTree]:
    return [gamma(make_tree, coefficient, float(value), seed, draws) for seed, value in enumerate(nbeta)]


def changed(tree: xr.DataTree, change: Callable[[np.ndarray], np.ndarray]) -> xr.DataTree:
    """The draws with other losses."""
    copy = tree.copy(deep=True)
    losses = change(np.asarray(tree["posterior/loss_difference"]))
    copy["posterior/loss_difference"] = xr.DataArray(losses, dims=("chain", "draw"))
    return copy


def apart(losses: np.ndarray) -> np.ndarray:
    return losses + 10 * np.arange(len(losses))[:, None]


def assert_refused(ladder: Ladder, *reason: str) -> None:
    assert ladder.outcome is not og.Outcome.CONVERGED
    assert ladder.multiplicity is None
    assert "undecided" in str(ladder)
    for part in reason:
        assert part in ladder.advice


def test_too_few_rungs(make_tree: Maker) -> None:
    draws = regular(make_tree, 0.5, np.geomspace(1e2, 1e6, 5))
    assert_refused(temperature_ladder(draws), "5 of 5 rungs converged", "at least 6")


def test_rungs_that_did_not_converge_are_left_out(make_tree: Maker) -> None:
    draws = regular(make_tree, 0.5, np.geomspace(1e2, 1e8, 8))
    draws[3] = changed(draws[3], apart)
    ladder = temperature_ladder(draws)
    assert list(ladder.curve["used"].values) == [True] * 3 + [False] + [True] * 4
    assert ladder.outcome is og.Outcome.CONVERGED
    assert abs(ladder.learning_coefficient.value - 0.5) < 0.025
    assert np.isnan(ladder.curve["fitted"][3])
    for rung in (1, 5):
        draws[rung] = changed(draws[rung], apart)
    assert_refused(temperature_ladder(draws), "5 of 8 rungs converged (not_converged)")


def test_neighbours_too_far_apart(make_tree: Maker) -> None:
    draws = regular(make_tree, 10.0, np.geomspace(1e2, 1e8, 8))
    assert_refused(temperature_ladder(draws), "overlap too little", "rungs between", "min_overlap=0")
    ladder = temperature_ladder(draws, min_overlap=0.0)
    assert ladder.outcome is og.Outcome.CONVERGED
    assert abs(ladder.learning_coefficient.value - 10) < 0.3
    assert ladder.multiplicity in (1, None)


def test_neighbours_that_disagree(make_tree: Maker) -> None:
    """A rung whose chains were at another temperature than they say."""
    draws = regular(make_tree, 0.5, np.geomspace(1e2, 1e8, 12))
    draws[7] = changed(draws[7], lambda losses: 1.5 * losses)
    assert_refused(temperature_ladder(draws), "give", "raise num_warmup")


def test_what_steps_add_is_taken_off_what_is_read_at_the_next_rung_too(make_tree: Maker) -> None:
    """Chains a quarter too hot, of which they know."""
    nbeta = np.geomspace(1e2, 1e4, 8)
    draws = [
        make_tree(float(value), 1.25 * np.asarray(cold["posterior/loss_difference"]), seed=rung, inflation=0.125)
        for rung, (value, cold) in enumerate(zip(nbeta, regular(make_tree, 0.5, nbeta, 20_000), strict=True))
    ]
    curve = temperature_ladder(draws).curve
    assert (np.abs(curve["value"] - 0.5) < 0.02).all()
    assert (np.abs(curve["reweighted"] - 0.5)[1:] < 0.02).all()


def test_minibatches_cannot_check_each_other(make_tree: Maker) -> None:
    draws = [
        make_tree(float(value), np.random.default_rng(rung).gamma(0.5, size=(4, 2000)) / value, seed=rung, batch_size=4)
        for rung, value in enumerate(np.geomspace(1e2, 1e8, 8))
    ]
    assert_refused(temperature_ladder(draws), "single minibatches", "observable")
    assert temperature_ladder(draws, min_overlap=0.0).outcome is og.Outcome.CONVERGED


def test_a_curve_of_no_form(make_tree: Maker) -> None:
    """λ̂ that doubles over the ladder, as of a flat direction that opens decade after decade."""
    nbeta = np.geomspace(1e2, 1e8, 20)
    draws = [gamma(make_tree, 5 + 0.4 * rung, float(value), rung, 2000) for rung, value in enumerate(nbeta)]
    assert_refused(temperature_ladder(draws, min_overlap=0.0), "No theoretical form fits")


def test_chains_that_failed(make_tree: Maker) -> None:
    """One rung without a chain is left out, and one without some of its chains too."""
    draws = regular(make_tree, 0.5, np.geomspace(1e2, 1e8, 8))
    for rung, failed in {2: [5.0] * 4, 6: [np.nan, 3.0, np.nan, np.nan]}.items():
        draws[rung]["sample_stats/failed_at"] = xr.DataArray(failed, dims="chain")
    ladder = temperature_ladder(draws)
    assert list(np.flatnonzero(~ladder.curve["used"].values)) == [2, 6]
    assert ladder.outcome is og.Outcome.CONVERGED
    assert abs(ladder.learning_coefficient.value - 0.5) < 0.025
    assert ladder.multiplicity == 1


def test_a_limit_too_far_beyond_the_coldest_rung(make_tree: Maker, crossing: Any) -> None:
    draws = rungs(make_tree, crossing(2, 2, 2), np.geomspace(1e2, 1e4, 8))
    ladder = temperature_ladder(draws)
    assert_refused(ladder, "colder rungs")
    assert ladder.learning_coefficient.value > 1.5 * float(ladder.curve["value"][-1])


def test_a_curve_that_leaves_the_multiplicity_open(make_tree: Maker, crossing: Any) -> None:
    draws = rungs(make_tree, crossing(1, 2), np.geomspace(1e2, 1e6, 8), draws=1000)
    assert_refused(temperature_ladder(draws), "leaves λ open", "colder rungs")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"seed": 0}, "different seed"),
        ({"localization": 2.0}, "one localization"),
        ({"num_samples": 9, "batch_size": 9}, "one num_samples"),
        ({"nbeta": 100.0}, "different nbeta"),
    ],
)
def test_draws_that_are_no_ladder(make_tree: Maker, change: dict[str, Any], found: str) -> None:
    random = np.random.default_rng(0)
    settings = {"nbeta": 200.0, "seed": 1} | change
    draws = [
        make_tree(100.0, random.gamma(0.5, size=(4, 50))),
        make_tree(difference=random.gamma(0.5, size=(4, 50)), **settings),
    ]
    with pytest.raises(og.InvalidArgument, match=found):
        temperature_ladder(draws)


def test_no_draws() -> None:
    with pytest.raises(og.InvalidArgument, match="found none"):
        temperature_ladder([])
