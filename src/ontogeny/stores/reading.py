"""Files of weights, read without executing anything that stands in them.

torch's own restricted reader makes tensors and plain containers. What else a training loop saved beside its weights,
its arguments or a configuration, is not made: a stand-in that only knows its class's name takes its place.
"""

import pickle
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load as load_safetensors

from ontogeny.core.errors import CorruptFile, InvalidArgument

BY_HAND = 'open_checkpoints(..., load=lambda path: torch.load(path, map_location="cpu", weights_only=False))'
_TRUSTED = f"{BY_HAND} for a file that you trust"
_LFS = b"version https://git-lfs.github.com/spec/"
# Files of other libraries that are not damaged, only not ours to read.
_FOREIGN = {".npz", ".npy", ".h5", ".hdf5", ".msgpack", ".gguf", ".onnx", ".tflite", ".pkl", ".pickle", ".zip", ".tar"}
# Classes of mappings that are pickled as what they hold, so that they are read as a plain mapping.
_MAPPINGS = (
    "collections.defaultdict",
    "easydict.EasyDict",
    "addict.addict.Dict",
    "munch.Munch",
    "yacs.config.CfgNode",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
)


class Unmade:
    """What a file holds of a class that is not read: its name is that of the class, and nothing of it is executed.

    Attributes:
        arguments: what the class would have been made of.
        state: what would have been its attributes.
    """

    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any, **_: Any) -> "Unmade":
        made = super().__new__(cls)
        made.arguments, made.state = arguments, None
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Mapping:
    """A stand-in for a class of mappings: what is made is a plain one."""

    def __new__(cls, *_: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


def stand_in(name: str) -> type:
    """A class that takes the place of the class or function `name`, given with its module."""
    if name in _MAPPINGS:
        return type(name, (_Mapping,), {})
    module, _, last = name.rpartition(".")
    return type(last, (Unmade,), {"__module__": module})


def read_file(path: Path) -> Any:
    """What a `.safetensors` file or a file of `torch.save` holds, tensors on the CPU.

    Raises:
        CorruptFile: if it is damaged, truncated or not what its name says.
        InvalidArgument: if it is whole, and made in a way that is not read without executing it.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_LFS)) == _LFS:
                raise CorruptFile(f"{path}: a pointer of git-lfs in place of the file; `git lfs pull` fetches it")
    except OSError as error:
        raise InvalidArgument("source", expected="files that can be opened", found=one_line(error)) from error
    if path.suffix in _FOREIGN:
        raise InvalidArgument(
            "source",
            expected="files of torch.save or safetensors",
            found=str(path),
            instead="open_checkpoints(..., load=function) with a function of the path that returns {name: tensor}",
        )
    if path.suffix == ".safetensors":
        try:
            return load_safetensors(path.read_bytes())
        except Exception as error:  # whatever the parser says of bytes that it cannot make sense of
            raise _corrupt(path, error) from error
    with path.open("rb") as file:
        return read_archive(file, path)


def read_archive(file: BinaryIO, path: Path) -> Any:
    """What `torch.save` wrote into an open file; `path` names it in errors. Errors are those of `read_file`."""
    zipped = _require_whole(file, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about protocols and storages, which say nothing of the weights
        try:
            unknown = torch.serialization.get_unsafe_globals_in_checkpoint(file) if zipped else []
            file.seek(0)
            with torch.serialization.safe_globals([(stand_in(name), name) for name in unknown]):
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            if isinstance(error, pickle.UnpicklingError) and (zipped or _is_pickle(file)):
                raise InvalidArgument(
                    "source",
                    expected="a file that can be read without executing anything in it",
                    found=f"{path}: {_reason(error)}",
                    instead=_TRUSTED,
                ) from error
            raise _corrupt(path, error) from error


def one_line(error: BaseException) -> str:
    """The message of an error of another library, on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _require_whole(file: BinaryIO, path: Path) -> bool:
    """Whether the file is an archive, each of whose members then agrees with its checksum: torch does not look."""
    magic = file.read(4)
    file.seek(0)
    if magic != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            checked = any(member.CRC for member in members)  # torch can be told to leave checksums out
            damaged = archive.testzip() if checked else None
    except Exception as error:
        raise _corrupt(path, error) from error
    if damaged:
        raise CorruptFile(f"{path}: damaged; its part {damaged!r} does not match its checksum")
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise InvalidArgument(
            "source",
            expected="a file of torch.save",
            found=f"{path}, an archive of TorchScript",
            instead='open_checkpoints(..., load=lambda path: torch.jit.load(path, map_location="cpu").state_dict())',
        )
    file.seek(0)
    return True


def _is_pickle(file: BinaryIO) -> bool:
    """Whether a file that is no archive begins with a whole pickle, so that it was refused and is not damaged."""
    import pickletools

    file.seek(0)
    try:
        for _ in pickletools.genops(file):
            pass
    except Exception:
        return False
    return True


def _reason(error: BaseException) -> str:
    """What torch's reader met, without its advice."""
    said = str(error)
    said = said.split("WeightsUnpickler error:", 1)[-1].strip().split("\n", 1)[0]
    said = said.split(" was not an allowed global", 1)[0].removeprefix("Unsupported global: GLOBAL ")
    if said.startswith("Unsupported operand"):
        return "its pickle has instructions that torch.save does not write by itself"
    return " ".join(said.split())[:200] or type(error).__name__


def _corrupt(path: Path, error: BaseException) -> CorruptFile:
    return CorruptFile(f"{path}: cannot be read as weights ({type(error).__name__}: {one_line(error)})")
