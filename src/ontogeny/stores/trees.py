"""Labelled arrays on disk: DataTrees and Datasets as Zarr folders, and a sink that streams draws into one."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from ontogeny.core.draws import Layout
from ontogeny.core.errors import CorruptFile
from ontogeny.stores.files import write_atomically
from ontogeny.stores.manifest import begin, read_manifest, require_replaceable, seal, verified
from ontogeny.stores.temporaries import remove


def write_tree(path: Path | str, tree: xr.DataTree | xr.Dataset, *, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write `tree` atomically as a Zarr folder with a manifest, replacing what ontogeny wrote there before.

    Args:
        metadata: further content of the manifest, as JSON: inputs, a time. Processes that write one artefact at the
            same time must pass the same.

    Raises:
        InvalidArgument: if anything else is at `path`. It is left unchanged.
    """
    path = Path(path)
    require_replaceable(path)  # checked before the work
    stored = _with_strings(tree, object)  # Zarr 3 has no stable format for strings of fixed length

    def write(temporary: Path) -> None:
        # Zarr hands every file of a folder to a thread of its own, which takes three times as long as all else.
        held: dict[str, Any] = {}
        stored.to_zarr(MemoryStore(held), consolidated=False, zarr_format=3)
        for name, buffer in held.items():
            place = temporary / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(buffer.to_bytes())
        seal(temporary, metadata)

    return write_atomically(path, write)


def read_tree(path: Path | str, *, partial: bool = False) -> xr.DataTree:
    """Read a Zarr folder of ours into memory as a DataTree. Every file is first checked against the manifest.

    Args:
        partial: also read unfinished draws, as far as they were written. Missing values are NaN, and nothing is
            checked.

    Raises:
        CorruptFile: if it is not such a folder, or a file is missing, extra or altered.
    """
    files = verified(path := Path(path), partial=partial)
    store: Any = MemoryStore({name: default_buffer_prototype().buffer.from_bytes(held) for name, held in files.items()})
    try:
        stored = xr.open_datatree(store, engine="zarr", consolidated=False).load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise CorruptFile(f"{path}: cannot be read as a Zarr folder ({type(error).__name__}: {error})") from error
    # without its stored chunks, so that writing it again does not depend on having been read
    return _with_strings(stored.map_over_datasets(lambda dataset: dataset.drop_encoding()), np.str_)


def _with_strings(tree: Any, dtype: type) -> Any:
    def convert(dataset: xr.Dataset) -> xr.Dataset:
        # via objects, because numpy's variable-length strings do not convert to fixed length
        texts = {
            name: dataset[name].astype(object).astype(dtype)
            for name in dataset.variables
            if dataset[name].dtype.kind in "UTO"
        }
        coords = {name: text for name, text in texts.items() if name in dataset.coords}
        return dataset.assign({name: text for name, text in texts.items() if name not in coords}).assign_coords(coords)

    return tree.map_over_datasets(convert) if isinstance(tree, xr.DataTree) else convert(tree)


class ZarrSink:
    """Streams draws to a pre-allocated Zarr folder, whose manifest is written on closing.

    After a crash, read what was written with `read_tree(path, partial=True)`.

    Args:
        path: the folder, for one process at a time. What ontogeny wrote there before is replaced when draws begin.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, variables: Layout) -> None:
        require_replaceable(self.path)
        place = Path(os.path.realpath(self.path))
        remove(place)
        place.mkdir(parents=True)
        self._writer = begin(place)  # first, so that a folder left by a crash is known as ours
        root = zarr.open_group(place, mode="a", zarr_format=3)
        self._arrays: dict[str, zarr.Array] = {}
        for name, (_, dims, shape) in variables.items():
            self._arrays[name] = _allocate(root, name, dims, shape)
        for group, dims, shape in variables.values():
            for dim, size in zip(dims, shape, strict=True):
                if f"{group}/{dim}" not in root:
                    _allocate(root, f"{group}/{dim}", (dim,), (size,), np.int64)[:] = np.arange(size)

    def write(self, variable: str, index: tuple[int | slice, ...], value: Any) -> None:
        self._arrays[variable][index if index else ...] = value

    def close(self, attrs: Mapping[str, Any]) -> xr.DataTree:
        if read_manifest(self.path).get("writer") != self._writer:
            raise CorruptFile(f"{self.path}: another process has written here as well; give each its own folder")
        zarr.open_group(self.path, mode="a").attrs.update(attrs)
        seal(self.path)
        return read_tree(self.path)


def _allocate(
    root: zarr.Group, name: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype: type = np.float32
) -> zarr.Array:
    # one chunk per chain and 64 draws: small writes touch one chunk, and no chunk is as small as one number
    chunks = tuple(
        1 if dim == "chain" else max(1, min(size, 64 if dim == "draw" else 4096))
        for dim, size in zip(dims, shape, strict=True)
    )
    fill = np.nan if dtype is np.float32 else 0
    return root.create_array(name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, dimension_names=dims)
