"""Batches as callers' losses take them: tensors in tuples, lists and dicts, however deep."""

from collections.abc import Callable
from typing import Any

from torch import Tensor


def mapped(batch: Any, function: Callable[[Tensor], Any]) -> Any:
    """The batch with `function` of each tensor in its place; what is no tensor or container stays."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, dict):
        return {key: mapped(value, function) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        parts = [mapped(value, function) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def doubled(tensor: Tensor) -> Tensor:
    """In double precision; on the CPU where the device has none, as Apple's."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
