"""Networks that are measured together although each has data of its own: the data travel with the weights.

`measure` measures one dataset along the checkpoints of a run. For networks that have learned different tables, such as
random labels of their own, each checkpoint holds its rows beside its weights, and a sample is the number of a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.stores import Checkpoints, open_checkpoints

Rows = tuple[Tensor, ...]
Weights = dict[str, Tensor]


class WithRows(nn.Module):
    """A network and its rows.

    Args:
        network: any module.
        rows: tensors of one length, buffers `rows_0`, `rows_1`, ….
    """

    def __init__(self, network: nn.Module, rows: Rows) -> None:
        super().__init__()
        self.network = network
        for number, part in enumerate(rows):
            self.register_buffer(f"rows_{number}", part.clone())


@dataclass(frozen=True)
class MadeWithRows:
    """Makes the module that checkpoints of `with_rows` are loaded into."""

    make: Callable[[], nn.Module]
    rows: Rows

    def __call__(self) -> WithRows:
        return WithRows(self.make(), self.rows)


@dataclass(frozen=True)
class OfRows:
    """The loss of a network on its own rows, where a batch is their numbers.

    Args:
        loss_fn: per-sample losses of the network.
        parts: how many tensors the rows are.
    """

    loss_fn: LossFn
    parts: int = 2

    def __call__(self, model: nn.Module, batch: Tensor | tuple[Tensor, ...]) -> Tensor:
        numbers = batch[0] if isinstance(batch, (tuple, list)) else batch
        rows = tuple(model.get_buffer(f"rows_{number}")[numbers] for number in range(self.parts))
        return self.loss_fn(model.network, rows)


def with_rows(weights: Sequence[Weights], rows: Sequence[Rows]) -> Checkpoints:
    """Checkpoints 0, 1, 2, … of networks with their rows, for `measure` with `OfRows` and `torch.arange(len(rows))`.

    Args:
        weights: state dict of each network, of one architecture.
        rows: of each, tensors of the same shapes for all.

    Raises:
        InvalidArgument: for rows of several shapes.
    """
    shapes = {tuple(tuple(part.shape) for part in each) for each in rows}
    if len(shapes) > 1 or len(weights) != len(rows):
        found = f"{len(weights)} networks and {len(rows)} of {len(shapes)} shapes"
        raise InvalidArgument("rows", expected="one for each network, of one shape", found=found)
    return open_checkpoints(
        [
            {f"network.{name}": tensor for name, tensor in own.items()}
            | {f"rows_{number}": part for number, part in enumerate(each)}
            for own, each in zip(weights, rows, strict=True)
        ]
    )


def numbers_of(rows: Rows) -> Tensor:
    """The samples of such a measurement: 0, 1, …, n - 1."""
    return torch.arange(len(rows[0]))
