"""Folders of `torch.distributed.checkpoint`: a `.metadata` file that says which piece of which tensor lies where.

Read by one process and without its classes: the metadata are taken apart by stand-ins, so that nothing is executed.
"""

import io
import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.stores.entries import Weights, state_dict_in
from ontogeny.stores.reading import one_line, read_archive, stand_in

METADATA = ".metadata"


class _Piece(NamedTuple):
    """A part of a tensor: where it stands in the tensor, and in which bytes of which file."""

    offsets: tuple[int, ...]
    file: str
    start: int
    length: int


class _Entry(NamedTuple):
    size: tuple[int, ...]
    dtype: torch.dtype
    pieces: list[_Piece]


def read_distributed(folder: Path, key: str | None) -> Weights:
    """The state dict that `torch.distributed.checkpoint.save` wrote into a folder, put together from its shards.

    Raises:
        CorruptFile: for metadata or shards that are damaged, missing or lie elsewhere.
        InvalidArgument: if it holds no state dict, or several, as `state_dict_in` says; for compressed shards.
    """
    try:
        entries, paths = _metadata(folder)
    except InvalidArgument:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        raise CorruptFile(f"{folder / METADATA}: damaged ({type(error).__name__}: {one_line(error)})") from error
    # A tensor without memory stands for each entry, so that only what is wanted is read.
    saved: dict[str, Any] = {}
    entry_of: dict[int, tuple[str, _Entry]] = {}
    for name, path in paths.items():
        inner = saved
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = None
        if entry := entries.get(name):
            inner[path[-1]] = torch.empty(entry.size, dtype=entry.dtype, device="meta")
            entry_of[id(inner[path[-1]])] = name, entry
    chosen = state_dict_in(saved, key, str(folder))
    return {name: _read(folder, *entry_of[id(tensor)]) for name, tensor in chosen.items()}


def _metadata(folder: Path) -> tuple[dict[str, _Entry], dict[str, tuple[str, ...]]]:
    """Entries of the tensors by flat name, and the path of every entry in what was saved."""
    with (folder / METADATA).open("rb") as file:
        said = _Metadata(file).load().state
    entries = {}
    for name, entry in said["state_dict_metadata"].items():
        if type(entry).__name__ == "TensorStorageMetadata":
            entries[name] = _Entry(tuple(entry.state["size"]), entry.state["properties"].state[0], [])
    for index, place in said["storage_data"].items():
        if (name := index.state["fqn"]) in entries:
            if place.state.get("transform_descriptors"):
                raise InvalidArgument("source", expected="shards that are not compressed", found=str(folder))
            offsets, piece = index.state["offset"], place.state
            entries[name].pieces.append(
                _Piece(tuple(offsets or ()), piece["relative_path"], piece["offset"], piece["length"])
            )
    names = said["state_dict_metadata"]
    paths = said.get("planner_data") or {}
    return entries, {name: tuple(str(part) for part in paths.get(name, (name,))) for name in names}


def _read(folder: Path, name: str, entry: _Entry) -> Tensor:
    """One tensor, each of whose elements must be filled from a file of this very folder."""
    if math.prod(entry.size) * entry.dtype.itemsize > sum(piece.length for piece in entry.pieces):
        raise CorruptFile(f"{folder / METADATA}: damaged; {name} is larger than what is stored of it")
    whole, filled = torch.empty(entry.size, dtype=entry.dtype), 0
    for piece in entry.pieces:
        path = folder / piece.file
        if Path(piece.file).name != piece.file:
            raise CorruptFile(f"{folder / METADATA}: names a file outside its folder, {piece.file!r}")
        try:
            with path.open("rb") as file:
                file.seek(piece.start)
                content = file.read(piece.length)
        except (OSError, ValueError) as error:
            raise CorruptFile(f"{path}: cannot be read, and {name} is in it ({one_line(error)})") from error
        part = read_archive(io.BytesIO(content), path)
        place = tuple(slice(start, start + length) for start, length in zip(piece.offsets, part.shape, strict=False))
        if not isinstance(part, Tensor) or part.dtype != entry.dtype or whole[place].shape != part.shape:
            raise CorruptFile(f"{path}: damaged; what it holds of {name} does not fit into it")
        whole[place] = part
        filled += part.numel()
    if filled != whole.numel():
        raise CorruptFile(f"{folder}: parts of {name} are missing")
    return whole


class _Metadata(pickle.Unpickler):
    """Takes metadata apart. Only shapes, dtypes and ordered dicts are what they say; all else is a stand-in."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(value := vars(torch).get(name), torch.dtype):
            return value
        return {"torch.Size": torch.Size, "collections.OrderedDict": OrderedDict}.get(f"{module}.{name}") or stand_in(
            f"{module}.{name}"
        )
