"""What is said to be spent is what was spent, and no more than was allowed, also where a pass over the data is dear."""

import pytest
from torch import Tensor, nn

import ontogeny as og
from ontogeny.testing.regression import LinearRegression

NUM_SAMPLES = 100_000
TARGET = LinearRegression(4, num_samples=NUM_SAMPLES, noise=0.5)


class Counted:
    """A loss that counts the samples whose gradients are taken, and that runs for one chain at a time."""

    def __init__(self) -> None:
        self.samples = 0

    def __call__(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        losses = TARGET.loss(model, batch)
        assert bool(losses.detach().isfinite().all())  # what depends on data does not run under vmap
        losses.register_hook(self._count)  # which runs with the backward pass
        return losses

    def _count(self, gradient: Tensor) -> None:
        self.samples += len(gradient)


@pytest.mark.parametrize(
    "share", [pytest.param(0.5, marks=pytest.mark.slow), 2.0, pytest.param(5.0, marks=pytest.mark.slow)]
)
def test_a_budget_is_kept_on_many_samples(share: float) -> None:
    """Below and above two passes over the data, where one over all of them at w* is made or not."""
    budget, loss = int(share * NUM_SAMPLES), Counted()
    posterior = og.LocalPosterior(TARGET.model(), TARGET.data(), loss)
    settings = og.llc(og.Calibrated(budget=budget).draw(posterior)).settings
    assert settings is not None
    assert settings.gradient_evaluations <= 1.02 * budget
    assert settings.gradient_evaluations > 0.5 * budget
    assert loss.samples == pytest.approx(settings.gradient_evaluations, rel=0.02)


@pytest.mark.parametrize("budget", [100, 4000])
def test_what_a_budget_too_small_for_any_estimate_costs_is_bounded_and_said(budget: int) -> None:
    posterior = og.LocalPosterior(TARGET.model(), TARGET.data(), TARGET.loss)
    estimate = og.llc(og.Calibrated(budget=budget).draw(posterior))
    assert estimate.settings is not None
    assert estimate.settings.gradient_evaluations < 1600 * 5
    assert estimate.outcome is not og.Outcome.CONVERGED
    assert estimate.draws is not None
    assert estimate.draws["posterior"].sizes["draw"] < 20
