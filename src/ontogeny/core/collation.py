"""Rows and columns of every kind as tensors, with one sample per row of dimension 0.

Tensors keep their dtype. Numbers of Python and NumPy take PyTorch's default: floating-point ones get
`torch.get_default_dtype()`, like a network's weights. Unsigned integers of 16 bits and more become 64-bit integers,
because PyTorch hardly supports them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ontogeny.core.batches import ROW, kind, leaves, like, ragged
from ontogeny.core.errors import InvalidArgument

_WIDENED = {torch.uint16, torch.uint32, torch.uint64}
_LARGEST = {"b": 1, "i": 8, "u": 8, "f": 8, "c": 16}  # kinds of NumPy's numbers, and their largest size in bytes


def columns(data: Any, name: str, path: str = "", *, rows_in_lists: bool = True) -> Any:
    """A table as a tree of tensors, keeping its dicts, tuples and lists.

    Args:
        data: the table.
        name, path: the caller's name for the table, and the current place in it, for errors.
        rows_in_lists: whether a list in a dict holds one value per sample, as tokenizers return it, or several columns,
            as PyTorch's collation returns it.

    Raises:
        InvalidArgument: for a part that is not numeric, or without samples along dimension 0.
    """
    if isinstance(data, Mapping) and data:
        _refuse_text(data, name)
        return {
            key: collated(list(value), name, f"{path}[{key!r}]")
            if rows_in_lists and is_column(value)
            else columns(value, name, f"{path}[{key!r}]", rows_in_lists=rows_in_lists)
            for key, value in data.items()
        }
    if isinstance(data, (tuple, list)) and _compound(data) and data:
        parts = enumerate(data)
        return like(data, [columns(part, name, f"{path}[{k}]", rows_in_lists=rows_in_lists) for k, part in parts])
    if not isinstance(data, (Mapping, tuple)):
        tensor = tensor_of(data, name, path)
        if tensor.ndim:
            return tensor
    raise InvalidArgument(
        name,
        expected="tensors with one row per sample",
        found=f"{kind(data)}{_in(name, path)}",
        instead="tensors whose dimension 0 counts the samples, or a list of single samples",
    )


def collated(rows: Sequence[Any], name: str, path: str = "", numbers: Sequence[int] | None = None) -> Any:
    """Collate samples into a batch: tensors, arrays and numbers are stacked, part by part in dicts and tuples.

    A list of numbers is one tensor of a sample, such as its tokens. A list of tensors, arrays or dicts has parts, like
    a tuple.

    Args:
        rows: one per sample.
        name, path: the caller's name for the data, and the place in it, for errors.
        numbers: sample numbers, for errors; default from 0.

    Raises:
        InvalidArgument: for samples with different parts or shapes, and for anything not numeric.
    """
    first, counted = rows[0], list(numbers or range(len(rows)))
    if isinstance(first, Mapping):
        _refuse_text(first, name)
        for number, row in zip(counted, rows, strict=True):
            if not isinstance(row, Mapping) or set(row) != set(first):
                raise _unlike(name, path, first, number, row)
        return {key: collated([row[key] for row in rows], name, f"{path}[{key!r}]", counted) for key in first}
    if _compound(first) and isinstance(first, (tuple, list)):
        for number, row in zip(counted, rows, strict=True):
            if not isinstance(row, (tuple, list)) or len(row) != len(first):
                raise _unlike(name, path, first, number, row)
        parts = enumerate(zip(*rows, strict=True))
        return like(first, [collated(part, name, f"{path}[{key}]", counted) for key, part in parts])
    if any(isinstance(row, Tensor) or hasattr(row, "__array__") for row in rows):
        tensors = [tensor_of(row, name, path) for row in rows]
        for number, tensor in zip(counted, tensors, strict=True):
            if tensor.shape != tensors[0].shape:
                raise ragged(name, path, (counted[0], tensors[0].shape), (number, tensor.shape))
        return torch.stack(tensors)
    lengths = [len(row) if isinstance(row, list) else -1 for row in rows]
    for number, length in zip(counted, lengths, strict=True):
        if length != lengths[0]:
            shapes = [(each,) if each >= 0 else () for each in (lengths[0], length)]
            raise ragged(name, path, (counted[0], shapes[0]), (number, shapes[1]))
    return tensor_of(list(rows), name, path)


def tensor_of(value: Any, name: str, path: str = "") -> Tensor:
    """Numbers as a tensor, sharing memory with the original array or tensor where possible.

    Raises:
        InvalidArgument: for text, objects, dates, masked arrays, and lists of unequal lengths.
    """
    if isinstance(value, Tensor):
        if value.is_meta or value.layout is not torch.strided:
            found = "a tensor on the meta device" if value.is_meta else f"a tensor of layout {value.layout}"
            raise _no_numbers(name, path, found, "tensors that hold their numbers: data.to_dense() of a sparse one")
        return value.long() if value.dtype in _WIDENED else value
    if np.ma.isMaskedArray(value) and np.ma.is_masked(value):
        raise _no_numbers(name, path, "a masked array with values left out", "tensors without gaps: data.filled(…)")
    if not (hasattr(value, "__array__") or isinstance(value, (list, int, float, complex))):
        tables = hasattr(value, "__getitem__") and hasattr(value, "__len__") and path.startswith("['")
        raise _no_numbers(name, path, kind(value), f"one of its parts: data{path}" if tables else "")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:  # ragged lists, or any error of an object
        raise _no_numbers(name, path, f"{kind(value)} ({str(error).splitlines()[0]})") from error
    if array.dtype.kind not in _LARGEST or array.dtype.itemsize > _LARGEST[array.dtype.kind]:
        raise _no_numbers(name, path, _described(value, array))
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise _no_numbers(name, path, f"the number {array.max()}, which no 64-bit integer holds")
        array = array.astype(np.int64)
    if not (array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative):
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")  # forms that a tensor cannot share
    tensor = torch.from_numpy(array)
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor


def check_rows(batch: Any, count: int, name: str) -> None:
    """Check that every tensor of a collated batch has one row per sample.

    Raises:
        InvalidArgument: if one has another size in dimension 0.
    """
    for path, tensor in leaves(batch):
        if tensor.shape[0] != count:
            raise InvalidArgument(
                name,
                expected="a collate_fn whose tensors have one row per sample in dimension 0",
                found=f"a tensor {tuple(tensor.shape)}{_in(name, path)} for {count} samples",
                instead="a DataLoader with such a collate_fn",
            )


def is_column(value: Any) -> bool:
    """Whether a value is a list with one value per sample, or behaves like one, such as a `datasets.Dataset` column."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, tuple)) and len(value) > 0


