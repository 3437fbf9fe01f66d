"""What is read off a module, and the matrices between the stream that it reads and its hidden coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Projection:
    """A matrix between the stream and hidden coordinates: `axis` runs over the stream, the others over the hidden."""

    name: str
    axis: int
    hidden: tuple[int, ...]

    def keeping(self, kept: Bool[Tensor, " hidden"]) -> dict[str, Bool[Tensor, "..."]]:
        """`kept` by hidden coordinate, as a mask that broadcasts over the matrix, under its name."""
        return {self.name: kept.view(self.hidden).unsqueeze(self.axis)}

    def hidden_of(self, matrix: Tensor) -> Tensor:
        """A tensor of the matrix's shape as (stream, hidden)."""
        return matrix.movedim(self.axis, 0).flatten(1)

    @property
    def width(self) -> int:
        """Number of hidden coordinates."""
        return int(torch.tensor(self.hidden).prod())


@dataclass(frozen=True)
class Reading:
    """One number read off a module's output at the last position.

    Attributes:
        output: weight of each output in that number; default random.
        first: positions at which the first feature of the stream has a given value, and the value; default none.
        alone: whether the stream is zero before the last position.
        kept: masks by parameter; where they are false the weights are zero.
    """

    output: Float[Tensor, " width"] | None = None
    first: tuple[slice, float] | None = None
    alone: bool = False
    kept: Mapping[str, Bool[Tensor, "..."]] = field(default_factory=dict)


def along(reached: Bool[Tensor, "..."], axis: int) -> Bool[Tensor, " size"]:
    """Where any weight reaches, by place along one axis."""
    return reached.movedim(axis, 0).flatten(1).any(1) if reached.ndim > 1 else reached
