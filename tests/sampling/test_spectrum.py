"""The spectrum at w* of losses whose curvatures are known, and what it says that localization takes."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.sampling.spectrum import spectrum

NUM_SAMPLES = 1000
NBETA = NUM_SAMPLES / math.log(NUM_SAMPLES)


def least_squares(curvatures: Tensor) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A linear model whose nβ L has these curvatures."""
    source = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(NUM_SAMPLES, len(curvatures), generator=source, dtype=torch.float64))[0]
    inputs = (basis * (NUM_SAMPLES * curvatures / NBETA / 2).sqrt()).float()
    model = nn.Linear(len(curvatures), 1, bias=False)
    return model, (inputs, model(inputs).detach())


@pytest.mark.parametrize("size", [60, 500], ids=["exact", "Lanczos"])
def test_curvatures_of_least_squares(size: int) -> None:
    curvatures = torch.logspace(-1, 2, size, dtype=torch.float64)
    model, data = least_squares(curvatures)
    found = spectrum(og.LocalPosterior(model, data, og.losses.mse), seed=0)
    assert found is not None
    assert found.counts.sum() == pytest.approx(size)
    for localization in (0.1, 1.0, 30.0):
        expected = float((curvatures / (curvatures + localization)).sum() / 2)
        assert found.quadratic(localization) == pytest.approx(expected, rel=1e-4 if size == 60 else 0.06)
        withheld = 1 - expected / (size / 2)
        assert found.withheld(localization) < withheld + 0.02
        if size == 60:
            assert found.withheld(localization) == pytest.approx(withheld, abs=0.01)


@pytest.mark.parametrize("size", [60, 500], ids=["exact", "Lanczos"])
def test_directions_that_are_flat_withhold_nothing(size: int) -> None:
    curvatures = torch.logspace(1, 4, size, dtype=torch.float64)
    curvatures[size // 3 :] = 0
    model, data = least_squares(curvatures)
    found = spectrum(og.LocalPosterior(model, data, og.losses.mse), seed=0)
    assert found is not None
    assert found.withheld(1.0) < 0.05


def test_only_free_coordinates_count() -> None:
    first = nn.Linear(3, 2, bias=False)
    model, x = nn.Sequential(first, nn.Linear(2, 1, bias=False)), torch.randn(NUM_SAMPLES, 3)
    posterior = og.LocalPosterior(model, (x, model(x).detach()), og.losses.mse, restriction="1.weight")
    found = spectrum(posterior, seed=0)
    hidden = x @ first.weight.T
    expected = torch.linalg.eigvalsh(2 * posterior.nbeta * hidden.T @ hidden / NUM_SAMPLES).detach()
    assert found is not None
    np.testing.assert_allclose(found.curvatures, expected, rtol=1e-4)


def test_a_loss_without_second_derivatives_has_none() -> None:
    def once(x: Tensor) -> Tensor:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*[x.expand(1, 1, len(x), 1)] * 3)[0][0, 0]

    def loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return once(network(batch[0]) - batch[1]).sum(1)

    model, data = least_squares(torch.ones(5, dtype=torch.float64))
    assert spectrum(og.LocalPosterior(model, data, loss), seed=0) is None


@pytest.mark.parametrize("weak", [0.3, *(pytest.param(weak, marks=pytest.mark.slow) for weak in (4.0, 1e3))])
def test_what_localization_takes_is_said(weak: float) -> None:
    """Beside the value, whose verdict it does not change."""
    curvatures = torch.tensor([1e4, weak], dtype=torch.float64).repeat_interleave(15)
    model, data = least_squares(curvatures)
    found = og.estimate_llc(model, data, og.losses.mse, sampler=og.Calibrated(error=0.05))
    assert found.outcome is og.Outcome.CONVERGED
    expected = 1 - float((curvatures / (curvatures + 1)).sum() / 30)
    assert found.withheld == pytest.approx(expected, abs=0.02)
    assert found.withheld_mcse == 0
    assert (f"γ takes {found.withheld:.0%} or more" in str(found)) == (expected > 0.05)