def _compound(value: Any) -> bool:
    """Whether a value has parts of its own: a tuple, a dict, or a list of more than numbers."""
    if isinstance(value, list):
        return any(_compound(each) or isinstance(each, (Tensor, np.ndarray)) for each in value)
    return isinstance(value, (tuple, Mapping))


def _described(value: Any, array: np.ndarray) -> str:
    """The first item of a list that is not a number, or the dtype of an array."""
    while isinstance(value, (list, tuple)) and value:
        value = next((each for each in value if not isinstance(each, (int, float))), value[0])
    if isinstance(value, str):
        return "text"
    return f"an array of {array.dtype}" if isinstance(value, np.ndarray) else kind(value)


def _refuse_text(parts: Mapping[Any, Any], name: str) -> None:
    """Refuse all text columns at once, given a value of each."""
    text = [key for key, value in parts.items() if _is_text(value)]
    if text:
        raise InvalidArgument(
            name,
            expected="tensors, or what can be made into them",
            found=f"text in {', '.join(map(repr, text))}",
            instead=f"data.remove_columns({text}) of a datasets.Dataset, data without these in general; "
            "or their encoding as numbers",
        )


def _is_text(value: Any) -> bool:
    while is_column(value):
        value = value[0]
    return isinstance(value, (str, bytes)) or (isinstance(value, np.ndarray) and value.dtype.kind in "US")


def _no_numbers(name: str, path: str, found: str, instead: str = "") -> InvalidArgument:
    return InvalidArgument(
        name,
        expected="tensors, or what can be made into them",
        found=found + _in(name, path),
        instead=instead or "tensors, arrays, or lists of numbers",
    )


def _unlike(name: str, path: str, first: Any, number: int, row: Any) -> InvalidArgument:
    return InvalidArgument(
        name,
        expected=f"samples with the same parts as the first, {kind(first)}{_in(name, path)}",
        found=f"{kind(row)} in sample {number}",
        instead="the same keys, or as many parts, in every sample",
    )


def _in(name: str, path: str) -> str:
    return f" in {name}{path}" if path and path != ROW else ""
