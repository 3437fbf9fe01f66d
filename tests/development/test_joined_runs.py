"""Runs joined along a further dimension are cut one by one; what was selected away or reordered is read as before."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.joined_stages import stages_by_run, unstaged_by_run
from ontogeny.core.runs import one_run, runs_of
from ontogeny.development import SignatureConfig, StageConfig, joint_pca, signatures, stages

CONFIG = StageConfig(num_samples=100, num_grid=100)


def logistic(x, center):
    return 1 / (1 + np.exp((center - x) / 0.15))


def observe(seed=0, pause=2.0, points=40):
    """A trajectory as `measure` returns it: two rises of the coefficient, and a pause between them."""
    step = np.unique(np.round(np.geomspace(1, 10_000, points)).astype(int))
    x = np.log10(step)
    curve = 40 * logistic(x, pause - 0.8) + 30 * logistic(x, pause + 0.8)
    value = (curve + np.random.default_rng(seed).normal(size=len(step)))[:, None, None]
    dims = ("step", "component", "dataset")
    variables = {
        "llc": (dims, value),
        "llc_mcse": (dims, np.ones_like(value)),
        "llc_outcome": (dims, np.full(value.shape, "converged")),
        "loss": (("step", "dataset"), 6 - x[:, None]),
    }
    attrs = {"settings": "{}"}
    return xr.Dataset(variables, {"step": step, "component": ["all"], "dataset": ["data"]}, attrs)


def join(runs, dim="seed"):
    return xr.concat(runs, dim, join="outer")


@pytest.fixture(scope="module")
def runs():
    """Three seeds, the last measured at other steps and with an earlier pause."""
    return [observe(0), observe(1), observe(2, pause=1.8, points=33)]


@pytest.fixture(scope="module")
def alone(runs):
    return [stages(run, CONFIG) for run in runs]


def test_each_seed_has_the_stages_that_it_has_alone(runs, alone):
    found = stages(join(runs), CONFIG)
    assert found.boundary_step.dims == ("seed", "boundary")
    by_run = stages_by_run(found)
    assert list(by_run) == ["seed 0", "seed 1", "seed 2"]
    for own, expected in zip(by_run.values(), alone, strict=True):
        xr.testing.assert_equal(own, expected)
        assert own.attrs["excluded_steps"] == expected.attrs["excluded_steps"]
        assert own.attrs["extra_noise"] == expected.attrs["extra_noise"]
    assert set(found.unstaged.values) == {""}


def test_a_seed_with_fewer_boundaries_ends_in_nan(runs, alone):
    flat = runs[1].assign(llc=0 * runs[1].llc + 5)
    found = stages(join([runs[0], flat]), CONFIG)
    assert np.isnan(found.boundary_step.values).tolist() == [[False], [True]]
    assert found.boundary_kind.values.tolist() == [[str(alone[0].boundary_kind.item())], [""]]
    own = stages_by_run(found)["seed 1"]
    assert dict(own.sizes) == {"boundary": 0, "stage": 1, "grid": 100}


def test_one_seed_is_as_the_plain_run(runs, alone):
    found = stages(join(runs[:1]), CONFIG)
    xr.testing.assert_equal(found.isel(seed=0, drop=True).drop_vars("unstaged"), alone[0])
    xr.testing.assert_identical(one_run(join(runs[:1])), runs[0])


@pytest.mark.parametrize(
    ("dim", "labels"),
    [
        (pd.Index([1e-3, 0.1], name="learning_rate"), ["learning rate 0.001", "learning rate 0.1"]),
        (pd.Index(["small", "large"], name="model"), ["model small", "model large"]),
        ("of the two", ["of the two 0", "of the two 1"]),
    ],
)
def test_runs_are_named_by_their_dimension_and_its_coordinate(dim, labels, runs):
    assert list(runs_of(join(runs[:2], dim))) == labels


def test_steps_that_another_run_alone_was_measured_at_are_no_steps_of_a_run(runs):
    split = runs_of(join(runs))
    for own, run in zip(split.values(), runs, strict=True):
        assert own.step.values.tolist() == run.step.values.tolist()
    assert join(runs).sizes["step"] > runs[0].sizes["step"]


@pytest.mark.parametrize(
    "select",
    [
        lambda t: t.sel(component="all"),
        lambda t: t.isel(component=0, dataset=0, drop=True),
        lambda t: t.sel(dataset="data"),
        lambda t: t.drop_vars(["component", "dataset"]).rename(component="part").isel(part=0),
        lambda t: t.isel(step=slice(None, None, -1)),
        lambda t: xr.concat([t.isel(step=slice(20, None)), t.isel(step=slice(20))], "step"),
        lambda t: join([t, t]).isel(seed=1),
        lambda t: t.assign_coords(component=["L0H3"]),
        lambda t: t.assign_coords(component=["L0H3"]).sel(component="L0H3"),
    ],
    ids=["component", "both", "dataset", "no names", "reversed", "halves", "one seed", "only part", "selected part"],
)
def test_a_selection_or_another_order_has_the_same_stages(select, runs, alone):
    xr.testing.assert_equal(stages(select(runs[0]), CONFIG), alone[0])


def test_a_component_that_was_selected_is_the_only_one_to_ask_for(runs):
    head = runs[0].assign_coords(component=["L0H3"]).sel(component="L0H3")
    stages(head, CONFIG.model_copy(update={"component": "L0H3"}))
    with pytest.raises(InvalidArgument, match=r"\['L0H3'\].*'L1H0'"):
        stages(head, StageConfig(component="L1H0"))


def test_a_seed_that_cannot_be_staged_is_said_and_the_others_are_staged(runs, alone):
    lost = runs[1].assign(llc_outcome=xr.full_like(runs[1].llc_outcome, "diverged"))
    found = stages(join([runs[0], lost]), CONFIG)
    assert list(stages_by_run(found)) == ["seed 0"]
    xr.testing.assert_equal(stages_by_run(found)["seed 0"], alone[0])
    assert "diverged" in unstaged_by_run(found)["seed 1"]
    with pytest.raises(InvalidArgument, match=r"0 among 37 .*diverged.*divide step_size"):
        stages(join([lost, lost]), CONFIG)


def test_posteriors_that_differ_are_said(runs):
    recorded = [
        run.assign(llc_nbeta=nbeta, llc_localization=1.0) for run, nbeta in zip(runs, (30, 30, 100), strict=True)
    ]
    found = stages(join(recorded), CONFIG)
    assert found.attrs["not_comparable"] == "nβ is 30 (seed 0, seed 1) and 100 (seed 2)"
    assert "not_comparable" not in stages(join(recorded[:2]), CONFIG).attrs
    along = [run.assign(llc_nbeta=run.llc_nbeta * xr.ones_like(run.loss[:, 0], float)) for run in recorded]
    halves = xr.concat([along[0].isel(step=slice(20)), along[2].isel(step=slice(25, None))], "step", data_vars="all")
    assert stages(halves, CONFIG).attrs["not_comparable"] == "nβ is 30 and 100"


def both(runs):
    return join([join(runs[:2]), join(runs[:2])], "model")


@pytest.mark.parametrize(
    ("spoil", "named", "advised"),
    [
        (both, "`model` .2. and `seed` .2.", lambda t: t.isel(model=0)),
        (both, "trajectory.stack.run=", lambda t: t.stack(run=["model", "seed"])),
        (lambda runs: runs[0].rename(step="epoch"), "rename.epoch=", lambda t: t.rename(epoch="step")),
        (lambda runs: runs[0].isel(step=[0, *range(30)]), "repeated", lambda t: t.drop_duplicates("step")),
        (
            lambda runs: join(runs[:2], pd.Index([3, 3], name="seed")),
            "'seed 3' twice",
            lambda t: t.assign_coords(seed=range(2)),
        ),
        (lambda runs: runs[0].llc, "DataArray", lambda t: t.to_dataset(name="llc")),
        (lambda runs: runs[0].drop_vars("step"), "without their steps", lambda t: t.assign_coords(step=range(1, 38))),
        (
            lambda runs: runs[0].assign_coords(step=[f"at {step}" for step in runs[0].step.values]),
            "numbers",
            lambda t: t.assign_coords(step=range(1, 38)),
        ),
    ],
    ids=["two dimensions", "stacked", "renamed", "repeated", "named alike", "array", "no steps", "texts"],
)
def test_what_cannot_be_handled_is_refused_by_name_and_the_advice_works(spoil, named, advised, runs):
    given = spoil(runs)
    with pytest.raises(InvalidArgument, match=named):
        stages(given, CONFIG)
    assert stages(advised(given), CONFIG).sizes["grid"] == 100


def test_no_run_at_all_is_refused_by_the_dimension(runs):
    with pytest.raises(InvalidArgument, match="none along the dimension `seed`"):
        stages(join(runs).isel(seed=[]), CONFIG)


def test_joined_runs_are_the_runs_of_a_list_for_signatures():
    names = ["L0H0", "L0H1", "L1H0", "L1H1"]
    parts = [[observe(4 * k + i, 1.6 + 0.2 * i) for i in range(4)] for k in range(2)]
    parts = [[observe(4 * k + i, 1.6 + 0.2 * i) for i in range(4)] for k in range(2)]
    heads = [xr.concat(each, "component", data_vars="minimal").assign_coords(component=names) for each in parts]
    config = SignatureConfig(num_resamples=10)
    xr.testing.assert_equal(signatures(join(heads), config=config), signatures(heads, config=config))


def test_joined_outputs_are_several_trajectories(runs):
    rng = np.random.default_rng(0)
    outputs = [
        xr.DataArray(rng.normal(size=(run.sizes["step"], 6)), {"step": run.step}, ("step", "output"), "outputs")
        for run in runs
    ]
    found = joint_pca(join(outputs))
    expected = joint_pca({f"seed {i}": each for i, each in enumerate(outputs)})
    xr.testing.assert_equal(found, expected)
