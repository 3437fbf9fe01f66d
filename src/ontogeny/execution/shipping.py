"""Transfer between processes: shared state through files, and results, errors and warnings as bytes."""

import io
import pickle
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import torch
from torch import Tensor, nn

# Tensors with smaller storage are pickled with the rest; larger ones get their own file.
_MAPPED = 2**20

_STATE = "shared.pickle"


class _SharedPickler(cloudpickle.CloudPickler):
    """Pickles large plain tensors in main memory as references to files of their bytes, one file per storage."""

    def __init__(self, file: io.BufferedWriter, folder: Path) -> None:
        super().__init__(file)
        self._folder = folder
        # The storages are kept alive until all is written, so that no address is reused.
        self._written: dict[int, torch.UntypedStorage] = {}

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) not in (Tensor, nn.Parameter) or not _is_plain(obj):
            return super().reducer_override(obj)
        storage = obj.untyped_storage()
        address = storage.data_ptr()
        path = self._folder / f"storage-{address:x}.bin"
        if address not in self._written:
            torch.empty(0, dtype=torch.uint8).set_(storage).numpy().tofile(path)
            self._written[address] = storage
        layout = obj.dtype, obj.storage_offset(), tuple(obj.shape), obj.stride()
        return _mapped_tensor, (str(path), storage.nbytes(), layout, type(obj), obj.requires_grad)


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor consists of bytes, layout and `requires_grad` alone, and is large and in main memory."""
    return (
        tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and tensor.is_leaf
        and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor.__dict__)
        and not tensor._backward_hooks
        and tensor.untyped_storage().nbytes() >= _MAPPED
    )


_storages: dict[str, Any] = {}


def _mapped_tensor(path: str, num_bytes: int, layout: tuple[Any, ...], kind: type, requires_grad: bool) -> Tensor:
    """A tensor mapped from a file. Workers on one machine share it, and writes stay private to each."""
    if path not in _storages:
        _storages[path] = torch.UntypedStorage.from_file(path, False, num_bytes)
    dtype, offset, shape, stride = layout
    tensor = torch.empty(0, dtype=dtype).set_(_storages[path], offset, shape, stride)
    return nn.Parameter(tensor, requires_grad) if kind is nn.Parameter else tensor.requires_grad_(requires_grad)


def write_shared(shared: Any, folder: Path) -> None:
    """Write the shared state of all jobs to files in `folder`."""
    with (folder / _STATE).open("wb") as file:
        try:
            _SharedPickler(file, folder).dump(shared)
        except Exception as error:
            error.add_note("`shared`, and everything in it, must be picklable by cloudpickle.")
            raise


_kept: dict[Path, Any] = {}


def read_shared(folder: Path) -> Any:
    """Read what `write_shared` wrote. A worker reads it once per call."""
    if folder not in _kept:
        _kept.clear()
        _storages.clear()
        with (folder / _STATE).open("rb") as file:
            _kept[folder] = pickle.load(file)
        _storages.clear()
    return _kept[folder]


class RemoteTraceback(Exception):
    """The traceback of an error raised in a worker process, as text."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


@dataclass(frozen=True)
class Answer:
    """The outcome of a job in a worker: a pickled result or error, and its warnings."""

    result: bytes | None
    error: bytes | None
    traceback: str
    warnings: tuple[tuple[bytes, str, int], ...]

    def unpack(self) -> Any:
        """Emit the warnings, then return the result or raise the error with the worker's traceback as its cause."""
        for message, filename, line in self.warnings:
            message = pickle.loads(message)
            warnings.warn_explicit(message, type(message), filename, line)
        if self.result is not None:
            return pickle.loads(self.result)
        assert self.error is not None
        raise pickle.loads(self.error) from RemoteTraceback(self.traceback)


def pack(result: Any, error: Exception | None, recorded: list[warnings.WarningMessage]) -> Answer:
    """The answer of a job that returned `result` or raised `error`. A result that cannot be pickled is an error."""
    packed = None
    if error is None:
        try:
            packed = cloudpickle.dumps(result)
        except Exception as refused:
            error = refused
    text = "" if error is None else "".join(traceback.format_exception(error))
    told = tuple((pack_error(_warning(entry)), entry.filename, entry.lineno) for entry in recorded)
    return Answer(packed, None if error is None else pack_error(error), text, told)


def _warning(entry: warnings.WarningMessage) -> Warning:
    return entry.message if isinstance(entry.message, Warning) else entry.category(entry.message)


def pack_error(error: Exception) -> bytes:
    """Pickle an exception, even if its constructor takes other arguments than those in `args`.

    An exception with unpicklable content becomes a RuntimeError with its text.
    """
    rebuilt = _Rebuilt(type(error), error.args, dict(error.__dict__))
    for form in (error, rebuilt):
        try:
            packed = cloudpickle.dumps(form)
            if type(pickle.loads(packed)) is type(error):
                return packed
        except Exception:  # any error: this form cannot be sent
            continue
    return cloudpickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))


class _Rebuilt:
    """Unpickles to an exception with these arguments and attributes, without calling its constructor."""

    def __init__(self, kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> None:
        self._parts = kind, args, attributes

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._parts


def _rebuild(kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error
