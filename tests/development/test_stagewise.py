"""Stages of curves whose stages are known, and none where there is only noise."""

import numpy as np
import pytest
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.development import StageConfig, stages


def logistic(x, center, width):
    return 1 / (1 + np.exp((center - x) / width))


def two_rises(x):
    return 40 * logistic(x, 1.2, 0.15) + 30 * logistic(x, 2.8, 0.15)


def rise_and_fall(x):
    return 60 * logistic(x, 1.2, 0.25) - 20 * logistic(x, 3.0, 0.25)


def observe(curve, seed=0, noise=1.0, understated=1.0, points=70, loss_slope=-1.0):
    """A trajectory over 10⁴ log-spaced steps: the curve with white noise, and a loss that is straight in log step."""
    step = np.unique(np.round(np.geomspace(1, 10_000, points)).astype(int))
    x = np.log10(step)
    value = curve(x) + noise * np.random.default_rng(seed).standard_normal(len(step))
    variables = {
        "llc": ("step", value),
        "llc_mcse": ("step", np.full(len(step), noise / understated)),
        "loss": ("step", 6 + loss_slope * x),
    }
    return xr.Dataset(variables, coords={"step": step})


def cuts(curve, seeds, **observation):
    """In how many seeds there is any boundary."""
    return sum(stages(observe(curve, seed, **observation)).sizes["boundary"] > 0 for seed in seeds)


@pytest.fixture(scope="module")
def peak():
    return stages(observe(rise_and_fall))


@pytest.mark.parametrize("seed", range(4))
def test_plateau_between_two_rises_is_found_where_it_is(seed):
    found = stages(observe(two_rises, seed, noise=0.02 * 70))
    assert found.boundary_kind.values.tolist() == ["plateau"]
    assert np.log10(found.boundary_step.values) == pytest.approx([2.01], abs=0.1)
    assert np.log10(found.boundary_low.item()) < 2.01 < np.log10(found.boundary_high.item())
    assert np.log10(found.boundary_high.item() / found.boundary_low.item()) < 0.3
    assert found.boundary_probability.item() >= 0.8
    assert found.stage_type.values.tolist() == ["A", "A"]


def test_knee_of_a_curve_that_keeps_rising_is_told_from_a_plateau():
    found = stages(observe(lambda x: two_rises(x) + 16 * x))
    assert found.boundary_kind.values.tolist() == ["knee"]
    assert np.log10(found.boundary_step.values) == pytest.approx([2.01], abs=0.1)
    assert (found.slope_low > 0).sel(grid=(found.grid_step > 30) & (found.grid_step < 300)).all()


def test_dip_that_is_not_deep_enough_is_no_knee():
    assert stages(observe(lambda x: two_rises(x) + 100 * x)).sizes["boundary"] == 0


def test_rise_and_fall_are_a_stage_of_type_a_and_one_of_type_b(peak):
    assert peak.boundary_kind.values.tolist() == ["plateau"]
    assert np.log10(peak.boundary_step.values) == pytest.approx([2.24], abs=0.1)
    assert peak.stage_type.values.tolist() == ["A", "B"]
    assert peak.stage_delta_llc.values == pytest.approx([58.5, -18], abs=2)
    assert (peak.stage_delta_llc_low < peak.stage_delta_llc).all()
    assert (peak.stage_delta_llc < peak.stage_delta_llc_high).all()
    assert peak.stage_delta_loss.sum().item() == pytest.approx(-4)


def test_stages_cover_the_run_without_gaps(peak):
    assert peak.stage_start.values == pytest.approx([1, peak.boundary_step.item()])
    assert peak.stage_end.values == pytest.approx([peak.boundary_step.item(), 10_000])


def test_bands_of_the_curve_and_of_its_slope_cover_the_truth():
    covered = []
    for seed in range(8):
        found = stages(observe(rise_and_fall, seed))
        x = np.log10(found.grid_step.values)
        slope = np.gradient(rise_and_fall(x), x)
        covered.append((found.slope_low.values < slope) & (slope < found.slope_high.values))
        covered.append(np.abs(found.llc_smooth.values - rise_and_fall(x)) < 1.96 * found.llc_smooth_sd.values)
        assert found.llc_smooth_sd.values.max() < 1.5  # the noise of one point is 1
    assert 0.88 < np.mean(covered) < 0.99


@pytest.mark.slow
def test_white_noise_has_no_boundaries():
    assert cuts(np.zeros_like, range(20)) + cuts(np.zeros_like, range(20, 50), understated=2) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("points", [25, 70, 140])
