"""Probes of made-up activations whose R², rivals and controls are known."""

import itertools
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import kstest

from ontogeny.core.errors import InvalidArgument
from ontogeny.development import nulls
from ontogeny.probes import Probe, ProbeConfig, distance_r2, fit_probe, over_sites, r2_within

FEW = ProbeConfig(num_permutations=39)
SIZE, WIDTH = 3000, 6
RNG = np.random.default_rng(0)
TARGET = RNG.standard_normal((SIZE, 2))
NOISE = RNG.standard_normal((SIZE, 2))
ROTATION = np.linalg.qr(RNG.standard_normal((WIDTH, WIDTH)))[0]
SHARE = 0.8  # of the variance of what is read is the target's


def activations(target: np.ndarray = TARGET, share: float = SHARE) -> np.ndarray:
    """A rotated target with noise, beside columns of nothing: R² is `share` for a target of unit variance."""
    read = target + np.sqrt(1 / share - 1) * NOISE
    return np.hstack([read, RNG.standard_normal((SIZE, WIDTH - 2))]) @ ROTATION + 3.0


def probe(found: np.ndarray | None = None, **more: Any) -> Probe:
    given: dict[str, Any] = {"targets": {"slope": TARGET}, "groups": np.arange(SIZE), "config": FEW} | more
    return fit_probe(activations() if found is None else found, **given)


@pytest.fixture(scope="module")
def known() -> Probe:
    return probe(
        untrained=RNG.standard_normal((SIZE, WIDTH)),
        rivals={"last_pair": TARGET[:, :1], "prior": None, "whole_story": 5 - 2 * TARGET},
    )


def test_r2_is_the_share_of_the_target_and_a_shuffled_target_has_none(known: Probe) -> None:
    assert known.target == "slope"
    assert known.r2 == pytest.approx(SHARE, abs=4 * 2 * (1 - SHARE) / np.sqrt(SIZE))
    assert known.p_value == 1 / 40
    assert np.abs(known.shuffled_r2).max() < 0.02
    assert probe(RNG.standard_normal((SIZE, WIDTH))).p_value > 1 / 40
    assert known.predicted.shape == TARGET.shape
    missed = np.sum((known.predicted - TARGET) ** 2) / np.sum((TARGET - TARGET.mean(0)) ** 2)
    assert 1 - missed == pytest.approx(known.r2)


def test_p_values_are_uniform_where_nothing_can_be_read_and_that_of_the_best_site_is_against_the_best_shuffle() -> None:
    rng, cases, size, found = np.random.default_rng(1), 40, 40, []
    for seed in range(cases):
        target, config = rng.standard_normal((size, 1)), ProbeConfig(num_permutations=19, seed=seed)
        given: dict[str, Any] = {"targets": {"noise": target}, "groups": np.arange(size), "config": config}
        sites = over_sites({site: fit_probe(rng.standard_normal((size, 3)), **given) for site in "abcde"})
        best = nulls.simulated("", float(sites["unweighted_r2"].max()), sites["shuffled_r2"].max("site").values)
        found.append([float(sites["p_value"][0]), best.p_value, float(sites["p_value"].min())])
    spread = np.array(found) + rng.uniform(-0.5, 0.5, (cases, 3)) / 20
    one, best_of_shuffles, chosen = (kstest(each, "uniform").pvalue for each in spread.T)
    assert min(one, best_of_shuffles) > 0.01
    assert chosen < 0.001


def test_rivals_and_controls_have_their_known_r2_and_their_sentences(known: Probe) -> None:
    r2 = known.scores.r2.sel(target="slope")
    assert r2.predictor.values.tolist() == [
        "activations",
        "untrained",
        "random_projection",
        "last_pair",
        "prior",
        "whole_story",
    ]
    assert float(r2.sel(predictor="untrained")) == pytest.approx(0, abs=0.02)
    assert float(r2.sel(predictor="last_pair")) == pytest.approx(0.5, abs=0.05)  # one dimension of two
    assert float(r2.sel(predictor="whole_story")) == pytest.approx(1, abs=1e-9)
    assert known.rivals_ahead == ("whole_story",)
    assert known.remarks == ("The slope is linear in the whole story: its R² is no evidence of more.",)
    assert str(known).count("not given") == 3  # random projection and last tokens, for want of tokens, and the prior


def test_rival_that_tells_more_without_telling_all_is_said_to_overtake() -> None:
    found = probe(rivals={"estimate": TARGET + 0.1 * NOISE[::-1]})
    assert found.remarks == ("Overtaken by the estimate.",)
    assert found.rivals_ahead == ("estimate",)
    assert probe(rivals={"estimate": TARGET + 2 * NOISE[::-1]}).remarks == ()


