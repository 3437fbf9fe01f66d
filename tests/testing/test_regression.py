"""Least squares have an exact answer; planted networks stand at their targets, with the symmetries that they have."""

from typing import Literal

import numpy as np
import pytest
import torch

from ontogeny.testing.classification import Activation
from ontogeny.testing.curvature import FlatLoss, hessian_rank
from ontogeny.testing.regression import LinearRegression, Planted


@pytest.mark.parametrize(
    "target", [LinearRegression(5, 2, 3, 60, 1.0, spread=5.0), LinearRegression(8, num_samples=100, noise=0.0)], ids=str
)
def test_least_squares_are_a_minimum_with_an_exact_gaussian(target: LinearRegression) -> None:
    loss = FlatLoss(target.model(), target.data(), target.loss)
    assert float(torch.func.grad(loss)(loss.center).abs().max()) < 1e-5
    assert hessian_rank(loss) == 2 * target.learning_coefficient
    assert len(loss.center) == target.num_parameters
    hessian = loss.hessian(loss.center).numpy()
    nbeta, localization = 40.0, 2.0
    covariance = np.linalg.inv(nbeta * hessian + localization * np.eye(len(hessian)))
    assert target.llc(nbeta, localization) == pytest.approx(0.5 * nbeta * np.trace(hessian @ covariance), rel=1e-9)
    assert target.llc(1e9, 1.0) == pytest.approx(target.learning_coefficient, rel=1e-5)


def symmetries(target: Planted) -> int:
    """One scale for each ReLU unit, and for logits one shift as a function of the last hidden units."""
    scales = sum(target.widths[1:-1]) if target.activation == "relu" else 0
    return scales + (target.widths[-2] + 1 if target.task == "classification" else 0)


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_coefficient_of_a_planted_network_leaves_out_its_symmetries(
    task: Literal["regression", "classification"], activation: Activation
) -> None:
    target = Planted((4, 6, 3), activation, task, num_samples=500)
    assert target.learning_coefficient == (target.num_parameters - symmetries(target)) / 2


def test_planted_weights_are_the_minimum_but_for_noise() -> None:
    for target in (Planted((4, 6, 3), "tanh", "classification"), Planted((4, 6, 3), "relu", noise=0.0)):
        loss = FlatLoss(target.model(), target.data(), target.loss)
        assert float(torch.func.grad(loss)(loss.center).abs().max()) < 1e-6
    noisy = Planted((4, 6, 3), "tanh", num_samples=10_000, noise=0.5)
    residuals = noisy.loss(noisy.model(), noisy.data())
    assert residuals.mean().item() == pytest.approx(3 * 0.25, rel=0.05)
