"""Parameters with `requires_grad=False` stay where they are, under any sampler."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.losses import mse

INPUTS = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
SAMPLERS = [og.Calibrated(budget=8000, num_chains=2), og.Fixed(kernel=og.SGLD(1e-4), num_draws=5, num_warmup=1)]


def network() -> nn.Sequential:
    """With a first layer that is frozen: of 12 + 5 + 4 + 1 weights five are free."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    model[0].requires_grad_(False)
    return model


def data() -> tuple[Tensor, Tensor]:
    return INPUTS, network()(INPUTS).detach()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["calibrated", "fixed"])
def test_what_is_frozen_stays_and_what_is_free_is_said(sampler: Any) -> None:
    model, seen = network(), []

    def watched(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        seen.append([parameter.detach().clone() for parameter in model.parameters()])
        return mse(model, batch)

    posterior = og.LocalPosterior(model, data(), watched)
    assert posterior.num_parameters == 5
    found = og.llc(sampler.draw(posterior))
    center = [parameter.detach() for parameter in model.parameters()]
    changed = [any(not torch.equal(at[part], center[part]) for at in seen[5:]) for part in range(2)]
    assert changed == [False, False]
    assert "5 free weights" in str(found)
    assert found.settings is not None
    assert found.settings.num_parameters == 5


def test_a_frozen_part_of_a_restriction_stays_too() -> None:
    assert og.LocalPosterior(network(), data(), mse, restriction="0.bias | 2.bias").num_parameters == 1


@pytest.mark.parametrize(("restriction", "argument"), [(None, "model"), ("0.*", "restriction")])
def test_nothing_but_frozen_parameters_is_refused(restriction: str | None, argument: str) -> None:
    model = network()
    if restriction is None:
        model.requires_grad_(False)
    with pytest.raises(og.InvalidArgument, match=r"frozen ones: 0\.weight, 0\.bias") as caught:
        og.LocalPosterior(model, data(), mse, restriction=restriction)
    assert caught.value.argument == argument
    model.requires_grad_(True)  # as it advises
    assert og.LocalPosterior(model, data(), mse, restriction=restriction).num_parameters > 0
