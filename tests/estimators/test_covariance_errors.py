"""Errors of covariances are neither too small nor too large, over 20 seeds of draws whose covariances are known."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from ontogeny.estimators import influence, susceptibilities, susceptibility

Maker = Callable[..., xr.DataTree]
NBETA, SEEDS, SIZE = 40.0, 20, 3
LOADINGS = np.random.default_rng(3).normal(size=(12, SIZE))  # of linear losses on independent normals
CURVATURES = np.array([2.0, 1.0, 0.5])


@pytest.fixture(scope="module")
def trees(make_tree: Maker) -> list[xr.DataTree]:
    """Autoregressive weights of variance 1/nβ, so that draws have memory, which the errors must hold."""
    made = []
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        rows = [random.normal(size=(4, SIZE))]
        for _ in range(799):
            rows.append(0.5 * rows[-1] + 0.75**0.5 * random.normal(size=(4, SIZE)))
        w = np.stack(rows, axis=1) / NBETA**0.5
        losses = (w**2 @ CURVATURES) / 2
        observed = {"linear": (w @ LOADINGS.T, np.zeros(12)), "square": (w[..., :1] ** 2, np.zeros(1))}
        made.append(make_tree(NBETA, losses, observables=observed))
    return made


def check(deviations: list[np.ndarray]) -> None:
    """Errors in units of what is said of them have a root mean square of 1; entries of one seed are correlated."""
    size = np.sqrt(np.mean(np.square(deviations)))
    assert 0.75 < size < 1.35


def test_errors_of_influence(trees: list[xr.DataTree]) -> None:
    exact = -LOADINGS @ LOADINGS.T / NBETA
    found = [influence(tree, "linear") for tree in trees]
    check([((each["influence"] - exact) / each["mcse"]).values for each in found])


def test_errors_of_susceptibilities_of_samples(trees: list[xr.DataTree]) -> None:
    """A linear loss does not covary with a quadratic one: what is left is -Cov(φ, -φ) = Σ h²/2 / nβ²."""
    exact = (CURVATURES**2).sum() / 2 / NBETA**2
    found = [susceptibilities(tree, "linear") for tree in trees]
    check([((each["susceptibility"] - exact) / each["mcse"]).values for each in found])


def test_errors_of_the_susceptibility_to_a_dataset(trees: list[xr.DataTree]) -> None:
    """Cov(Σ h w²/2, w₁²) = h₁ / nβ²."""
    exact = (CURVATURES**2).sum() / 2 / NBETA**2 - CURVATURES[0] / NBETA**2
    found = [susceptibility(tree, "square") for tree in trees]
    check([np.array((each.value - exact) / each.error) for each in found])
