"""Training runs: of one network, or of many instances of a small one at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.stores import Checkpoints
from ontogeny.training.batches import Batches
from ontogeny.training.config import TrainingConfig
from ontogeny.training.instance_checks import check_instances
from ontogeny.training.instances import Instances
from ontogeny.training.loop import run
from ontogeny.training.networks import Network
from ontogeny.training.stages import Stage, as_stages, first_steps


def train(
    model: nn.Module,
    data: Any,
    loss_fn: LossFn | None = None,
    config: TrainingConfig | None = None,
    directory: str | Path | None = None,
    progress: Progress | None = None,
) -> Checkpoints:
    """Train `model` in place from its present weights and keep checkpoints.

    Args:
        data: samples (see `Samples`); each epoch visits them in a new order of the seed tree, and the order at a step
            depends on `config.seed` and the step alone. Or a `Task`, of which each step takes a fresh batch,
            `task.sample(batch_size, seed=...)` with a seed of `config.seed` and the step alone. Or a list of `Stage`s,
            each with data, loss and config of its own, which are trained one after another.
        loss_fn: per-sample losses (see `ontogeny.core.losses`); their mean is minimised. None beside stages.
        config: how to train. None beside stages.
        directory: where `checkpoints/`, `metrics.jsonl` and the state to go on from are kept. A run that was killed
            at any moment and is started again with the same arguments ends with the same weights, bit for bit on the
            CPU with as many threads. Without it, checkpoints stay in memory.

    Returns:
        The checkpoints, by step; 0 is before the first update, and steps are counted on over stages. `.stages` has the
        first step of each stage, `.outcome` how training ended. A loss that is not finite ends it, with a warning:
        `.outcome.diverged` is true, also where the run is opened again, and the checkpoints are those before that step,
        with the one that its stage began with. `model` holds the last weights, of a run that diverged those whose loss
        is not finite, and its modules come back in the mode, train or eval, that they were passed in.

    Raises:
        InvalidArgument: if `directory` holds a run of other arguments, or `data` has fewer samples than a batch.
    """
    stages = _prepared(as_stages(data, loss_fn, config))
    if any(stage.data.each for stage in stages):
        raise InvalidArgument(
            "data",
            expected="one task, for one network",
            found="a list of tasks",
            instead="train_instances(models, tasks, loss_fn, config), with a network for each",
        )
    folder = None if directory is None else Path(directory)
    return run(Network(model), stages, [folder], folder, progress)[0]


def train_instances(
    models: Sequence[nn.Module],
    data: Any,
    loss_fn: LossFn | None = None,
    config: TrainingConfig | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
) -> list[Checkpoints]:
    """Train many instances of one small network at once, each as `train` would train it alone, to rounding.

    Their weights are stacked and their passes mapped by `torch.func.vmap`, which pays off where a step of one takes
    less time than PyTorch needs to begin its operations: networks of some thousand weights. The i-th is trained as by
    `train` with `derive(config.seed, "instance", i)` (`ontogeny.core.seeds`) as seed: it has an order of samples, or
    batches of the task, of its own.

    Args:
        models: networks of one architecture, each with its own initial weights, trained in place.
        data: as for `train`, shared by all; or a list of tasks, one for each network, whose samples have one shape.
        loss_fn, config: as for `train`, shared by all.
        directory: of the state to go on from; each network has a folder `instance-000`, … in it with what `train`
            keeps. A run that was killed goes on, as there.

    Returns:
        The checkpoints of each. A network whose loss is not finite stops with its outcome; the others go on.

    Raises:
        InvalidArgument: as for `train`; for networks of several architectures or with shared weights; for those that
            vmap cannot take, with the module: random in training as dropout, recurrent layers of PyTorch, or a course
            that depends on the input.
    """
    stages = _prepared(as_stages(data, loss_fn, config))
    check_instances(models, stages)
    folders = [directory / f"instance-{number:03d}" if directory else None for number in range(len(models))]
    return run(Instances(models), stages, folders, directory, progress)


def instance_folders(directory: Path) -> list[Path]:
    """The folders of the networks that `train_instances` trained in this one, in order; none of any other."""
    return sorted(directory.glob("instance-*"), key=lambda path: int(path.name.removeprefix("instance-")))


def _prepared(stages: Sequence[Stage]) -> list[Stage]:
    """The stages with their data as `Batches`, all of which are looked at before the first step."""
    firsts = first_steps(stages)
    return [replace(stage, data=Batches(stage.data, stage.config.batch_size, firsts[stage.name])) for stage in stages]
