"""Trajectories of known shape, and the null of Brownian motion against its theory."""

import numpy as np
import pytest
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.development import joint_pca

RNG = np.random.default_rng(0)
FIRST, SECOND, CORNER = RNG.standard_normal((3, 500))


def run(rows, step=None):
    step = np.arange(1, len(rows) + 1) if step is None else step
    return xr.DataArray(rows, dims=("step", "output"), coords={"step": step})


def mixture(alpha):
    """Outputs on the straight way from one function to another."""
    return np.outer(alpha, FIRST) + np.outer(1 - alpha, SECOND)


@pytest.mark.parametrize("num_outputs", [500, 10], ids=["wide", "tall"])
def test_mixtures_of_two_functions_are_recovered_in_proportion(num_outputs):
    alpha = RNG.uniform(size=60)
    pca = joint_pca(run(mixture(alpha)[:, :num_outputs]), num_components=2)
    assert abs(np.corrcoef(pca.score.sel(pc=1), alpha)[0, 1]) > 0.9999
    assert pca.explained_variance.values == pytest.approx([1, 0], abs=1e-9)


def test_plane_is_recovered_with_its_distances():
    weights = RNG.dirichlet(np.ones(3), size=40)
    rows = weights @ np.stack([FIRST, SECOND, CORNER])
    pca = joint_pca(run(rows), num_components=2)
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    scores = pca.score.values
    assert np.linalg.norm(scores[:, None] - scores[None], axis=-1) == pytest.approx(distances, abs=1e-9)
    assert pca.explained_variance.sum().item() == pytest.approx(1)


def test_scores_agree_with_a_plain_decomposition():
    rows = RNG.standard_normal((12, 300)).cumsum(axis=0)
    centred = rows - rows.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    pca = joint_pca(run(rows), num_components=5)
    assert np.abs(pca.score.values) == pytest.approx(np.abs(u * s)[:, :5], abs=1e-9)
    assert pca.explained_variance.values == pytest.approx((s**2 / (s**2).sum())[:5])
    assert (pca.score.max("point") == np.abs(pca.score).max("point")).all()


def test_runs_share_one_plane_and_keep_their_own_steps():
    alpha = {"left": np.linspace(0, 0.4, 20), "right": np.linspace(0.5, 1, 33)}
    steps = {"left": np.arange(20), "right": 10 * np.arange(33)}
    pca = joint_pca({name: run(mixture(alpha[name]), steps[name]) for name in alpha}, num_components=1)
    assert abs(np.corrcoef(pca.score.sel(pc=1), np.concatenate(list(alpha.values())))[0, 1]) > 0.9999
    assert pca.trajectory.values.tolist() == ["left"] * 20 + ["right"] * 33
    assert pca.step.values.tolist() == [*steps["left"], *steps["right"]]


def test_null_explains_as_much_as_theory_says_brownian_motion_does():
    step = np.round(np.geomspace(1e3, 1e9, 400)).astype(int)
    rows = np.outer(np.linspace(0, 1, 400), RNG.standard_normal(3000))
    pca = joint_pca(run(rows, step), num_components=3)
    theory = 6 / (np.pi * np.arange(1, 4)) ** 2
    assert pca.brownian_explained_variance.values == pytest.approx(theory, abs=0.012)
    cosines = np.cos(np.pi * np.outer(np.arange(1, 4), np.linspace(0, 1, 400)))
    for score, cosine in zip(pca.brownian_score.values.T, cosines, strict=True):
        assert abs(np.corrcoef(score, cosine)[0, 1]) > 0.98


def test_null_runs_on_the_clock_of_log_steps_and_has_the_same_variance():
    step = np.array([0, 1, 2, 3, 1000, 1001, 1002])
    rows = RNG.standard_normal((7, 2000)) * 5
    pca = joint_pca(run(rows, step), num_components=6)
    moved = np.linalg.norm(np.diff(pca.brownian_score.values, axis=0), axis=1)
    assert moved[3] ** 2 / moved[0] ** 2 == pytest.approx(np.log(1001 / 4) / np.log(2), rel=0.2)
    assert moved[5] ** 2 / moved[3] ** 2 < 1e-3
    assert (pca.brownian_score**2).sum().item() == pytest.approx((pca.score**2).sum().item())


def test_input_is_unchanged_and_equal_seeds_give_equal_nulls():
    outputs = run(mixture(np.linspace(0, 1, 9)).astype(np.float32))
    before = outputs.copy(deep=True)
    first, second, other = joint_pca(outputs), joint_pca(outputs), joint_pca(outputs, seed=1)
    xr.testing.assert_identical(outputs, before)
    xr.testing.assert_identical(first, second)
    assert not np.allclose(first.brownian_score, other.brownian_score)
    xr.testing.assert_identical(joint_pca(outputs.T), first)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "at least one"),
        (run(mixture(np.linspace(0, 1, 9))).rename(output="logit"), "dimensions"),
        ({"a": run(np.eye(4)), "b": run(np.eye(5))}, "same outputs"),
        (run(np.where(np.eye(9) > 0, np.nan, 1.0), np.arange(9)), r"at steps \[0, 1, 2"),
        (run(np.full((9, 4), 0.1)), "change"),
        (run(np.eye(3)), "1 to 2"),
    ],
    ids=["none", "dimensions", "sizes", "not finite", "constant", "too few points"],
)
def test_outputs_that_cannot_be_decomposed_are_refused(outputs, message):
    with pytest.raises(InvalidArgument, match=message):
        joint_pca(outputs)


def test_references_are_projected_and_take_no_part_in_the_fit() -> None:
    """Mixtures of two predictors lie on the line between them, in proportion, whatever else there is."""
    generator = np.random.default_rng(0)
    one, two, third = generator.standard_normal((3, 500))
    share = np.linspace(0, 1, 30) ** 2
    rows = share[:, None] * one + (1 - share)[:, None] * two
    outputs = xr.DataArray(rows, dims=("step", "output"), coords={"step": np.arange(30)})
    plain = joint_pca(outputs, 1)
    found = joint_pca(outputs, 1, references={"one": one, "two": two, "third": third})
    xr.testing.assert_allclose(plain["score"], found["score"])
    ends = found["reference_score"].sel(pc=1)
    start, end = ends.sel(reference="two"), ends.sel(reference="one")
    along = (found["score"].sel(pc=1) - start) / (end - start)
    np.testing.assert_allclose(along.values, share, atol=1e-9)
    np.testing.assert_allclose(found["reference_residual"].values[:2], 0, atol=1e-9)
    assert found["reference_residual"].values[2] > 0.5
    np.testing.assert_allclose(np.linalg.norm(found["loading"], axis=0), 1)


def test_a_reference_on_other_probes_is_refused_by_name() -> None:
    rows = np.random.default_rng(0).standard_normal((5, 7))
    outputs = xr.DataArray(rows, dims=("step", "output"), coords={"step": np.arange(5)})
    with pytest.raises(InvalidArgument, match=r"`references\['ridge'\]`: expected 7 outputs"):
        joint_pca(outputs, 1, references={"ridge": np.zeros(6)})
