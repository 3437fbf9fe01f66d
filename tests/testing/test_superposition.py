"""Symmetric minima of the toy model of superposition, against the published table and against sampled inputs."""

import pytest
import torch

from ontogeny import InvalidArgument
from ontogeny.testing.superposition import Autoencoder, Superposition, expected_loss

# Chen et al., arXiv 2310.06301: length and bias of the corners, loss and λ with six features
PUBLISHED = {
    Superposition(2, 5, free=1): (1.17046, -0.28230, 0.06180, 8.5),
    Superposition(2, 6): (1.32053, -0.61814, 0.04819, 8.5),
}


@pytest.mark.parametrize("target", PUBLISHED, ids=str)
def test_polygons_are_the_published_ones(target: Superposition) -> None:
    length, bias, loss, coefficient = PUBLISHED[target]
    model = target.model()
    assert model.W.norm(dim=0)[0].item() == pytest.approx(length, abs=1e-5)
    assert model.b[0].item() == pytest.approx(bias, abs=1e-5)
    assert target.loss(model, target.data())[0].item() == pytest.approx(loss, abs=1e-5)
    assert target.learning_coefficient == coefficient


@pytest.mark.parametrize("target", [Superposition(2, 7), Superposition(3), Superposition(3, free=2)], ids=str)
def test_only_rotations_are_flat(target: Superposition) -> None:
    rotations = target.hidden * (target.hidden - 1) // 2
    assert sum(parameter.numel() for parameter in target.model().parameters()) == target.num_parameters
    assert target.learning_coefficient == (target.num_parameters - rotations) / 2


@pytest.mark.slow
@pytest.mark.parametrize("target", [Superposition(4), Superposition(4, free=6), Superposition(5)], ids=str)
def test_only_rotations_are_flat_in_more_dimensions(target: Superposition) -> None:
    test_only_rotations_are_flat(target)


def test_the_expected_loss_is_the_mean_over_inputs() -> None:
    source = torch.Generator().manual_seed(0)
    model = Autoencoder(torch.randn(2, 5, generator=source), 0.5 * torch.randn(5, generator=source)).double()
    magnitudes = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    x = magnitudes[:, None, None] * torch.eye(5, dtype=torch.float64)
    expected = (x - model(x)).square().sum(dim=-1).mean()
    torch.testing.assert_close(expected_loss(model.W, model.b), expected, rtol=1e-5, atol=0.0)


def test_the_expected_loss_of_absent_features_is_that_of_their_bias() -> None:
    for bias, loss in ((1 / 12, (1 / 3 - 1 / 12 + 1 / 144) / 6 + 5 / 6 / 144), (-0.3, 1 / 18)):
        found = expected_loss(torch.zeros(2, 6), torch.full((6,), bias))
        assert found.item() == pytest.approx(6 * loss, rel=1e-5)
        assert torch.isfinite(torch.func.grad(expected_loss)(torch.zeros(2, 6), torch.full((6,), bias))).all()


def test_rows_have_one_feature_each_and_the_mean_loss_of_the_population() -> None:
    target = Superposition(2, 6, num_samples=20_000, population=False)
    rows = target.data()
    assert int((rows != 0).sum(dim=1).max()) == 1
    losses = target.loss(target.model(), rows).detach()
    error = float(losses.std()) / 20_000**0.5
    assert error < 0.001
    assert abs(float(losses.mean()) - 0.04819) < 4 * error


@pytest.mark.parametrize(("hidden", "corners"), [(1, None), (2, 4), (3, 11), (4, 24)])
def test_other_arrangements_are_refused(hidden: int, corners: int | None) -> None:
    with pytest.raises(InvalidArgument, match="corners"):
        Superposition(hidden, corners)
