"""Many instances of one small network trained as one: their weights stacked, their passes mapped by `torch.func`."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ontogeny.core.losses import per_sample
from ontogeny.core.seeds import derive
from ontogeny.training.config import optimizer_of
from ontogeny.training.networks import Trained, Weights, copied, set_rate
from ontogeny.training.stages import Stage


class Instances(Trained):
    """Networks of one architecture, one optimizer on their stacked weights.

    Optimizers update every number by itself and clipping is by instance, so that each is trained as it would be alone,
    to rounding. One that diverges keeps its weights while the others go on.

    Args:
        models: of one architecture, with weights of their own (see `check_instances`).
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.models = list(models)
        self.network = copy.deepcopy(models[0]).train()  # whose weights are put in place for each pass
        self._device = next(models[0].parameters()).device
        self._parameters = {
            name: torch.stack([model.get_parameter(name).detach() for model in models]).requires_grad_(
                each.requires_grad
            )
            for name, each in models[0].named_parameters()
        }
        self._buffers = {
            name: torch.stack([model.get_buffer(name) for model in models]) for name, _ in models[0].named_buffers()
        }

    def begin(self, stage: Stage, first: int) -> None:
        self._stage, self._first = stage, first
        self._loss = _Loss(self.network, stage)
        self.optimizer = optimizer_of(self._parameters.values(), stage.config)

    def weights(self) -> list[Weights]:
        self.settle()
        return [copied(model.state_dict()) for model in self.models]

    def load(self, weights: list[Weights]) -> None:
        for model, own in zip(self.models, weights, strict=True):
            model.load_state_dict(own)
        with torch.no_grad():
            for name, stack in self._parameters.items():
                stack.copy_(torch.stack([model.get_parameter(name) for model in self.models]))
            for name, stack in self._buffers.items():
                stack.copy_(torch.stack([model.get_buffer(name) for model in self.models]))

    @torch.no_grad()
    def settle(self) -> None:
        """Give each network its weights."""
        for number, model in enumerate(self.models):
            for name, stack in self._parameters.items():
                model.get_parameter(name).copy_(stack[number])
            for name, stack in self._buffers.items():
                model.get_buffer(name).copy_(stack[number])

    def losses(self, step: int, running: Tensor) -> Tensor:
        # a pass changes buffers, as batch norm's; those that have stopped get theirs back after the backward pass
        self._before = None if running.all() else (~running, copied(self._buffers))
        seeds = instance_seeds(self._stage.config.seed, len(self.models))
        batch = self._stage.data.together(seeds, step, self._device)
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no batching rule on CPUs
            return self._loss.mapped(self._parameters, self._buffers, batch)

    def update(self, losses: Tensor, running: Tensor, step: int) -> None:
        config = self._stage.config
        set_rate(self.optimizer, config, step - self._first)
        self.optimizer.zero_grad()
        losses.sum().backward()
        if config.clip_norm:
            _clip([stack.grad for stack in self._parameters.values() if stack.grad is not None], config.clip_norm)
        before = None if running.all() else (~running, copied(self._parameters))
        self.optimizer.step()
        for kept, stacks in ((before, self._parameters), (self._before, self._buffers)):
            if kept is not None:
                _put_back(stacks, *kept)


def instance_seeds(seed: int, count: int) -> list[int]:
    """The seed of each instance of a config's seed."""
    return [derive(seed, "instance", number) for number in range(count)]


class _Loss(nn.Module):
    """The mean loss of a network on a batch, as a module, so that a caller's loss function meets a module."""

    def __init__(self, network: nn.Module, stage: Stage) -> None:
        super().__init__()
        self.network, self._stage = network, stage

    def forward(self, batch: Any) -> Tensor:
        return per_sample(self._stage.loss_fn, self.network, batch, self._stage.config.batch_size).mean()

    def mapped(self, parameters: Weights, buffers: Weights, batch: Any) -> Tensor:
        """Of each instance on its own batch, (instance,)."""

        def loss(parameters: Weights, buffers: Weights, batch: Any) -> Tensor:
            named = {f"network.{name}": tensor for name, tensor in (parameters | buffers).items()}
            return functional_call(self, named, (batch,))

        return vmap(loss)(parameters, buffers, batch)


@torch.no_grad()
def _clip(gradients: Sequence[Tensor], largest: float) -> None:
    """As `torch.nn.utils.clip_grad_norm_`, each instance by its own norm."""
    squares = [gradient.reshape(len(gradient), -1).square().sum(dim=1) for gradient in gradients]
    factors = (largest / (torch.stack(squares).sum(dim=0).sqrt() + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient *= factors.view(-1, *[1] * (gradient.ndim - 1))


@torch.no_grad()
def _put_back(stacks: Weights, which: Tensor, kept: Weights) -> None:
    for name, stack in stacks.items():
        stack[which] = kept[name][which]
