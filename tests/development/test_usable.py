"""Verdicts decide which estimates a curve is fitted to, and what is left out is listed with its reason."""

import numpy as np
import pytest
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.development import StageConfig, stages


def rise(x, center):
    return 1 / (1 + np.exp((center - x) / 0.2))


def two_rises(x):
    return 40 * rise(x, 1.2) + 30 * rise(x, 2.8)


def rise_and_fall(x):
    return 60 * rise(x, 1.2) - 20 * rise(x, 3.0)


def observe(curve, seed=0, points=50):
    """A trajectory over 10⁴ log-spaced steps: the curve with white noise of variance 1, not judged."""
    step = np.unique(np.round(np.geomspace(1, 10_000, points)).astype(int))
    value = curve(np.log10(step)) + np.random.default_rng(seed).standard_normal(len(step))
    variables = {"llc": ("step", value), "llc_mcse": ("step", np.ones(len(step)))}
    return xr.Dataset(variables, coords={"step": step})


@pytest.fixture(scope="module")
def peak():
    return stages(observe(rise_and_fall))


def test_the_complexity_is_staged_where_it_was_measured_and_the_llc_on_demand(peak):
    plain = observe(rise_and_fall)
    apart = observe(two_rises, seed=5).assign(llc_complexity=plain["llc"], llc_complexity_mcse=plain["llc_mcse"])
    found = stages(apart)
    assert found.attrs["coefficient"] == "llc_complexity"
    xr.testing.assert_equal(found, peak)
    other = stages(apart, StageConfig(coefficient="llc"))
    assert other.attrs["coefficient"] == peak.attrs["coefficient"] == "llc"
    xr.testing.assert_equal(other, stages(observe(two_rises, seed=5)))


def test_errors_of_the_complexity_are_its_own():
    """A descent that is poorly known makes the error of the LLC large, and not that of the complexity."""
    plain = observe(two_rises)
    apart = plain.assign(
        llc_complexity=plain["llc"], llc_complexity_mcse=plain["llc_mcse"], llc_mcse=("step", plain.step.values)
    )
    xr.testing.assert_equal(stages(apart), stages(plain))


@pytest.mark.parametrize("outcome", ["not_a_minimum", "not_converged", "step_too_large", "diverged", ""])
def test_estimates_that_did_not_converge_never_enter_the_fit(outcome, peak):
    clean = observe(rise_and_fall)
    added = [3, 40, 700]
    spoiled = xr.concat([clean, clean.isel(step=[0] * 3).assign_coords(step=added) + 500], "step").sortby("step")
    spoiled["llc_outcome"] = ("step", np.where(np.isin(spoiled.step, added), outcome, "converged"))
    spoiled = spoiled.drop_duplicates("step", keep="last")
    kept = clean.drop_sel(step=[step for step in added if step in clean.step])
    found = stages(spoiled)
    assert set(found.attrs["excluded_steps"]) <= set(added)
    assert set(found.attrs["excluded_outcome"]) == {outcome or "not_judged"}
    xr.testing.assert_equal(found[["llc_smooth"]], stages(kept)[["llc_smooth"]])


def test_too_few_draws_enter_with_their_own_error_and_not_without_one():
    clean = observe(two_rises)
    clean["llc_outcome"] = ("step", np.full(clean.sizes["step"], "converged"))
    few = clean.copy(deep=True)
    few["llc_outcome"] = few["llc_outcome"].astype(object)
    few["llc_outcome"][30:34] = "too_few_draws"
    few["llc_mcse"][30:34] = 8.0
    assert stages(few).attrs["excluded_steps"] == []
    assert not stages(few).equals(stages(clean))
    unknown = stages(few.drop_vars("llc_mcse"))
    assert unknown.attrs["excluded_outcome"] == ["too_few_draws"] * 4


@pytest.mark.parametrize(
    ("outcome", "advice"),
    [("not_a_minimum", "lower nbeta or raise localization"), ("not_converged", "chains disagree")],
)
def test_a_curve_without_converged_estimates_is_refused_with_counts_and_a_remedy(outcome, advice):
    curve = observe(two_rises, points=30)
    verdicts = np.full(curve.sizes["step"], outcome, dtype=object)
    verdicts[3] = "diverged"
    curve["llc_outcome"] = ("step", verdicts)
    count = curve.sizes["step"]
    with pytest.raises(InvalidArgument, match=rf"found 0 among {count} .*{count - 1} {outcome}, 1 diverged") as refused:
        stages(curve)
    assert advice in str(refused.value)


def test_a_checkpoint_without_an_estimate_is_told_from_one_that_failed():
    clean = observe(two_rises)
    clean["llc_outcome"] = ("step", np.full(clean.sizes["step"], "converged", dtype=object))
    step = int(clean.step[20])
    sparse = clean.drop_sel(step=[step]).reindex(step=clean.step)
    found = stages(sparse)
    assert (found.attrs["excluded_steps"], found.attrs["excluded_outcome"]) == ([step], ["not_measured"])
