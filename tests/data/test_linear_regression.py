"""Predictors of in-context linear regression against a loop from the equations, least squares and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import ontogeny as og
from ontogeny.data import LinearRegressionTask

TASK = LinearRegressionTask(dimension=4, num_pairs=8, noise_variance=0.25, task_diversity=16, seed=0)
ENDLESS = TASK.model_copy(update={"task_diversity": None})


def loop(task: LinearRegressionTask, x: Tensor, y: Tensor, name: str) -> np.ndarray:
    """Straight from the equation, one sequence and one pair at a time."""
    found = np.zeros(y.shape)
    xs, ys = x.double().numpy(), y.double().numpy()
    for s, k in np.ndindex(*y.shape):
        before, labels = xs[s, :k], ys[s, :k]
        if name == "ridge":
            gram = before.T @ before + task.noise_variance / task.task_scale**2 * np.eye(task.dimension)
            vector = np.linalg.inv(gram) @ before.T @ labels
        else:
            assert task.tasks is not None
            tasks = task.tasks.double().numpy()
            logs = [-((labels - before @ t) ** 2).sum() / (2 * task.noise_variance) for t in tasks]
            weights = np.exp(np.array(logs) - max(logs))
            vector = (weights / weights.sum()) @ tasks
        found[s, k] = vector @ xs[s, k]
    return found


@settings(max_examples=25, deadline=None)
@given(
    dimension=st.integers(1, 5),
    num_pairs=st.integers(1, 7),
    noise=st.floats(0.01, 4.0),
    diversity=st.integers(1, 9),
    scale=st.floats(0.3, 3.0),
    seed=st.integers(0, 1000),
)
def test_predictors_are_those_of_the_equations(
    dimension: int, num_pairs: int, noise: float, diversity: int, scale: float, seed: int
) -> None:
    task = LinearRegressionTask(
        dimension=dimension, num_pairs=num_pairs, noise_variance=noise, task_diversity=diversity, task_scale=scale
    )
    x, y = task.sample(3, seed)
    for name in ("ridge", "dmmse"):
        np.testing.assert_allclose(getattr(task, name)(x, y), loop(task, x, y, name), rtol=1e-5, atol=1e-5)


def test_ridge_is_least_squares_with_rows_for_the_prior() -> None:
    x, y = ENDLESS.sample(50, seed=1)
    prior = math.sqrt(TASK.noise_variance) * torch.eye(4, dtype=torch.float64)
    rows = torch.cat([x[:, :7].double(), prior.expand(50, 4, 4)], 1)
    labels = torch.cat([y[:, :7].double(), torch.zeros(50, 4, dtype=torch.float64)], 1)
    known = (torch.linalg.lstsq(rows, labels[..., None]).solution[..., 0] * x[:, 7].double()).sum(-1)
    torch.testing.assert_close(ENDLESS.ridge(x, y)[:, 7].double(), known, rtol=1e-5, atol=1e-6)


def test_losses_at_the_ends_are_those_of_closed_forms() -> None:
    """D + σ² before any pair; σ² at every position where there is one task."""
    x, y = ENDLESS.sample(200_000, seed=2)
    first = (ENDLESS.ridge(x, y)[:, 0] - y[:, 0]).square()
    assert abs(float(first.mean()) - 4.25) < 4 * float(first.std()) / math.sqrt(len(first)) < 0.1
    one = TASK.model_copy(update={"task_diversity": 1})
    x, y = one.sample(50_000, seed=3)
    errors = (one.dmmse(x, y) - y).square()
    assert bool((errors.mean(0) - 0.25).abs().lt(4 * errors.std(0) / math.sqrt(len(errors))).all())


def test_dmmse_tends_to_ridge_with_the_number_of_tasks() -> None:
    x, y = ENDLESS.sample(64, seed=4)
    gaps = [
        float((many.dmmse(x, y) - many.ridge(x, y)).square().mean())
        for many in (TASK.model_copy(update={"task_diversity": size}) for size in (16, 512, 16_384))
    ]
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]


def test_each_predictor_is_the_best_on_its_own_tasks() -> None:
    for task, best, other in ((TASK, "dmmse", "ridge"), (ENDLESS, "ridge", "dmmse")):
        x, y = task.sample(2000, seed=5)
        gain = (getattr(TASK, other)(x, y) - y).square() - (getattr(TASK, best)(x, y) - y).square()
        mean = gain.mean(1)
        assert float(mean.mean()) > 4 * float(mean.std()) / math.sqrt(len(mean))


def test_task_sets_are_nested_and_samples_are_functions_of_the_seed() -> None:
    larger = TASK.model_copy(update={"task_diversity": 1000})
    assert TASK.tasks is not None
    assert larger.tasks is not None
    assert torch.equal(larger.tasks[:16], TASK.tasks)
    assert ENDLESS.tasks is None
    assert TASK.model_copy(update={"task_diversity": 3}).tasks.shape == (3, 4)  # type: ignore[union-attr]
    again = LinearRegressionTask.model_validate(TASK.model_dump())
    for one, two in zip(TASK.sample(5, seed=6), again.sample(5, seed=6), strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(TASK.sample(5, seed=6)[0], TASK.sample(5, seed=7)[0])
    before = torch.random.get_rng_state()
    TASK.sample(5, seed=6)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_noise_ridge_interpolates_and_dmmse_finds_the_task() -> None:
    exact = TASK.model_copy(update={"noise_variance": 0.0})
    x, y = exact.sample(20, seed=8)
    torch.testing.assert_close(exact.ridge(x, y)[:, 4:], y[:, 4:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(exact.dmmse(x, y)[:, 1:], y[:, 1:], rtol=1e-5, atol=1e-5)


def test_the_task_prior_is_dmmse_before_any_pair() -> None:
    x, y = TASK.sample(10, seed=9)
    torch.testing.assert_close(TASK.task_prior(x)[:, 0], TASK.dmmse(x, y)[:, 0])
    assert not ENDLESS.task_prior(x).any()


def test_long_and_blockwise_sums_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = TASK.sample(11, seed=10)
    whole = TASK.dmmse(x, y)
    monkeypatch.setattr("ontogeny.data.linear_regression._BLOCK", 400)
    torch.testing.assert_close(TASK.dmmse(x, y), whole)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"num_pairs": 0}, "num_pairs"),
        ({"task_diversity": 0}, "task_diversity"),
        ({"noise_variance": -0.1}, "noise_variance"),
        ({"noise_variance": math.nan}, "noise_variance"),
        ({"dimension": 0}, "dimension"),
    ],
)
def test_settings_that_make_no_task_are_refused_by_name(changed: dict[str, float], named: str) -> None:
    with pytest.raises(og.InvalidArgument, match=f"`{named}`"):
        LinearRegressionTask(**(TASK.model_dump() | changed))


def test_data_of_another_task_are_refused_by_name() -> None:
    x, y = TASK.model_copy(update={"dimension": 3}).sample(2, seed=0)
    with pytest.raises(og.InvalidArgument, match="`x`"):
        TASK.ridge(x, y)
    x, _ = TASK.sample(2, seed=0)
    with pytest.raises(og.InvalidArgument, match="`y`"):
        TASK.dmmse(x, torch.zeros(2, 5))
