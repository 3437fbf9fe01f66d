"""Every verdict is met by a posterior that deserves it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ontogeny as og
from ontogeny.testing import Gaussian, Point

BOWL = Gaussian((1.0,) * 10)


def estimate(step_size: float = 0.02, **changes: int) -> og.Estimate:
    """Curvatures c = nβh + γ = 11, so that a chain forgets its start within 1/(11 ε) steps."""
    posterior = og.LocalPosterior(BOWL.model(), torch.zeros(4), BOWL.loss, nbeta=10.0, localization=1.0)
    lengths: dict[str, Any] = {"num_chains": 4, "num_draws": 200, "num_warmup": 50} | changes
    return og.llc(og.sample(posterior, og.SGLD(step_size), **lengths))


def test_converged() -> None:
    found = estimate(thinning=2)
    assert found.outcome is og.Outcome.CONVERGED
    assert found.advice == ""
    assert abs(found.value - BOWL.llc(10.0, 1.0)) < 4 * found.mcse  # what finite steps add is taken off


def test_a_slow_chain_without_warm_up_has_not_converged() -> None:
    found = estimate(step_size=1e-4, num_warmup=0)
    assert found.outcome is og.Outcome.NOT_CONVERGED
    assert found.rhat > 1.05
    assert "num_warmup" in found.advice
    assert found.value < 0.5 * BOWL.llc(10.0, 1.0)  # it is still on its way up, which the verdict says


@pytest.mark.parametrize(("num_chains", "num_draws"), [(4, 3), (4, 1), (1, 50)])
def test_too_few_draws(num_chains: int, num_draws: int) -> None:
    found = estimate(step_size=0.1, num_chains=num_chains, num_draws=num_draws)
    assert found.outcome is og.Outcome.TOO_FEW_DRAWS
    assert "num_draws or num_chains" in found.advice


@pytest.mark.parametrize(
    ("step_size", "num_draws"),
    [(5e-4, 60), (1e-3, 30), *(pytest.param(*row, marks=pytest.mark.slow) for row in ((5e-4, 30), (1e-3, 60)))],
)
def test_chains_that_only_stiff_directions_have_settled_in_are_not_trusted(step_size: float, num_draws: int) -> None:
    """Half of the value is in directions that take 180 steps and more: R-hat and ESS see the other half alone."""
    target = Gaussian((100.0,) * 5 + (1.0,) * 5)
    posterior = og.LocalPosterior(target.model(), torch.zeros(4), target.loss, nbeta=10.0, localization=1.0)
    for seed in range(6):
        lengths: dict[str, Any] = {"num_chains": 4, "num_draws": num_draws, "num_warmup": num_draws // 3}
        found = og.llc(og.sample(posterior, og.SGLD(step_size), seed=seed, **lengths))
        assert found.value < 0.8 * target.llc(10.0, 1.0, step_size), seed
        assert found.outcome in (og.Outcome.NOT_CONVERGED, og.Outcome.TOO_FEW_DRAWS), seed


def test_one_chain_cannot_be_told_to_have_converged() -> None:
    found = estimate(num_chains=1, num_draws=1000)
    assert found.ess > 50
    assert found.outcome is og.Outcome.TOO_FEW_DRAWS


def test_a_center_that_is_no_minimum_is_said_and_not_clipped() -> None:
    """K = a·w has the exact value -(nβ)²|a|²/γ at every step size: a chain's mean is not biased by its step."""

    def slope(model: Point, batch: Tensor) -> Tensor:
        return 0.1 * model.w.sum().expand(batch.shape[0])

    posterior = og.LocalPosterior(Point(10), torch.zeros(4), slope, nbeta=20.0, localization=10.0)
    found = og.llc(og.sample(posterior, og.SGLD(0.1), num_chains=4, num_draws=400, num_warmup=50))
    assert found.outcome is og.Outcome.NOT_A_MINIMUM
    assert "not a minimum" in found.advice
    exact = -(20.0**2) * 10 * 0.1**2 / 10.0
    assert abs(found.value - exact) < 4 * found.mcse
    assert found.mcse < 0.1 * abs(exact)


def test_warm_up_is_never_averaged_in() -> None:
    """A warm-up of another length changes which steps are draws, and nothing else."""
    short, long = (estimate(num_warmup=warmup, num_draws=250 - warmup) for warmup in (0, 100))
    assert short.draws is not None
    assert long.draws is not None
    late = np.asarray(short.draws["posterior"]["loss_difference"])[:, 100:].astype(float)
    added = np.asarray(short.draws["sample_stats"]["inflation"])[:, 100:].astype(float)
    assert long.value == pytest.approx(10.0 * late.mean() - added.mean(), rel=1e-6)
    assert long.value != pytest.approx(short.value, rel=1e-3)
