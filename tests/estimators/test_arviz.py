"""Draws open in arviz-plots as they are."""

from typing import Any

import pytest
import torch
from torch import nn

import ontogeny as og

pytest.importorskip("matplotlib")
azp = pytest.importorskip("arviz_plots")
pytestmark = pytest.mark.filterwarnings("ignore")  # of plotting libraries about themselves


@pytest.fixture(scope="module")
def draws() -> Any:
    model, data = nn.Linear(2, 1, bias=False), (torch.eye(2).repeat(20, 1), torch.zeros(40, 1))
    nn.init.zeros_(model.weight)
    posterior = og.LocalPosterior(model, data, og.losses.mse)
    return og.sample(posterior, og.Fixed(num_chains=4, num_draws=100, num_warmup=20))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plot_trace", "plot_rank", "plot_autocorr"])
def test_plots_of_the_loss_trace(draws: Any, name: str) -> None:
    plotted = getattr(azp, name)(draws, var_names=["loss_difference"], backend="matplotlib")
    assert "loss_difference" in str(plotted.viz)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "quantile"])
def test_plots_of_the_effective_sample_size(draws: Any, kind: str) -> None:
    azp.plot_ess(draws, var_names=["loss_difference"], kind=kind, backend="matplotlib")


def test_plots_of_the_energy_are_of_both_kinds_of_kernel(draws: Any) -> None:
    """In equilibrium U of two weights and ½|p|² have the mean 1 each."""
    azp.plot_energy(draws, backend="matplotlib")
    model, data = nn.Linear(2, 1, bias=False), (torch.eye(2).repeat(20, 1), torch.zeros(40, 1))
    nn.init.zeros_(model.weight)
    posterior = og.LocalPosterior(model, data, og.losses.mse, localization=10.0)
    moving = og.sample(posterior, og.Fixed(kernel=og.SGHMC(0.1, friction=0.5), num_draws=1000, num_warmup=100))
    energy = moving["sample_stats"]["energy"]
    assert float(energy.mean()) == pytest.approx(2.0, rel=0.15)
    azp.plot_energy(moving, backend="matplotlib")
