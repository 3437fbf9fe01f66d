"""Planted deep linear networks: the point is what it says, and the exact potential is the loss."""

import math

import pytest
import torch
from torch import Tensor

from ontogeny import InvalidArgument
from ontogeny.testing.curvature import FlatLoss
from ontogeny.testing.gibbs import gibbs_energies
from ontogeny.testing.hmc import run_hmc
from ontogeny.testing.linear_networks import DeepLinear

POINTS = [
    DeepLinear((5, 10, 5)),
    DeepLinear((10, 5, 10)),
    DeepLinear((4, 5, 3, 6)),
    DeepLinear((4, 6)),
    DeepLinear((7, 7, 7), 1),
    DeepLinear((6, 6, 6, 6), 3),
    DeepLinear((4, 6, 5), (2, 4)),
    DeepLinear((3, 4, 4, 3), 0),
]
COEFFICIENTS = [12.5, 37.5, 10.5, 12.0, 20.0, 16.5, 10.0, 4.0]


def flat(target: DeepLinear) -> Tensor:
    return torch.cat([weight.flatten() for weight in target.weights]).double()


@pytest.mark.parametrize(("target", "value"), [*zip(POINTS, COEFFICIENTS, strict=True)], ids=str)
def test_coefficients(target: DeepLinear, value: float) -> None:
    assert target.learning_coefficient == value


@pytest.mark.parametrize("target", POINTS, ids=str)
def test_the_rank_of_the_jacobian_is_the_numerical_one(target: DeepLinear) -> None:
    model = target.model().double()
    parameters, identity = dict(model.named_parameters()), torch.eye(target.widths[0], dtype=torch.float64)

    def outputs(*weights: Tensor) -> Tensor:
        named = dict(zip(parameters, weights, strict=True))
        return torch.func.functional_call(model, named, (identity,)).flatten()

    parts = torch.autograd.functional.jacobian(outputs, tuple(parameters.values()))
    assert isinstance(parts, tuple)
    jacobian = torch.cat([part.flatten(1) for part in parts], dim=1)
    assert target.jacobian_rank == int(torch.linalg.matrix_rank(jacobian))


@pytest.mark.parametrize("population", [False, True])
@pytest.mark.parametrize("widths", [(4, 6, 5, 3), (3, 2)])
def test_the_potential_is_the_loss_and_its_gradient(widths: tuple[int, ...], population: bool) -> None:
    target = DeepLinear(widths, num_samples=200, population=population)
    loss, potential = FlatLoss(target.model(), target.data(), target.loss), target.potential(3.0)
    positions = loss.center + 0.3 * torch.randn(4, len(loss.center), generator=torch.Generator().manual_seed(0))
    values, gradients = potential(positions)
    for position, value, gradient in zip(positions, values, gradients, strict=True):
        torch.testing.assert_close(value, 3 * (loss(position) - loss(loss.center)))
        torch.testing.assert_close(gradient, 3 * torch.func.grad(loss)(position))


def test_without_noise_the_center_is_the_minimum() -> None:
    for target in (DeepLinear((5, 10, 5), noise=0.0), DeepLinear((5, 10, 5), population=True)):
        loss = FlatLoss(target.model(), target.data(), target.loss)
        assert float(loss(loss.center)) < 1e-11
        assert float(torch.func.grad(loss)(loss.center).abs().max()) < 1e-6


def test_a_singular_layer_has_its_rank_exactly_and_the_data_do_not_change() -> None:
    target = DeepLinear((7, 7, 7), 2, num_samples=10)
    assert [int(torch.linalg.matrix_rank(weight)) for weight in target.weights] == [2, 2]
    (x, y), (again, same) = target.data(), DeepLinear((7, 7, 7), 2, num_samples=10).data()
    assert torch.equal(x, again)
    assert torch.equal(y, same)
    assert not torch.equal(x, DeepLinear((7, 7, 7), 2, num_samples=10, seed=1).data()[0])


@pytest.mark.parametrize("rank", [(3, 1, 1), (2, 2)])
def test_points_between_the_generic_and_the_most_degenerate_are_refused(rank: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="rank"):
        DeepLinear((3, 3, 3, 3), rank)


def test_layers_draw_one_another_as_hamiltonian_dynamics_does() -> None:
    target = DeepLinear((3, 4, 3), 1, num_samples=300, noise=0.5)
    potential = target.potential(50.0)
    exact = gibbs_energies(potential, target.weights, 1.0, num_chains=16, num_draws=300)
    trace = run_hmc(potential, flat(target), 1.0, num_chains=64, num_draws=60, num_leapfrogs=16).energies
    errors = [run.mean(axis=1).std(ddof=1) / math.sqrt(len(run)) for run in (exact, trace)]
    assert errors[0] < 0.02
    assert errors[1] < 0.08
    assert abs(exact.mean() - trace.mean()) < 4 * math.hypot(*errors)
    hot = gibbs_energies(target.potential(5.0), target.weights, 1.0, num_chains=16, num_draws=300)
    assert abs(hot.mean() - trace.mean()) > 4 * math.hypot(*errors)


def test_one_layer_is_drawn_from_its_gaussian() -> None:
    target = DeepLinear((4, 3), num_samples=100, noise=0.0)
    second = target.potential(1.0).second
    curvatures = 20.0 * torch.linalg.eigvalsh(2 * second)
    expected = 3 * float((0.5 * curvatures / (curvatures + 2.0)).sum())
    found = gibbs_energies(target.potential(20.0), target.weights, 2.0, num_draws=5)
    assert found == pytest.approx(expected, rel=1e-5)
