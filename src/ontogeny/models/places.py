"""Where weights and activations of a part lie: columns of a matrix that reads or writes the stream, and sites."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.errors import InvalidArgument


@dataclass(frozen=True)
class Site:
    """An activation of a network, or places of it.

    Attributes:
        module: path of a module.
        side: `"output"`, what the module returns, or `"input"`, what it is called with. Of several tensors it is the
            first (`first_tensor`), keyword arguments after positional ones.
        axis: the axis along which `index` counts; negative ones count from the last.
        index: places along the axis. One number takes the axis away, as indexing a tensor does; default all of it.
    """

    module: str
    side: Literal["input", "output"] = "output"
    axis: int = -1
    index: tuple[int, ...] | int | None = None

    def read(self, activation: Tensor) -> Tensor:
        """The places of the activation; the activation itself where `index` is None."""
        if self.index is None:
            return activation
        if isinstance(self.index, int):
            return activation.select(self.axis, self.index)
        return activation.index_select(self.axis, self._places(activation))

    def written(self, activation: Tensor, values: Tensor) -> Tensor:
        """The activation with `values` at these places and every other number as it was; a new tensor.

        Raises:
            InvalidArgument: for values of another shape, where there are other places beside them.
        """
        if self.index is None:
            return values
        expected = self.read(activation).shape
        if values.shape != expected:
            raise InvalidArgument(
                "interventions",
                expected=f"values of shape {tuple(expected)} at {self}",
                found=f"{tuple(values.shape)}",
                instead="a function that keeps the shape; the whole activation is Site(module, side)",
            )
        places = torch.tensor(self.index, device=activation.device).view(-1) if isinstance(self.index, int) else None
        if places is not None:
            return activation.index_copy(self.axis, places, values.to(activation.dtype).unsqueeze(self.axis))
        return activation.index_copy(self.axis, self._places(activation), values.to(activation.dtype))

    def _places(self, activation: Tensor) -> Tensor:
        return torch.tensor(self.index, device=activation.device)


@dataclass(frozen=True)
class TensorSlice:
    """Columns of the matrix that a weight is between the stream and hidden coordinates.

    A weight of any layout, as of a linear layer (hidden, stream), of GPT-2's (stream, hidden) or of ours
    (head, stream, width), is the matrix (stream, hidden) once `axis` stands first and the others are flattened.

    Attributes:
        parameter: name of the weight.
        axis: the axis of the weight that runs over the stream; `None` for a bias, which has hidden coordinates alone.
        index: hidden coordinates, in the order of the head's width.
        bias: the same coordinates of the bias that is added, if there is one.
        site: where the product with the stream can be read and replaced; of the output projection, what it is
            multiplied with. `None` where no module's input or output shows it.
    """

    parameter: str
    axis: int | None
    index: tuple[int, ...]
    bias: "TensorSlice | None" = None
    site: Site | None = None

    def of(self, weights: Mapping[str, Tensor]) -> Float[Tensor, "*stream width"]:
        """The columns, `(stream, width)`, or `(width,)` of a bias, from weights by name.

        A view where the coordinates are neighbours in memory, else a copy that gradients pass through.
        """
        tensor = weights[self.parameter]
        matrix = tensor.flatten() if self.axis is None else tensor.movedim(self.axis, 0).flatten(1)
        start, width = self.index[0], len(self.index)
        if self.index == tuple(range(start, start + width)):
            return matrix[..., start : start + width]
        return matrix[..., list(self.index)]
