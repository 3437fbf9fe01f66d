"""How to train: settings, and the optimizer that they mean."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from ontogeny.core.settings import Settings
from ontogeny.training.schedule import Schedule


class TrainingConfig(Settings):
    """How to train.

    Attributes:
        optimizer: AdamW, Adam or SGD (with `betas[0]` as its momentum).
        clip_norm: largest norm of the gradient; 0 leaves it alone.
        checkpoints_log, checkpoints_linear: how many checkpoints spaced evenly in log step and in step (see
            `checkpoint_steps`).
        state_every: steps between saves of the optimizer's state, from which a killed run goes on.
    """

    num_steps: PositiveInt
    batch_size: PositiveInt = 32
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    checkpoints_log: int = 40
    checkpoints_linear: int = 20
    state_every: PositiveInt = 200
    log_every: PositiveInt = 10
    seed: int = 0


def gradient_descent(num_steps: int, learning_rate: float, **changes: Any) -> TrainingConfig:
    """SGD without momentum, for small networks: the state is saved every thousand steps, and every hundredth is logged.

    Args:
        changes: of other settings.
    """
    plain: dict[str, Any] = {"optimizer": "sgd", "betas": (0.0, 0.0), "state_every": 1000, "log_every": 100}
    return TrainingConfig(num_steps=num_steps, learning_rate=learning_rate, **plain | changes)


def optimizer_of(parameters: Iterable[Tensor], config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer of these settings, each of which updates every number by itself."""
    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    match config.optimizer:
        case "adamw":
            return torch.optim.AdamW(parameters, betas=config.betas, **shared)
        case "adam":
            return torch.optim.Adam(parameters, betas=config.betas, **shared)
        case "sgd":
            return torch.optim.SGD(parameters, momentum=config.betas[0], **shared)
