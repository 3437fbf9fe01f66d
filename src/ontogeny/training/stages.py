"""Stages of training one after another, such as pre-training and fine-tuning, in one count of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.stores import checkpoint_steps
from ontogeny.training.config import TrainingConfig

TRAINING = "training"  # the name of the only stage, where none is given


@dataclass(frozen=True)
class Stage:
    """A stretch of training with data, loss and settings of its own.

    The optimizer, the warm-up and the schedule begin anew at its first step; weights, checkpoints and the count of
    steps run on.

    Attributes:
        name: under which its first step is found in the run's `stages`.
        data: samples (see `ontogeny.Samples`), or an `ontogeny.Task`.
        loss_fn: per-sample losses, as for `ontogeny.train`.
        config: its own number of steps, optimizer, schedule, checkpoints (counted from its first step) and seed.
    """

    name: str
    data: Any
    loss_fn: LossFn
    config: TrainingConfig


def as_stages(data: Any, loss_fn: LossFn | None, config: TrainingConfig | None) -> list[Stage]:
    """The stages that the arguments of `train` mean: the given ones, or a single one of data, loss and config.

    Raises:
        InvalidArgument: for stages with a loss or config beside them, stages of one name, or data without either.
    """
    if are_stages(data):
        _check(data, {"loss_fn": loss_fn, "config": config})
        return list(data)
    if loss_fn is None or config is None:
        raise InvalidArgument(
            "config" if loss_fn else "loss_fn",
            expected="one beside data, or a list of stages in place of the data",
            found="none",
            instead="train(model, data, loss_fn, config), or train(model, [Stage(name, data, loss_fn, config)])",
        )
    return [Stage(TRAINING, data, loss_fn, config)]


def _check(stages: Sequence[Stage], beside: dict[str, Any]) -> None:
    for name, value in beside.items():
        if value is not None:
            raise InvalidArgument(
                name,
                expected="none beside stages, each of which has its own",
                found=type(value).__name__,
                instead="train(model, stages)",
            )
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise InvalidArgument("stages", expected="a name of its own for each", found=", ".join(names))


def are_stages(data: Any) -> bool:
    """Whether data are a list of stages."""
    return isinstance(data, (list, tuple)) and len(data) > 0 and all(isinstance(each, Stage) for each in data)


def first_steps(stages: Sequence[Stage]) -> dict[str, int]:
    """Name -> the number of steps before the stage."""
    firsts, count = dict[str, int](), 0
    for stage in stages:
        firsts[stage.name] = count
        count += stage.config.num_steps
    return firsts


def num_steps(stages: Sequence[Stage]) -> int:
    """Of all stages together."""
    return sum(stage.config.num_steps for stage in stages)


def steps_kept(stages: Sequence[Stage]) -> set[int]:
    """The steps of all checkpoints; the last of a stage is the first of the next."""
    firsts = first_steps(stages)
    return {
        firsts[stage.name] + step
        for stage in stages
        for step in checkpoint_steps(
            stage.config.num_steps, stage.config.checkpoints_log, stage.config.checkpoints_linear
        )
    }
