"""Labelled arrays on disk: a DataTree or Dataset as a Zarr folder, and a sink that streams draws into one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from ontogeny.core.draws import Layout
from ontogeny.core.errors import CorruptFile
from ontogeny.stores.files import write_atomically


def write_tree(path: Path, tree: xr.DataTree | xr.Dataset) -> Path:
    """`tree` as a Zarr folder that appears whole or not at all."""
    stored = _with_strings(tree, object)  # Zarr 3 has no stable format for strings of fixed length
    return write_atomically(path, lambda temporary: stored.to_zarr(temporary, consolidated=False, zarr_format=3))


def read_tree(path: Path) -> xr.DataTree:
    """A Zarr folder as a DataTree in memory.

    Raises:
        CorruptFile: if it is not one, or damaged.
    """
    try:
        stored = xr.open_datatree(path, engine="zarr", consolidated=False).load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise CorruptFile(f"{path}: cannot be read as a Zarr folder ({type(error).__name__}: {error})") from error
    # without the chunks it was stored in, so that it is written again as if it had never been read
    return _with_strings(stored.map_over_datasets(lambda dataset: dataset.drop_encoding()), np.str_)


def _with_strings(tree: Any, dtype: type) -> Any:
    def convert(dataset: xr.Dataset) -> xr.Dataset:
        # by way of objects, because numpy's strings of variable length do not turn into ones of fixed length
        texts = {
            name: dataset[name].astype(object).astype(dtype)
            for name in dataset.variables
            if dataset[name].dtype.kind in "UTO"
        }
        coords = {name: text for name, text in texts.items() if name in dataset.coords}
        return dataset.assign({name: text for name, text in texts.items() if name not in coords}).assign_coords(coords)

    return tree.map_over_datasets(convert) if isinstance(tree, xr.DataTree) else convert(tree)


class ZarrSink:
    """Streams draws to a Zarr folder, pre-allocated; what was written before a crash can be read.

    Args:
        path: the folder; anything there is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, variables: Layout) -> None:
        root = zarr.open_group(self.path, mode="w", zarr_format=3)
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
        zarr.open_group(self.path, mode="a").attrs.update(attrs)
        return read_tree(self.path)


def _allocate(
    root: zarr.Group, name: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype: type = np.float32
) -> zarr.Array:
    # one chunk a chain and sixty-four draws: small writes touch one chunk, and a chunk is never the size of one number
    chunks = tuple(
        1 if dim == "chain" else max(1, min(size, 64 if dim == "draw" else 4096))
        for dim, size in zip(dims, shape, strict=True)
    )
    fill = np.nan if dtype is np.float32 else 0
    return root.create_array(name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, dimension_names=dims)
