"""The activation in what a module returns: the tensor itself, or the first tensor of several things."""

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of what a module returned.

    That is the output itself, or the first that is met in a tuple, list, mapping or dataclass, in their order and in
    what they hold: `(output, (h, c))` of an LSTM gives the output, `(None, (x, y))` gives x, a packed sequence its
    data.
    """
    if isinstance(output, Tensor):
        return output
    return next((found for _, each in _items(output) if (found := first_tensor(each)) is not None), None)


def with_first_tensor(output: Any, tensor: Tensor) -> Any:
    """What a module returned, with `tensor` for its first tensor and all else as it was."""
    if isinstance(output, Tensor):
        return tensor
    place, holder = next((key, each) for key, each in _items(output) if first_tensor(each) is not None)
    new = with_first_tensor(holder, tensor)
    if isinstance(output, tuple):
        values = [new if key == place else each for key, each in _items(output)]
        return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)
    changed = copy.copy(output)
    if isinstance(output, (Mapping, list)):
        changed[place] = new
    else:
        object.__setattr__(changed, place, new)  # a frozen dataclass too
    return changed


def _items(output: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(output, Mapping):
        return output.items()
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return [(field.name, getattr(output, field.name)) for field in dataclasses.fields(output)]
    return enumerate(output) if isinstance(output, (tuple, list)) else ()
