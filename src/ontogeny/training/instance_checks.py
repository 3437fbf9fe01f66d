"""Whether networks can be trained as one: one architecture, and the losses that each has alone."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import per_sample
from ontogeny.training.instances import Instances, instance_seeds
from ontogeny.training.stages import Stage

_ALONE = "[train(model, data, loss_fn, config) for model in models]"


def check_instances(models: Sequence[nn.Module], stages: Sequence[Stage]) -> None:
    """Refuse networks that `torch.func.vmap` cannot take, or that would not be trained as they are alone.

    Args:
        models: the networks, which are left alone.
        stages: with prepared data, whose first batches are tried.

    Raises:
        InvalidArgument: for no networks, or some that share weights or differ in more than their weights; for a module
            that draws random numbers in training, whose course depends on its input, or that has no batching rule.
    """
    _check_architectures(models)
    for stage in stages:
        if stage.data.each and len(stage.data.each) != len(models):
            raise InvalidArgument(
                "data",
                expected=f"a task for each of the {len(models)} networks, or one for all",
                found=f"{len(stage.data.each)} tasks",
            )
    step = 0
    for stage in stages:
        copies = [copy.deepcopy(model).train() for model in models]
        with torch.random.fork_rng(enabled=True):
            alone = _losses_alone(copies, stage, step)
            together = _losses_together(models, stage, step)
        tolerance = torch.finfo(alone.dtype).eps ** 0.5
        if not torch.allclose(alone, together, rtol=tolerance, atol=tolerance, equal_nan=True):
            worst = int((alone - together).abs().nan_to_num(torch.inf).argmax())
            raise InvalidArgument(
                "models",
                expected="networks that differ in their parameters and buffers alone",
                found=f"network {worst} with a loss of {float(alone[worst]):g}, which is {float(together[worst]):g} "
                "with what else network 0 has",
                instead=_ALONE,
            )
        step += stage.config.num_steps


def _check_architectures(models: Sequence[nn.Module]) -> None:
    own = [parameter for model in models for parameter in model.parameters()]
    if not own:
        raise InvalidArgument("models", expected="networks with weights", found=f"{len(models)} without any")
    if len({parameter.data_ptr() for parameter in own if parameter.numel()}) < len(own):
        raise InvalidArgument(
            "models",
            expected="networks with weights of their own",
            found="some that share memory",
            instead="[copy.deepcopy(model) for _ in range(count)]",
        )
    for number, model in enumerate(models):
        if (described := _described(model)) != _described(models[0]):
            differing = dict(described.items() ^ _described(models[0]).items())
            raise InvalidArgument(
                "models",
                expected="networks of one architecture",
                found=f"network {number} that differs from network 0 in {', '.join(sorted(differing))}",
                instead=_ALONE,
            )


def _described(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    parameters = {
        name: (each.shape, each.dtype, each.device, each.requires_grad) for name, each in model.named_parameters()
    }
    return parameters | {name: (each.shape, each.dtype, each.device) for name, each in model.named_buffers()}


def _losses_alone(models: Sequence[nn.Module], stage: Stage, step: int) -> Tensor:
    """An error here is one of the network or loss, not of their being several."""
    size, device = stage.config.batch_size, next(models[0].parameters()).device
    seeds = instance_seeds(stage.config.seed, len(models))
    losses = [
        per_sample(stage.loss_fn, model, stage.data.of(number).at(seed, step, device), size).mean()
        for number, (model, seed) in enumerate(zip(models, seeds, strict=True))
    ]
    return torch.stack(losses).detach()


def _losses_together(models: Sequence[nn.Module], stage: Stage, step: int) -> Tensor:
    trial = Instances(models)
    trial.begin(stage, step)
    entered = _Entered(trial.network)
    try:
        losses = trial.losses(step, torch.ones(len(models), dtype=torch.bool))
        losses.sum().backward()
    except Exception as error:  # whatever operations say that have no rule for several at once
        where = entered.now()
        raise InvalidArgument(
            "models",
            expected="networks whose passes torch.func.vmap can take together",
            found=f"{where}: {str(error).splitlines()[0]}",
            instead=_ALONE,
        ) from error
    return losses.detach()


class _Entered:
    """Which module's forward pass is running."""

    def __init__(self, network: nn.Module) -> None:
        self._path = list[str]()
        for name, module in network.named_modules():
            module.register_forward_pre_hook(self._enter(f"{name} ({type(module).__name__})".strip()))
            module.register_forward_hook(self._leave)

    def now(self) -> str:
        return self._path[-1] if self._path else "the loss function"

    def _enter(self, told: str) -> Any:
        return lambda module, inputs: self._path.append(told)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._path.pop()
