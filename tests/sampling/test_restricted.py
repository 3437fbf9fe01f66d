"""A restricted posterior moves the free coordinates alone, and its value is that of their block."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.testing import Gaussian

FIRST, SECOND = tuple(np.geomspace(1, 10, 40)), tuple(np.geomspace(0.5, 4, 60))
NBETA, LOCALIZATION, STEP_SIZE = 100.0, 4.0, 4e-4


class Blocks(nn.Module):
    """Two blocks of weights with curvatures of their own, which the loss couples."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.ones(len(FIRST)))
        self.second = nn.ParameterDict({"even": torch.zeros(30), "odd": torch.zeros(30)})


def loss(model: Blocks, batch: Tensor) -> Tensor:
    second = torch.cat([model.second["even"], model.second["odd"]])
    own = (0.5 * torch.tensor(FIRST) * (model.first - 1) ** 2).sum() + (0.5 * torch.tensor(SECOND) * second**2).sum()
    coupling = ((model.first - 1).sum() * second.sum()).square()
    return (own + coupling).expand(batch.shape[0])


@pytest.mark.parametrize(
    ("pattern", "curvatures"),
    [
        ("second.even | *.odd", SECOND),
        ("second.odd", SECOND[30:]),
        *(pytest.param(*row, marks=pytest.mark.slow) for row in (("first", FIRST), ("second", SECOND))),
    ],
)
def test_the_value_is_that_of_the_free_block(pattern: str, curvatures: tuple[float, ...]) -> None:
    posterior = og.LocalPosterior(Blocks(), torch.zeros(4), loss, NBETA, LOCALIZATION, restriction=pattern)
    assert posterior.num_parameters == len(curvatures)
    lengths = {"num_chains": 32, "num_draws": 40, "num_warmup": 20, "thinning": 10}
    estimate = og.llc(og.sample(posterior, og.SGLD(STEP_SIZE), **lengths))
    assert estimate.mcse < 0.02 * estimate.value
    assert abs(estimate.value - Gaussian(curvatures).llc(NBETA, LOCALIZATION)) < 4 * estimate.mcse
    assert estimate.settings is not None
    assert (estimate.settings.restriction, estimate.settings.num_parameters) == (pattern, len(curvatures))


@pytest.mark.parametrize("vectorized", [True, False], ids=["vectorized", "one by one"])
def test_what_is_frozen_stays_at_the_center(vectorized: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    seen: dict[str, list[Tensor]] = {name: [] for name, _ in model.named_parameters()}

    def watched(model: nn.Module, batch: Tensor) -> Tensor:
        for name, parameter in model.named_parameters():
            if not vectorized:
                seen[name].append(parameter.detach().clone())
        return model(batch).square().sum(dim=1)

    restriction = og.restrict(model, "2.weight | 0.bias")
    assert {name for name, mask in restriction.masks().items() if mask.all()} == {"2.weight", "0.bias"}
    posterior = og.LocalPosterior(model, torch.randn(9, 3), watched, restriction=restriction)
    assert posterior.num_parameters == sum(int(mask.sum()) for mask in restriction.masks().values()) == 12
    draws = og.sample(posterior, og.SGLD(0.01), num_chains=2, num_draws=20, num_warmup=0, vectorized=vectorized)
    assert (np.asarray(draws["sample_stats"]["distance"])[:, 1:] > 0).all()
    for name, values in seen.items():
        center = dict(model.named_parameters())[name]
        assert all(torch.equal(value, center) for value in values) == (name not in restriction.free or vectorized)


def test_all_parameters_named_are_all_parameters() -> None:
    model, data = nn.Linear(3, 2), (torch.randn(9, 3), torch.randn(9, 2))
    lengths = {"num_chains": 2, "num_draws": 5, "num_warmup": 0}
    whole, named = (
        og.sample(og.LocalPosterior(model, data, og.losses.mse, restriction=pattern), og.SGLD(1e-3), **lengths)
        for pattern in (None, "weight | bias")
    )
    np.testing.assert_allclose(
        whole["posterior"]["loss_difference"], named["posterior"]["loss_difference"], rtol=1e-4, atol=1e-7
    )


class Twice(nn.Module):
    """One module under two paths, and a matrix tied to one of its own; it speaks of its parameters by other names."""

    def __init__(self) -> None:
        super().__init__()
        direct = nn.Linear(3, 3)
        self.wrapped, self.direct = nn.ModuleDict({"inside": direct}), direct
        self.last = nn.Linear(3, 3, bias=False)
        self.last.weight = direct.weight

    def forward(self, batch: Tensor) -> Tensor:
        return self.last(torch.tanh(self.direct(batch)))

    def named_parameters(self, *args: object, **kwargs: object) -> Iterator[tuple[str, nn.Parameter]]:
        return ((f"mine.{name}", tensor) for name, tensor in super().named_parameters())


def test_a_module_with_two_paths_is_sampled_and_left_alone() -> None:
    torch.manual_seed(0)
    model = Twice()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data, lengths = (torch.randn(9, 3), torch.randn(9, 3)), {"num_chains": 2, "num_draws": 5, "num_warmup": 0}
    posterior = og.LocalPosterior(model, data, og.losses.mse, restriction="wrapped.inside.*")
    assert posterior.num_parameters == 12
    one, all_at_once = (
        og.sample(posterior, og.SGLD(1e-2), vectorized=each, **lengths)["posterior"]["loss_difference"]
        for each in (False, True)
    )
    np.testing.assert_allclose(one, all_at_once, rtol=1e-4, atol=1e-7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
