"""Linear networks of any depth, their product, and losses that depend on it alone."""

from functools import partial, reduce
from itertools import pairwise

import torch
from torch import Tensor, nn

from ontogeny.core.losses import LossFn
from ontogeny.studies.linear_networks.config import Widths


def linear_network(widths: Widths, size: float, seed: int) -> nn.Sequential:
    """Linear layers without biases; entries are normal, and the largest singular value of a layer is about `size`."""
    layers, source = list[nn.Module](), torch.Generator().manual_seed(seed)
    for fan_in, fan_out in pairwise(widths):
        layer = nn.Linear(fan_in, fan_out, bias=False)
        nn.init.normal_(layer.weight, std=size / (fan_in**0.5 + fan_out**0.5), generator=source)
        layers.append(layer)
    return nn.Sequential(*layers)


def product(model: nn.Module) -> Tensor:
    """P = W_L … W_1."""
    return reduce(lambda done, weight: weight @ done, model.parameters())


def gap(model: nn.Module, batch: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor:
    """|P - target|², for every row."""
    rows = batch[0] if isinstance(batch, tuple) else batch
    return (product(model) - target.to(rows.device)).square().sum().expand(rows.shape[0])


def own_function(model: nn.Module) -> LossFn:
    """K(w) = |W_L … W_1 - P|² with P that of the model as it is now."""
    return partial(gap, target=product(model).detach())
