"""SGLD on normal crossings, singular at the center, agrees with their finite-temperature value by quadrature."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

import ontogeny as og
from ontogeny.core.draws import settings_of
from ontogeny.testing import NormalCrossing, Point

NBETA, LOCALIZATION = 5.0, 1.0

# ε, such that it biases the estimate by about one per cent, and the steps, times 1/ε, in which the slowest
# direction forgets its start: a second direction is flat, and along it only the localization moves the chain.
STEPS: dict[tuple[int, ...], tuple[float, float]] = {
    (1,): (0.0025, 0.25),
    (2,): (0.0015, 0.25),
    (1, 1): (0.0025, 1.0),
    (1, 2): (0.0025, 1.0),
    (2, 2): (0.0025, 1.0),
}
QUICK = [(2,)]


@dataclasses.dataclass(frozen=True)
class Copies:
    """So many independent copies of a normal crossing in one vector: the learning coefficients add."""

    exponents: tuple[int, ...]
    count: int

    def model(self) -> Point:
        return Point(self.count * len(self.exponents))

    def loss(self, model: Point, batch: Tensor) -> Tensor:
        columns = model.w.unflatten(0, (self.count, len(self.exponents))).unbind(dim=1)
        product = torch.ones(())
        for column, k in zip(columns, self.exponents, strict=True):
            product = product * column ** (2 * k)
        return product.sum().expand(batch.shape[0])

    @property
    def exact(self) -> float:
        return self.count * NormalCrossing(self.exponents).llc(NBETA, LOCALIZATION)

    def estimate(self, finer: float = 1.0, heat: float = 1.0) -> og.Estimate:
        """From draws that say they were made at `NBETA`, by a sampler that runs at `heat` times that."""
        posterior = og.LocalPosterior(self.model(), torch.zeros(4), self.loss, NBETA * heat, LOCALIZATION)
        step_size, relaxation = STEPS[self.exponents]
        step_size /= finer
        thinning = math.ceil(relaxation / step_size / 12)
        lengths = {"num_chains": 32, "num_warmup": 54, "num_draws": 24, "thinning": thinning}
        draws = og.sample(posterior, og.SGLD(step_size), **lengths)
        draws.attrs["settings"] = dataclasses.replace(settings_of(draws), nbeta=NBETA).to_json()
        return og.llc(draws)


@pytest.mark.parametrize(
    "exponents", [*QUICK, *(pytest.param(k, marks=pytest.mark.slow) for k in STEPS if k not in QUICK)]
)
def test_sgld_agrees_with_quadrature(exponents: tuple[int, ...]) -> None:
    copies = Copies(exponents, 48)
    estimate = copies.estimate()
    assert estimate.mcse < 0.03 * estimate.value
    assert abs(estimate.value - copies.exact) < 4 * estimate.mcse


@pytest.mark.slow
@pytest.mark.parametrize("heat", [0.8, 1.2])
def test_a_sampler_at_another_temperature_does_not_agree(heat: float) -> None:
    copies = Copies((2,), 48)
    estimate = copies.estimate(heat=heat)
    assert estimate.mcse < 0.03 * estimate.value
    assert abs(estimate.value - copies.exact) > 4 * estimate.mcse


@pytest.mark.slow
@pytest.mark.parametrize("exponents", STEPS)
def test_half_the_step_gives_the_same_with_less_error_still(exponents: tuple[int, ...]) -> None:
    copies = Copies(exponents, 256)
    whole, halved = copies.estimate(), copies.estimate(finer=2)
    assert halved.mcse < 0.012 * copies.exact
    assert abs(halved.value - copies.exact) < 4 * halved.mcse
    assert abs((whole - halved).value) < 4 * (whole - halved).mcse


def test_the_target_itself_is_sampled_as_its_copies_are() -> None:
    target, copies = NormalCrossing((1, 2)), Copies((1, 2), 1)
    traces = []
    for loss in (target.loss, copies.loss):
        posterior = og.LocalPosterior(target.model(), torch.zeros(4), loss, NBETA, LOCALIZATION)
        draws = og.sample(posterior, og.SGLD(0.01), num_chains=2, num_draws=50, num_warmup=0)
        traces.append(torch.from_numpy(np.asarray(draws["posterior"]["loss_difference"])))
    torch.testing.assert_close(traces[0], traces[1])
    assert traces[0].max() > 0
