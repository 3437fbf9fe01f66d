"""What travels between processes: shared state by way of files, and results, errors and warnings as bytes."""

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

# Tensors whose storage is smaller than this are pickled with the rest; larger ones have a file of their own.
_MAPPED = 2**20

_STATE = "shared.pickle"


class _SharedPickler(cloudpickle.CloudPickler):
    """Pickles plain large tensors in main memory as references to files of their bytes, one file a storage."""

    def __init__(self, file: io.BufferedWriter, folder: Path) -> None:
        super().__init__(file)
        self._folder = folder
        # The storages are held until all is written, so that no address is used twice.
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
    """Whether bytes, layout and `requires_grad` are all there is to a tensor, and it is large and in main memory."""
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
    """A tensor whose memory is a file's: workers on one machine share it, and what one writes no other sees."""
    if path not in _storages:
        _storages[path] = torch.UntypedStorage.from_file(path, False, num_bytes)
    dtype, offset, shape, stride = layout
    tensor = torch.empty(0, dtype=dtype).set_(_storages[path], offset, shape, stride)
    return nn.Parameter(tensor, requires_grad) if kind is nn.Parameter else tensor.requires_grad_(requires_grad)


def write_shared(shared: Any, folder: Path) -> None:
    """Write what all jobs share to files in `folder`."""
    with (folder / _STATE).open("wb") as file:
        try:
            _SharedPickler(file, folder).dump(shared)
        except Exception as error:
            error.add_note("`shared`, and all that it holds, must be picklable by cloudpickle.")
            raise


_kept: dict[Path, Any] = {}


def read_shared(folder: Path) -> Any:
    """What `write_shared` wrote. A worker reads it once and keeps it until it works for another call."""
    if folder not in _kept:
        _kept.clear()
        _storages.clear()
        with (folder / _STATE).open("rb") as file:
            _kept[folder] = pickle.load(file)
        _storages.clear()
    return _kept[folder]


class RemoteTraceback(Exception):
    """The traceback of an error that was raised in a worker process, as text."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


@dataclass(frozen=True)
class Answer:
    """How a job ended in a worker: a pickled result or a pickled error, and the warnings on the way."""

    result: bytes | None
    error: bytes | None
    traceback: str
    warnings: tuple[tuple[bytes, str, int], ...]

    def unpack(self) -> Any:
        """Give the result, or raise the error with the worker's traceback as its cause; emit the warnings first."""
        for message, filename, line in self.warnings:
            message = pickle.loads(message)
            warnings.warn_explicit(message, type(message), filename, line)
        if self.result is not None:
            return pickle.loads(self.result)
        assert self.error is not None
        raise pickle.loads(self.error) from RemoteTraceback(self.traceback)


def pack(result: Any, error: Exception | None, recorded: list[warnings.WarningMessage]) -> Answer:
    """The answer of a job that gave `result` or raised `error`. A result that cannot be pickled is an error."""
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
    """Pickle an exception, also one whose constructor takes other arguments than it keeps in `args`.

    One that holds what cannot be pickled becomes a RuntimeError with its text.
    """
    rebuilt = _Rebuilt(type(error), error.args, dict(error.__dict__))
    for form in (error, rebuilt):
        try:
            packed = cloudpickle.dumps(form)
            if type(pickle.loads(packed)) is type(error):
                return packed
        except Exception:  # whatever it is, this form does not travel
            continue
    return cloudpickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))


class _Rebuilt:
    """Pickled, it becomes an exception with these arguments and attributes, made without its constructor."""

    def __init__(self, kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> None:
        self._parts = kind, args, attributes

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._parts


def _rebuild(kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error
