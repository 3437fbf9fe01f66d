"""Batches as trees of tensors: a tensor, or dicts, lists and tuples of them, samples along dimension 0."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ontogeny.core.errors import InvalidArgument

ROW = "[…]"  # path of a part of any sample
_PAD = (
    "samples padded to one length, as by tokenizer(…, padding=True), with label -100 on padding; "
    "or a DataLoader whose collate_fn pads"
)


def mapped(function: Callable[[Tensor], Any], batch: Any) -> Any:
    """Apply `function` to each tensor of a batch. Containers keep their types, including named tuples."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, dict):
        return {key: mapped(function, value) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return like(batch, [mapped(function, value) for value in batch])
    return batch


def like(container: Any, parts: Sequence[Any]) -> Any:
    """The parts in a list, tuple or named tuple of the container's own type."""
    return type(container)(*parts) if hasattr(container, "_fields") else type(container)(parts)


def leaves(batch: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Each tensor with its path in the batch as indices: `['labels']`, `[0]`, or nothing for a bare tensor."""
    if isinstance(batch, Tensor):
        yield path, batch
        return
    for key, value in batch.items() if isinstance(batch, dict) else enumerate(batch):
        yield from leaves(value, f"{path}[{key!r}]")


def joined(batches: Sequence[Any], name: str) -> Any:
    """Concatenate batches of one structure.

    Raises:
        InvalidArgument: for a batch with other parts or shapes than the first, naming its number.
    """
    first = list(leaves(batches[0]))
    for number, batch in enumerate(batches):
        if type(batch) is not type(batches[0]) or [path for path, _ in leaves(batch)] != [path for path, _ in first]:
            raise InvalidArgument(
                name,
                expected=f"batches with the same parts as the first, {_parts(batches[0])}",
                found=f"{_parts(batch)} in batch {number}",
                instead="the same keys, or as many tensors, in every batch",
            )
        for (path, other), (_, tensor) in zip(leaves(batch), first, strict=True):
            if other.shape[1:] != tensor.shape[1:]:
                raise ragged(name, path, (0, tensor.shape[1:]), (number, other.shape[1:]), "batch")
    columns = zip(*([tensor for _, tensor in leaves(batch)] for batch in batches), strict=True)
    whole = iter([torch.cat(column) for column in columns])
    return mapped(lambda _: next(whole), batches[0])


def ragged(
    name: str, path: str, one: tuple[int, Sequence[int]], other: tuple[int, Sequence[int]], unit: str = "sample"
) -> InvalidArgument:
    """The error for samples of two shapes, each with its number."""
    part = f" in {name}{path}" if path and path != ROW else ""
    (first, shape), (second, another) = one, other
    return InvalidArgument(
        name,
        expected=f"samples of one shape{part}, since they go through the network together",
        found=f"{tuple(shape)} in {unit} {first} and {tuple(another)} in {unit} {second}",
        instead=_PAD,
    )


def kind(value: Any) -> str:
    """A short description of a value, for errors."""
    if isinstance(value, Tensor):
        return f"Tensor {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"{type(value).__name__} of {', '.join(map(repr, value)) or 'nothing'}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {', '.join(type(part).__name__ for part in value[:8]) or 'nothing'}"
    return type(value).__name__


def _parts(batch: Any) -> str:
    return ", ".join(path[1:-1] for path, _ in leaves(batch)) or "a tensor"


def doubled(tensor: Tensor) -> Tensor:
    """In double precision, on the CPU if the device has none, as Apple's."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
