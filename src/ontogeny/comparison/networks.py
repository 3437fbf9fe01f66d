"""The networks of a comparison: base, tuned, twins and weight noise, as vectors of one network's weights."""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.restriction import Restriction, matching, shapes_of
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import generator
from ontogeny.models import components
from ontogeny.sampling import LocalPosterior
from ontogeny.stores.layouts import read_weights
from ontogeny.stores.loading import load_into

_HEAD = re.compile(r"L\d+H\d+")
_PART = re.compile(r"L\d+(H\d+|G\d+|\.mlp)|embed|unembed")
Flat = Float[Tensor, " parameters"]
Losses = Float[np.ndarray, " sample"]


@dataclass(frozen=True)
class Network:
    """One set of weights, with what is computed from it.

    Attributes:
        model: a module of its own.
        posterior: over the trusted data, whose center are the weights.
    """

    model: nn.Module
    posterior: LocalPosterior

    @property
    def weights(self) -> Flat:
        return self.posterior.center

    def losses(self, samples: Samples, weights: Flat | None = None) -> Losses:
        """The mean loss of each sample, at these weights or at others in their place."""
        at = self.weights if weights is None else weights
        blocks = torch.arange(samples.stored).split(self.posterior.pass_size)
        return torch.cat([self.posterior.losses(at, samples, block).cpu() for block in blocks]).double().numpy()

    def mask(self, part: Restriction) -> Bool[Tensor, " parameters"]:
        """Which of the weights belong to a part."""
        found = torch.zeros(len(self.weights), dtype=torch.bool)
        names, sizes = list(self.posterior.one_by_one.indices), self.posterior.sizes
        for name, piece in zip(names, found.split(sizes), strict=True):
            if name in part.indices:
                index = part.indices[name]
                piece[slice(None) if index is None else index.flatten()] = True
        return found


def network_of(
    weights: Any, model_fn: Callable[[], nn.Module], trusted: Samples, loss_fn: LossFn, name: str
) -> Network:
    """The network that has these weights: a module, a state dict, or a file or folder of a checkpoint."""
    with torch.random.fork_rng(devices=[]):
        model = model_fn()
    if isinstance(weights, nn.Module):
        weights = weights.state_dict()
    if isinstance(weights, str | Path):
        weights = read_weights(Path(weights))
    if not isinstance(weights, Mapping):
        raise InvalidArgument(
            name,
            expected="a module, its state dict, or the path of a checkpoint",
            found=arguments.show(weights),
            instead=f"{name}=model.state_dict()",
        )
    load_into(model, weights, argument=name, of=name)
    return Network(model.eval(), LocalPosterior(model, trusted, loss_fn))


def twin(base: Network, length: float, steps: int, batch: int, rate: float, seed: int) -> Network:
    """The base fine-tuned on its trusted data by Adam, until it has moved by `length` or the steps are spent."""
    model, posterior = base.model, base.posterior
    start = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    order = generator(seed, "twin")
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=rate)
    free = [parameter for name, parameter in model.named_parameters() if name in posterior.one_by_one.indices]
    try:
        for _ in range(steps):
            chosen = torch.randint(posterior.samples.stored, (batch,), generator=order)
            optimizer.zero_grad()
            posterior.loss_fn(model, posterior.samples.take(chosen, posterior.device)).mean().backward()
            optimizer.step()
            moved = torch.cat([parameter.detach().flatten() for parameter in free]) - base.weights
            if float(moved.norm()) >= length:
                break
        weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    finally:
        model.load_state_dict(start)
        model.zero_grad(set_to_none=True)
    return _copied(base, weights)


def noises(base: Network, tuned: Network, count: int, seed: int) -> list[Flat]:
    """Weights at random around the base, in every tensor as far from it as the tuned ones."""
    moved, sizes = (tuned.weights - base.weights).split(base.posterior.sizes), base.posterior.sizes
    found = []
    for number in range(count):
        source = generator(seed, "weight noise", number)
        parts = [torch.randn(size, generator=source).to(base.weights) for size in sizes]
        scaled = [part * (piece.norm() / part.norm()) for part, piece in zip(parts, moved, strict=True)]
        found.append(base.weights + torch.cat(scaled))
    return found


def _copied(base: Network, weights: Mapping[str, Tensor]) -> Network:
    model = copy.deepcopy(base.model)
    model.load_state_dict(weights)
    return Network(model, LocalPosterior(model, base.posterior.samples, base.posterior.loss_fn, probed=True))


def check_alike(base: Network, tuned: Network) -> None:
    """Refuse weights that are the same: there is nothing to compare."""
    if torch.equal(base.weights, tuned.weights):
        raise InvalidArgument(
            "tuned",
            expected="other weights than those of base",
            found="the same",
            instead="tuned=fine_tuned.state_dict()",
        )


def parts_of(model: nn.Module, asked: Sequence[str] | None) -> dict[str, Restriction]:
    """The parts that are looked at: those asked for; or heads, MLPs and embeddings; or modules with weights."""
    known, shapes = components(model), shapes_of(model)
    if asked is None:
        heads = [name for name in known if _HEAD.fullmatch(name)]
        owners = [name for name, module in model.named_modules() if name and [*module.parameters(recurse=False)]]
        asked = (
            [name for name in known if _PART.fullmatch(name)] if heads else [name for name in owners if name in known]
        )
    return {name: matching(name, known, shapes) for name in asked}
