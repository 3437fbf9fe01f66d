"""The activation in what a module returns: the tensor itself, or the first tensor of several things."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of what a module returned: itself, or the first of a tuple, a list or a mapping."""
    if isinstance(output, Tensor):
        return output
    return next((each for _, each in _items(output) if isinstance(each, Tensor)), None)


def with_first_tensor(output: Any, tensor: Tensor) -> Any:
    """What a module returned, with `tensor` for its first tensor and all else as it was."""
    if isinstance(output, Tensor):
        return tensor
    place = next(key for key, each in _items(output) if isinstance(each, Tensor))
    if not isinstance(output, tuple):
        changed = copy.copy(output)
        changed[place] = tensor
        return changed
    values = [tensor if key == place else each for key, each in _items(output)]
    return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)


def _items(output: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(output, Mapping):
        return output.items()
    return enumerate(output) if isinstance(output, (tuple, list)) else ()