@pytest.mark.parametrize("understated", [1, 2])
def test_a_hundred_curves_of_white_noise_have_no_boundaries(points, understated):
    assert cuts(np.zeros_like, range(100), points=points, understated=understated) <= 2


@pytest.mark.parametrize(
    "curve",
    [lambda x: 10 * x, lambda x: 60 * (1 - 10 ** (-x / 2)), lambda x: 60 * logistic(x, 2, 0.3)],
    ids=["line", "power law", "one rise"],
)
def test_curves_that_neither_pause_nor_turn_have_no_boundaries(curve):
    assert cuts(curve, range(5), understated=2) == 0


def test_noise_is_one_stage_of_no_type():
    found = stages(observe(np.zeros_like, noise=1))
    assert dict(found.sizes) == {"boundary": 0, "stage": 1, "grid": 300}
    assert found.stage_type.values.tolist() == ["-"]
    assert found.stage_delta_llc_low.item() < 0 < found.stage_delta_llc_high.item()


@pytest.mark.parametrize("change", ["rising loss", "no loss"])
def test_without_a_falling_loss_a_stage_has_no_type(change):
    trajectory = observe(rise_and_fall, loss_slope=1.0)
    found = stages(trajectory.drop_vars("loss") if change == "no loss" else trajectory)
    assert found.stage_type.values.tolist() == ["-", "-"]
    assert np.isnan(found.stage_delta_loss).all() == (change == "no loss")


def test_understated_errors_are_noticed():
    honest = stages(observe(two_rises, points=140))
    understated = stages(observe(two_rises, points=140, understated=4))
    assert honest.attrs["extra_noise"] < 0.5
    assert understated.attrs["extra_noise"] == pytest.approx(np.sqrt(1 - 1 / 16), rel=0.25)


def test_unusable_checkpoints_are_left_out_and_named(peak):
    clean = observe(rise_and_fall)
    first, second, third = clean.step.values[[12, 30, 50]].tolist()
    spoiled = clean.reindex(step=[0, *clean.step.values], fill_value=50.0)
    spoiled["llc"].loc[{"step": first}] = np.nan
    spoiled["llc_mcse"].loc[{"step": second}] = np.inf
    spoiled["llc_outcome"] = ("step", np.where(spoiled.step == third, "diverged", "converged"))
    found = stages(spoiled)
    assert found.attrs["excluded_steps"] == [first, second, third]
    assert found.attrs["excluded_outcome"] == ["not_finite", "not_finite", "diverged"]
    xr.testing.assert_equal(found, stages(clean.drop_sel(step=[first, second, third])))
    assert peak.attrs["excluded_steps"] == []


def test_component_of_the_config_and_first_dataset_are_read(peak):
    other = observe(two_rises, seed=5)
    rows = [observe(rise_and_fall), other]
    wide = xr.concat(rows, "component").assign_coords(component=["all", "L0H3"])
    wide = xr.concat([wide, wide + 7], "dataset").assign_coords(dataset=["main", "code"])
    wide["loss"] = wide["loss"].isel(component=0)
    xr.testing.assert_equal(stages(wide), peak)
    xr.testing.assert_equal(stages(wide, StageConfig(component="L0H3")), stages(other))


def test_equal_seeds_give_equal_stages_and_nothing_of_the_callers_changes(peak):
    trajectory = observe(rise_and_fall)
    before, state = trajectory.copy(deep=True), repr(np.random.get_state())  # noqa: NPY002
    xr.testing.assert_identical(stages(trajectory), peak)
    xr.testing.assert_identical(trajectory, before)
    assert repr(np.random.get_state()) == state  # noqa: NPY002


def test_errors_of_the_estimates_may_be_unknown():
    found = stages(observe(two_rises)[["llc"]])
    assert np.log10(found.boundary_step.values) == pytest.approx([2.01], abs=0.1)


@pytest.mark.parametrize(
    ("spoil", "argument"),
    [
        (lambda t: t.drop_vars("llc"), "`llc`"),
        (lambda t: t.isel(step=slice(0, 7)), "7 among 7"),
        (lambda t: t.isel(step=[*range(20), 19]), "repeated"),
        (lambda t: t.where(t.step < 5), "usable"),
    ],
    ids=["no llc", "too few", "repeated", "mostly not finite"],
)
def test_unusable_trajectories_are_refused(spoil, argument):
    with pytest.raises(InvalidArgument, match=argument):
        stages(spoil(observe(two_rises)))


def test_unknown_component_is_refused_with_those_there_are():
    with pytest.raises(InvalidArgument, match=r"\['all'\].*'L0H9'"):
        stages(observe(two_rises), StageConfig(component="L0H9"))
