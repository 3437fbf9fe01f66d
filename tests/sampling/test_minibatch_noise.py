"""Minibatch noise heats the directions that it points in, and only what the loss confines adds to the value."""

import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.sampling.kernels import Kernel

NBETA, LOCALIZATION = 100.0, 5.0
STIFF, FLAT, BATCH = 16, 64, 8
TRUTH = STIFF / 2 * NBETA / (NBETA + LOCALIZATION)
KERNELS = {"SGHMC": og.SGHMC(0.05, friction=0.1), "SGLD": og.SGLD(0.002)}
PLACES = {"stiff": slice(0, STIFF), "flat": slice(STIFF, None), "both": slice(0, None)}


class Weights(nn.Module):
    """½|w|² over the stiff weights, and a slope that each sample brings, which turns `often` a unit of w."""

    def __init__(self, often: float = 0.0) -> None:
        super().__init__()
        self.w, self.often = nn.Parameter(torch.zeros(STIFF + FLAT)), often

    def forward(self, slopes: Tensor) -> Tensor:
        along = torch.sin(self.often * self.w) / self.often if self.often else self.w
        return slopes @ along + (self.w[:STIFF] ** 2).sum() / 2


def samples(noisy: slice, number: int = 64) -> Tensor:
    """Slopes of mean zero: noise alone."""
    half = 0.1 * torch.randn(number // 2, STIFF + FLAT, generator=torch.Generator().manual_seed(0))
    found = torch.zeros(number, STIFF + FLAT)
    found[:, noisy] = torch.cat([half, -half])[:, noisy]
    return found


def value_of(model: nn.Module, slopes: Tensor) -> Tensor:
    return model(slopes)


def estimate(kernel: Kernel, noisy: slice, number: int = 64) -> og.Estimate:
    data = samples(noisy, number)
    posterior = og.LocalPosterior(Weights(), data, value_of, NBETA, LOCALIZATION, batch_size=BATCH)
    return og.llc(og.sample(posterior, kernel, num_chains=8, num_draws=800, num_warmup=200, thinning=2))


@pytest.mark.parametrize(
    ("kernel", "noisy"), [("SGHMC", "stiff"), ("SGHMC", "flat"), ("SGHMC", "both"), ("SGLD", "both")]
)
def test_only_noise_in_directions_that_the_loss_confines_is_subtracted(kernel: str, noisy: str) -> None:
    found = estimate(KERNELS[kernel], PLACES[noisy])
    assert abs(found.value - TRUTH) < 2.5 * found.mcse
    assert found.mcse < 0.12 * TRUTH


def test_what_localization_takes_is_as_uncertain_as_noise_makes_it() -> None:
    found = estimate(KERNELS["SGHMC"], PLACES["flat"], number=16)
    assert found.withheld_mcse > 1
    assert abs(found.withheld - LOCALIZATION / (NBETA + LOCALIZATION)) < 2.5 * found.withheld_mcse


@pytest.mark.parametrize(("often", "kept"), [(0.0, True), (10.0, False)])
def test_a_control_variate_that_adds_noise_is_given_up(often: float, kept: bool) -> None:
    data = samples(PLACES["both"])
    posterior = og.LocalPosterior(Weights(often), data, value_of, NBETA, LOCALIZATION, batch_size=BATCH)
    assert og.calibrate(posterior, fixed_batch=True).control_variate == kept


def test_a_few_draws_know_what_localization_takes_where_it_takes_nearly_all() -> None:
    """Halves are taken at every tenth draw: four of a chain."""
    nbeta, localization = 2.0, 40.0
    posterior = og.LocalPosterior(Weights(), samples(PLACES["both"]), value_of, nbeta, localization, batch_size=BATCH)
    found = og.llc(og.sample(posterior, og.SGHMC(0.05, friction=0.1), num_chains=4, num_draws=40, thinning=4))
    assert found.withheld_mcse < 0.2
    assert abs(found.withheld - localization / (nbeta + localization)) < 3 * found.withheld_mcse
