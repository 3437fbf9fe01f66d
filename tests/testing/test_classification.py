"""Classifiers stand at minima: no slope, and a Hessian whose rank is twice the coefficient that they state."""

import pytest
import torch

from ontogeny import InvalidArgument
from ontogeny.testing.classification import Interpolator, SoftmaxRegression
from ontogeny.testing.curvature import FlatLoss

TARGETS = [
    SoftmaxRegression(6, 4, 400),
    SoftmaxRegression(10, 2, 500, signal=2.0),
    Interpolator((4, 12, 3), "tanh", 8, 20),
    Interpolator((4, 12, 3), "relu", 8, 20),
    Interpolator((3, 8, 8, 2), "relu", 10, 15, seed=1),
]


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_there_is_no_slope_and_curvature_in_as_many_directions_as_said(
    target: SoftmaxRegression | Interpolator,
) -> None:
    loss = FlatLoss(target.model(), target.data(), target.loss)
    assert float(torch.func.grad(loss)(loss.center).abs().max()) < 1e-6
    eigenvalues = torch.linalg.eigvalsh(loss.hessian(loss.center)) / loss(loss.center)
    curved = int(2 * target.learning_coefficient)
    assert len(eigenvalues) == target.num_parameters > curved
    assert float(eigenvalues[:-curved].abs().max()) < 1e-6  # the weights are rounded to float32
    assert float(eigenvalues[-curved]) > 1e-4


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_labels_are_a_sample_each_and_do_not_change(target: SoftmaxRegression | Interpolator) -> None:
    (x, labels), (again, same) = target.data(), target.data()
    assert len(x) == len(labels) == target.num_samples
    assert torch.equal(x, again)
    assert torch.equal(labels, same)
    losses = target.loss(target.model(), (x, labels))
    assert losses.shape == (target.num_samples,)


def test_an_interpolator_gives_the_frequencies_of_its_labels() -> None:
    target = Interpolator((4, 12, 3), "tanh", 8, 20)
    inputs, frequencies = target.condensed()
    x, labels = target.data()
    for row, wanted in zip(inputs, frequencies, strict=True):
        here = labels[(x == row).all(dim=1)]
        assert torch.equal(torch.bincount(here, minlength=3).double() / 20, wanted)
    torch.testing.assert_close(target.model()(inputs).softmax(dim=1).double(), frequencies, atol=1e-6, rtol=0)
    assert float(frequencies.min()) > 0


def test_the_condensed_rows_have_the_loss_of_all() -> None:
    target = Interpolator((4, 12, 3), "relu", 8, 20)
    whole, condensed = (FlatLoss(target.model(), rows, target.loss) for rows in (target.data(), target.condensed()))
    position = whole.center + 0.1 * torch.randn(len(whole.center), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(whole(position), condensed(position))


def test_data_without_a_minimum_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="minimum"):
        SoftmaxRegression(30, 3, 40, signal=4.0).model()
    with pytest.raises(InvalidArgument, match="minimum"):
        Interpolator((2, 2, 3), "tanh", 30, 20).model()
    with pytest.raises(InvalidArgument, match="widths"):
        Interpolator((2, 3)).model()
