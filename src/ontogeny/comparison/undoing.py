"""How deep a change is: the steps of fine-tuning on trusted data that undo it."""

import numpy as np
import torch
from torch import nn

from ontogeny.comparison.config import CompareConfig
from ontogeny.comparison.networks import Network
from ontogeny.core.samples import Samples
from ontogeny.measurement.undoing import steps_until

_UNDONE = 0.1  # share of the change that may remain
_EVERY = 10  # steps between looks


def steps_to_undo(base: Network, tuned: Network, samples: Samples, config: CompareConfig, seed: int) -> int | None:
    """Steps of Adam on the trusted data until the mean loss on `samples` is back to that of the base but for a tenth.

    Looked at every ten steps; None if it is not back within `config.undo_steps`.
    """
    target, at_first = (float(np.mean(each.losses(samples))) for each in (base, tuned))

    def undone(model: nn.Module) -> bool:
        return abs(_loss(tuned, model, samples) - target) <= _UNDONE * abs(at_first - target)

    return steps_until(
        tuned.model,
        tuned.posterior.samples,
        tuned.posterior.loss_fn,
        undone,
        steps=config.undo_steps,
        batch_size=config.twin_batch,
        learning_rate=config.twin_learning_rate,
        every=_EVERY,
        seed=seed,
    )


def _loss(network: Network, model: nn.Module, samples: Samples) -> float:
    named = dict(model.named_parameters())
    weights = torch.cat([named[name].detach().flatten() for name in network.posterior.one_by_one.indices])
    return float(np.mean(network.losses(samples, weights)))