def test_columns_as_many_as_contexts_do_not_make_a_rival_exact() -> None:
    few, wide = slice(0, 60), RNG.normal(size=(60, 80))
    found = fit_probe(activations()[few], {"slope": TARGET[few]}, np.arange(60), rivals={"wide": wide}, config=FEW)
    assert float(found.scores.in_sample_r2.sel(predictor="wide", target="slope")) > 1 - 1e-6
    assert found.remarks == ()


def test_last_tokens_are_a_rival_where_contexts_are_tokens() -> None:
    tokens = np.array(list(itertools.product(range(2), repeat=7)))
    copied, other = tokens[:, -2:] @ [[1.0], [2.0]], RNG.standard_normal((len(tokens), 1))
    found = fit_probe(copied + other / 2, {"copied": copied}, tokens, config=FEW)
    r2 = found.scores.r2.sel(target="copied")
    assert float(r2.sel(predictor="last_1")) == pytest.approx(4 / 5, abs=0.02)  # of the variance 1/4 + 4/4
    assert float(r2.sel(predictor="last_2")) == pytest.approx(1)
    assert found.overtaken_by == 2
    assert "Overtaken by the last 2 tokens." in found.remarks
    assert found.scores["columns"].sel(predictor="random_projection") == 1


@pytest.mark.parametrize("unit", [1e-12, 1e9])
def test_units_of_a_target_do_not_matter(unit: float) -> None:
    x = activations()
    found, other = probe(x), probe(x, targets={"slope": unit * TARGET})
    assert other.r2 == pytest.approx(found.r2, abs=1e-9)
    assert other.shuffled_r2 == pytest.approx(found.shuffled_r2, abs=1e-9)
    assert other.predicted == pytest.approx(unit * found.predicted)
    with pytest.raises(InvalidArgument, match="differ between contexts"):
        probe(x, targets={"slope": unit * (7.1 + np.zeros_like(TARGET))})
    assert np.isnan(probe(x, targets={"slope": TARGET, "flat": unit + np.zeros_like(TARGET)}).scores.r2[0, 1])


def test_sites_stand_side_by_side() -> None:
    clear, vague = probe(activations(share=0.9)), probe(activations(share=0.4))
    found = over_sites({"early": vague, "late": clear})
    assert found.site.values.tolist() == ["early", "late"]
    assert found.r2.sel(predictor="activations", target="slope").values.tolist() == [vague.r2, clear.r2]
    assert found.shuffled_mean.values.tolist() == [vague.shuffled_r2.mean(), clear.shuffled_r2.mean()]
    assert isinstance(found, xr.Dataset)


def test_r2_within_a_kind_of_context_is_about_its_own_mean() -> None:
    """A prediction that knows the kind alone has a high R² over all contexts, and none within any kind."""
    kinds = np.arange(SIZE) % 2
    target, weights = TARGET + 20 * kinds[:, None], np.full(SIZE, 1 / SIZE)
    means = np.stack([target[kinds == kind].mean(0) for kind in (0, 1)])
    assert r2_within(kinds, target, means[kinds], weights) == pytest.approx([0, 0])
    better = np.where(kinds[:, None] == 1, target, means[0])
    assert r2_within(kinds, target, better, weights) == pytest.approx([0, 1])
    assert np.isnan(r2_within(kinds, np.where(kinds[:, None] == 1, TARGET, 0.1), better, weights)[0])


def test_distances_of_predictions_are_those_of_the_target_that_was_read() -> None:
    some = slice(0, 300)
    found = distance_r2(2 * TARGET[some], {"read": TARGET[some], "other": NOISE[some]})
    assert found.r2["read"] == pytest.approx(1)
    assert found.r2["other"] < 0.05
    assert found.num_contexts == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": {}}, "`targets`: expected one target"),
        ({"targets": TARGET}, "`targets`: expected one target"),
        ({"targets": {"slope": TARGET[1:]}}, "`slope`: expected two dimensions"),
        ({"targets": {"slope": TARGET, "other": NOISE}, "groups": np.arange(SIZE) // 2}, "`slope`: expected the same"),
        ({"rivals": {"input": TARGET[1:]}}, "`input`: expected two dimensions"),
        ({"rivals": {"untrained": TARGET}}, "`rivals`: expected other names"),
        ({"rivals": {"last_3": TARGET}}, "`rivals`: expected other names"),
        ({"groups": np.zeros(SIZE, int)}, "`groups`: expected at least 10"),
        ({"config": {"num_folds": 5}}, "`config`: expected a ProbeConfig"),
    ],
)
def test_what_cannot_be_probed_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        probe(**change)
