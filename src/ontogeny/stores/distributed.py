"""Folders of `torch.distributed.checkpoint`, whose `.metadata` file locates every piece of every tensor.

They are read by one process. Stand-ins replace the classes named in the metadata, so that nothing is executed.
"""

import io
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
_AS_THEY_SAY: dict[tuple[str, str], type] = {("torch", "Size"): torch.Size, ("collections", "OrderedDict"): OrderedDict}


class _Piece(NamedTuple):
    """A piece of a tensor: its place in the tensor, and its bytes in a file."""

    offsets: tuple[int, ...]
    file: str
    start: int
    length: int


class _Entry(NamedTuple):
    """A tensor as a meta tensor with its shape and dtype, and its pieces."""

    stand_in: Tensor
    pieces: list[_Piece]


def read_distributed(folder: Path, key: str | None) -> Weights:
    """Read the state dict that `torch.distributed.checkpoint.save` wrote into a folder, assembled from its shards.

    Raises:
        CorruptFile: for metadata or shards that are damaged, missing or outside the folder.
        InvalidArgument: if it contains no state dict or several (see `state_dict_in`), and for compressed shards.
    """
    try:
        entries, saved = _metadata(folder)
    except InvalidArgument:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        raise CorruptFile(f"{folder / METADATA}: damaged ({type(error).__name__}: {one_line(error)})") from error
    name_of = {id(entry.stand_in): name for name, entry in entries.items()}
    chosen = state_dict_in(saved, key, str(folder))
    return {name: _read(folder, name_of[id(tensor)], entries[name_of[id(tensor)]]) for name, tensor in chosen.items()}


def _metadata(folder: Path) -> tuple[dict[str, _Entry], dict[str, Any]]:
    """The tensors by flat name, and the saved structure with a meta tensor for each."""
    with (folder / METADATA).open("rb") as file:
        said = _Metadata(file).load().state
    entries: dict[str, _Entry] = {}
    saved: dict[str, Any] = {}
    for name, entry in said["state_dict_metadata"].items():
        value = None
        if type(entry).__name__ == "TensorStorageMetadata":
            value = torch.empty(entry.state["size"], dtype=entry.state["properties"].state[0], device="meta")
            entries[name] = _Entry(value, [])
        *above, last = [str(part) for part in (said.get("planner_data") or {}).get(name, (name,))]
        inner = saved
        for part in above:
            inner = inner.setdefault(part, {})
        inner[last] = value
    for index, place in said["storage_data"].items():
        if index.state["fqn"] in entries:
            if place.state.get("transform_descriptors"):
                raise InvalidArgument("source", expected="shards that are not compressed", found=str(folder))
            offsets, where = tuple(map(int, index.state["offset"] or ())), place.state
            piece = _Piece(offsets, str(where["relative_path"]), int(where["offset"]), int(where["length"]))
            entries[index.state["fqn"]].pieces.append(piece)
    return entries, saved


def _read(folder: Path, name: str, entry: _Entry) -> Tensor:
    """Read one tensor. Every element must come from a file in this folder."""
    if entry.stand_in.nbytes > sum(piece.length for piece in entry.pieces):
        raise CorruptFile(f"{folder / METADATA}: damaged; {name!r} is larger than its stored data")
    whole, filled = torch.empty_like(entry.stand_in, device="cpu"), 0
    for piece in entry.pieces:
        path = folder / piece.file
        if Path(piece.file).name != piece.file or not piece.file.isprintable():
            raise CorruptFile(f"{folder / METADATA}: names a file outside its folder, {piece.file!r}")
        try:
            with path.open("rb") as file:
                if not 0 <= piece.start <= piece.start + piece.length <= path.stat().st_size:
                    raise CorruptFile(f"{path}: truncated; {name!r} lies beyond its end")
                file.seek(piece.start)
                content = file.read(piece.length)
        except OSError as error:
            raise CorruptFile(f"{path}: cannot be read, but {name!r} is in it ({error.strerror})") from error
        part = read_archive(io.BytesIO(content), path)
        shape = part.shape if isinstance(part, Tensor) and part.dtype == whole.dtype else None
        place = tuple(slice(start, start + size) for start, size in zip(piece.offsets, shape or (), strict=False))
        if shape is None or whole[place].shape != shape:
            raise CorruptFile(f"{path}: damaged; its piece of {name!r} does not fit the tensor")
        whole[place] = part
        filled += part.numel()
    if filled != whole.numel():
        raise CorruptFile(f"{folder}: parts of {name!r} are missing")
    return whole


class _Metadata(pickle.Unpickler):
    """Unpickles metadata. Only shapes, dtypes and ordered dicts are real; everything else is a stand-in."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(value := vars(torch).get(name), torch.dtype):
            return value
        return _AS_THEY_SAY.get((module, name)) or stand_in(f"{module}.{name}")
