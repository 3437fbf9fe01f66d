"""How deep a change is: the steps of fine-tuning on trusted data that undo it."""

import copy

import numpy as np
import torch

from ontogeny.comparison.config import CompareConfig
from ontogeny.comparison.networks import Network
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import generator

_UNDONE = 0.1  # share of the change that may remain
_EVERY = 10  # steps between looks


def steps_to_undo(base: Network, tuned: Network, samples: Samples, config: CompareConfig, seed: int) -> int | None:
    """Steps of Adam on the trusted data until the mean loss on `samples` is back to that of the base but for a tenth.

    Looked at every ten steps; None if it is not back within `config.undo_steps`.
    """
    target, at_first = (float(np.mean(each.losses(samples))) for each in (base, tuned))
    model, trusted, order = copy.deepcopy(tuned.model), tuned.posterior.samples, generator(seed, "order")
    optimizer = torch.optim.Adam(
        [each for each in model.parameters() if each.requires_grad], lr=config.twin_learning_rate
    )
    for step in range(1, config.undo_steps + 1):
        chosen = torch.randint(trusted.stored, (config.twin_batch,), generator=order)
        optimizer.zero_grad()
        tuned.posterior.loss_fn(model, trusted.take(chosen, tuned.posterior.device)).mean().backward()
        optimizer.step()
        if step % _EVERY == 0 and abs(_loss(tuned, model, samples) - target) <= _UNDONE * abs(at_first - target):
            return step
    return None


def _loss(network: Network, model: torch.nn.Module, samples: Samples) -> float:
    named = dict(model.named_parameters())
    weights = torch.cat([named[name].detach().flatten() for name in network.posterior.one_by_one.indices])
    return float(np.mean(network.losses(samples, weights)))
