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


@pytest.mark.parametrize("name", ["plot_trace", "plot_rank", "plot_autocorr"])
def test_plots_of_the_loss_trace(draws: Any, name: str) -> None:
    plotted = getattr(azp, name)(draws, var_names=["loss_difference"], backend="matplotlib")
    assert "loss_difference" in str(plotted.viz)


@pytest.mark.parametrize("kind", ["local", "quantile"])
def test_plots_of_the_effective_sample_size(draws: Any, kind: str) -> None:
    azp.plot_ess(draws, var_names=["loss_difference"], kind=kind, backend="matplotlib")
