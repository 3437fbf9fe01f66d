"""How deep a change of a network is: the steps of fine-tuning after which it is undone."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ontogeny.core.losses import LossFn
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import generator


def steps_until(
    model: nn.Module,
    data: Any,
    loss_fn: LossFn,
    undone: Callable[[nn.Module], bool],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    every: int = 1,
    seed: int = 0,
) -> int | None:
    """Steps of Adam on the data after which a change counts as undone; None if it does not within `steps`.

    Args:
        model: the changed network. It is left as it is; a copy is trained, in eval mode.
        data: samples that it is fine-tuned on, drawn with replacement.
        loss_fn: per-sample losses.
        undone: whether the network has changed back.
        steps: the most to make.
        batch_size, learning_rate: of a step.
        every: steps between looks.
        seed: of the order of samples.

    When not to trust it: the number depends on learning rate and optimizer. Compare at several rates.
    """
    samples, order, tuned = Samples.of(data), generator(seed, "order"), copy.deepcopy(model)
    free = [each for each in tuned.parameters() if each.requires_grad]
    optimizer, device = torch.optim.Adam(free, lr=learning_rate), free[0].device
    for step in range(1, steps + 1):
        chosen = torch.randint(samples.stored, (batch_size,), generator=order)
        optimizer.zero_grad()
        loss_fn(tuned, samples.take(chosen, device)).mean().backward()
        optimizer.step()
        if step % every == 0 and undone(tuned):
            return step
    return None
