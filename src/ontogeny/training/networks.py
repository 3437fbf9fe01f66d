"""What the loop trains: one network with its optimizer. `instances` has the same for many at once."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.core.losses import per_sample
from ontogeny.core.seeds import derive
from ontogeny.training.config import TrainingConfig, optimizer_of
from ontogeny.training.schedule import learning_rate_factor
from ontogeny.training.stages import Stage

Weights = dict[str, Tensor]


class Trained(ABC):
    """One network or several: what the loop needs of them.

    Attributes:
        models: the networks.
        optimizer: of the present stage.
    """

    models: list[nn.Module]
    optimizer: torch.optim.Optimizer

    @abstractmethod
    def begin(self, stage: Stage, first: int) -> None:
        """A new optimizer, for the stage that begins at this step."""

    @abstractmethod
    def weights(self) -> list[Weights]:
        """Copies of the state dicts of each network."""

    @abstractmethod
    def load(self, weights: list[Weights]) -> None:
        """Take the state dicts of each network."""

    @abstractmethod
    def losses(self, step: int, running: Tensor) -> Tensor:
        """The mean loss of each network on its batch at this step, (network,), changing none that has stopped."""

    @abstractmethod
    def update(self, losses: Tensor, running: Tensor, step: int) -> None:
        """One update by these losses, of the networks that run still."""

    @abstractmethod
    def settle(self) -> None:
        """Give each network its weights, where they have been elsewhere."""


class Network(Trained):
    """One network."""

    def __init__(self, model: nn.Module) -> None:
        self.models = [model]
        self._model, self._device = model, next(model.parameters()).device

    def begin(self, stage: Stage, first: int) -> None:
        self._stage, self._first = stage, first
        self.optimizer = optimizer_of(self._model.parameters(), stage.config)

    def weights(self) -> list[Weights]:
        return [copied(self._model.state_dict())]

    def load(self, weights: list[Weights]) -> None:
        self._model.load_state_dict(weights[0])

    def losses(self, step: int, running: Tensor) -> Tensor:
        config = self._stage.config
        batch = self._stage.data.at(config.seed, step, self._device)
        with torch.random.fork_rng(enabled=True):  # dropout at a step depends on seed and step, not on the past
            torch.manual_seed(derive(config.seed, "dropout", step))
            return per_sample(self._stage.loss_fn, self._model, batch, config.batch_size).mean()[None]

    def update(self, losses: Tensor, running: Tensor, step: int) -> None:
        set_rate(self.optimizer, self._stage.config, step - self._first)
        self.optimizer.zero_grad()
        losses.sum().backward()
        if self._stage.config.clip_norm:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._stage.config.clip_norm)
        self.optimizer.step()

    def settle(self) -> None:
        """They have been nowhere else."""


def set_rate(optimizer: torch.optim.Optimizer, config: TrainingConfig, step: int) -> None:
    """Give the optimizer the learning rate of this step of its stage."""
    factor = learning_rate_factor(config.schedule, step, config.num_steps, config.warmup_steps)
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * factor


def copied(weights: Any) -> Weights:
    """A state dict of its own."""
    return {name: tensor.detach().clone() for name, tensor in weights.items()}
