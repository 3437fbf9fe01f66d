"""What happens beside the steps of calibrated chains: a step that curvature outgrows, restarts, and what is counted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

import ontogeny as og
from ontogeny.sampling import Calibration, LocalPosterior, calibrate, sample_until
from ontogeny.testing import Gaussian, Point
from ontogeny.testing.regression import LinearRegression

NBETA, LOCALIZATION = 100.0, 1.0
TARGET = Gaussian(tuple(np.geomspace(0.1, 10, 240)))


def gaussian() -> LocalPosterior:
    return LocalPosterior(TARGET.model(), torch.zeros(16), TARGET.loss, NBETA, LOCALIZATION)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(gaussian())


def test_chains_are_heated_in_the_third_window_and_cold_in_the_last(calibration: Calibration) -> None:
    energies = NBETA * calibration.trace["loss_difference"].mean("chain").values / TARGET.llc(NBETA, LOCALIZATION)
    assert 1.5 < energies[130:200].mean() < 2.5
    assert 0.8 < energies[320:].mean() < 1.25


class Rotated:
    """Half of all directions 50,000 times as curved as the others, none of them along a coordinate."""

    size = 40

    def __init__(self) -> None:
        source = torch.Generator().manual_seed(0)
        self.basis = torch.linalg.qr(torch.randn(self.size, self.size, generator=source))[0]
        self.curvatures = torch.tensor([1e5, 1.0]).repeat_interleave(self.size // 2) / NBETA

    def loss(self, model: Point, batch: Tensor) -> Tensor:
        return (0.5 * self.curvatures * (self.basis @ model.w) ** 2).sum().expand(batch.shape[0])


def test_soft_directions_that_lag_behind_are_reached_by_heat() -> None:
    """Cold, the calibration would bring them to a twelfth of their variance, 1 / (nβh + γ) = ½."""
    target = Rotated()
    found = calibrate(
        LocalPosterior(Point(target.size), torch.zeros(16), target.loss, NBETA, LOCALIZATION), num_chains=8
    )
    soft = (found.positions @ target.basis.T)[:, target.size // 2 :]
    assert float(soft.square().mean()) * 2 > 0.2


def longer(calibration: Calibration, factor: float) -> Calibration:
    """The same with other steps."""
    return replace(calibration, kernel=replace(calibration.kernel, step_size=factor * calibration.kernel.step_size))


def test_steps_that_curvature_has_outgrown_are_shortened(calibration: Calibration) -> None:
    """A quadratic does not heat longer steps, so that only a look at the curvature can tell."""
    few = calibration.gradient_evaluations + 20_000  # some looks, and no restart, which would shorten steps too
    found = og.llc(sample_until(gaussian(), longer(calibration, 1.9), error=0.1, budget=few))
    assert found.settings is not None
    assert 0.3 < found.settings.step_size / calibration.kernel.step_size < 1.05


@pytest.mark.slow
def test_chains_whose_steps_were_shortened_converge(calibration: Calibration) -> None:
    found = og.llc(sample_until(gaussian(), longer(calibration, 1.9), error=0.1))
    assert found.settings is not None
    assert 0.3 < found.settings.step_size / calibration.kernel.step_size < 1.05
    assert found.outcome is og.Outcome.CONVERGED


def test_steps_at_which_chains_are_lost_are_begun_again_with_shorter_ones(calibration: Calibration) -> None:
    found = og.llc(sample_until(gaussian(), longer(calibration, 7.0), error=0.05))
    assert found.settings is not None
    assert found.settings.step_size < 3 * calibration.kernel.step_size
    assert found.outcome is og.Outcome.CONVERGED
    assert abs(found.value - TARGET.llc(NBETA, LOCALIZATION)) < 4 * found.mcse


@pytest.mark.slow
def test_few_noisy_draws_are_no_reason_to_begin_again() -> None:
    """Equipartition of thirty directions over 27 draws exceeds its limit by chance."""
    target = Gaussian((1.0,) * 30)
    posterior = LocalPosterior(target.model(), torch.zeros(16), target.loss, NBETA, LOCALIZATION)
    chosen = calibrate(posterior)
    for seed in range(3):
        found = og.llc(sample_until(posterior, chosen, error=0.06, seed=seed))
        assert found.settings is not None
        assert found.settings.step_size > 0.4 * chosen.kernel.step_size  # once at most
        assert found.outcome is og.Outcome.CONVERGED


def test_without_an_end_chains_are_begun_again_six_times_at_most(calibration: Calibration) -> None:
    found = og.llc(sample_until(gaussian(), longer(calibration, 1e6), error=0.05))
    assert found.outcome is og.Outcome.DIVERGED


def test_minibatches_that_add_too_much_are_made_larger() -> None:
    """Labels of unit noise, and batches of eight without a control variate."""
    target = LinearRegression(20, num_samples=2000, noise=1.0)
    posterior = LocalPosterior(target.model(), target.data(), target.loss)
    chosen = calibrate(posterior)
    noisy = replace(chosen, batch_size=8, control_variate=False)
    found = og.llc(sample_until(posterior, noisy, error=0.05))
    assert found.settings is not None
    assert found.settings.batch_size >= 32
    assert found.diagnostics is not None
    assert found.diagnostics.inflation < 0.1
    assert abs(found.value - target.llc(posterior.nbeta, 1.0)) < 4 * found.mcse


@pytest.fixture(scope="module")
def draws(calibration: Calibration) -> xr.DataTree:
    return sample_until(gaussian(), calibration, error=0.05)


def test_calibrated_draws_count_six_thousandths_for_finite_steps(draws: xr.DataTree) -> None:
    found = og.llc(draws)
    assert found.diagnostics is not None
    besides = found.mcse**2 - found.diagnostics.monte_carlo_error**2
    assert besides >= 0.99 * (0.006 * found.complexity) ** 2


def test_all_draws_are_one_run_whose_first_third_is_warm_up(calibration: Calibration, draws: xr.DataTree) -> None:
    warm, kept = (draws[group].sizes["draw"] for group in ("warmup_posterior", "posterior"))
    assert warm == (warm + kept) // 3
    settings = og.llc(draws).settings
    assert settings is not None
    assert (settings.num_warmup, settings.num_draws) == (warm, kept)
    spent = settings.gradient_evaluations - calibration.gradient_evaluations
    assert spent >= (warm + kept) * 4 * 16
