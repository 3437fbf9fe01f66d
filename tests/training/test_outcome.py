"""How training leaves the caller's model, and what it says of a loss that is not finite."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ontogeny.core import losses
from ontogeny.stores import open_checkpoints
from ontogeny.training import TrainingConfig, TrainingDiverged, train

X = torch.linspace(-1, 1, 16)[:, None]
CONFIG = TrainingConfig(num_steps=6, batch_size=4, checkpoints_log=4, checkpoints_linear=0, log_every=2)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, 3), nn.Dropout(0.5), nn.Linear(3, 1))


def test_a_model_comes_back_in_its_modes() -> None:
    model = network().eval()
    model[0].train()
    train(model, (X, X), losses.mse, CONFIG)
    assert [module.training for module in model] == [True, False, False]
    assert not model.training


def nan_on_one_sample(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return losses.mse(model, batch) + torch.where(batch[0].flatten() > 0.9, torch.nan, 0.0)


def test_a_loss_that_is_not_finite_ends_training_and_names_its_step(tmp_path: Path) -> None:
    model = network().eval()
    with pytest.raises(TrainingDiverged, match=r"the loss of step \d is nan\. Lower learning_rate \(now 0\.001\)"):
        train(model, (X, X), nan_on_one_sample, CONFIG, tmp_path)
    assert not model.training
    assert all(tensor.isfinite().all() for tensor in model.parameters())
    assert open_checkpoints(tmp_path).steps[0] == 0


@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_a_rate_that_is_far_too_large_is_said(rate: float) -> None:
    config = CONFIG.model_copy(update={"learning_rate": rate, "optimizer": "sgd"})
    with pytest.raises(TrainingDiverged, match="Lower learning_rate"):
        train(network(), (X, X), losses.mse, config)
