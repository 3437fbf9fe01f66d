"""Networks whose forward passes are replaced by hooks of accelerate, as `device_map` does, are copied with them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ontogeny as og

accelerate: Any = pytest.importorskip("accelerate")
X = torch.randn(40, 100, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(100, 100) for _ in range(3)), nn.Linear(100, 1))


def drawn(model: nn.Module, restriction: str | None) -> Any:
    posterior = og.LocalPosterior(model, (X, X[:, :1]), og.losses.mse, nbeta=5.0, restriction=restriction)
    draws = og.sample(posterior, og.SGLD(1e-4), num_chains=2, num_draws=6, num_warmup=0, vectorized=False)
    return posterior, np.asarray(draws["posterior"]["loss_difference"])


@pytest.mark.parametrize("restriction", [None, "2.*"])
def test_draws_are_those_of_the_network_alone(restriction: str | None) -> None:
    devices = {str(number): "cpu" for number in range(4)}
    placed = accelerate.dispatch_model(network(), device_map=devices, force_hooks=True)
    hooked = placed[2].forward
    before = [each.clone() for each in placed.parameters()]
    _, expected = drawn(network(), restriction)
    posterior, found = drawn(placed, restriction)
    np.testing.assert_array_equal(found, expected)
    assert found.std() > 0
    assert all(torch.equal(*pair) for pair in zip(placed.parameters(), before, strict=True))
    assert placed[2].forward is hooked
    assert posterior.kept_activations == (("1",) if restriction else ())
