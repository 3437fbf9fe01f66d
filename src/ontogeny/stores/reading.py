"""Reading files of weights without executing anything in them.

PyTorch's restricted reader builds tensors and plain containers. Anything else that a training loop saved with its
weights, such as arguments or a configuration, is replaced by a stand-in that knows only its class's name.
"""

import pickle
import pickletools
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load as load_safetensors

from ontogeny.core.errors import CorruptFile, InvalidArgument

BY_HAND = 'open_checkpoints(..., load=lambda path: torch.load(path, map_location="cpu", weights_only=False))'
_OF_THE_SYSTEM = ("os", "posix", "nt", "sys")  # modules that torch always refuses
_LFS = b"version https://git-lfs.github.com/spec/"
# Files of other libraries: intact, but not read here.
_FOREIGN = {".npz", ".npy", ".h5", ".hdf5", ".msgpack", ".gguf", ".onnx", ".tflite", ".pkl", ".pickle", ".zip", ".tar"}
# torch's message about a stand-in that is filled like a container, and the container to use then.
_FILLED = re.compile(r"Can only (SETITEM|append|extend)\w* (?:for|to|lists).* got <class '([\w.]+)'>")
_CONTAINERS: dict[str, Callable[[], Any]] = {"SETITEM": OrderedDict, "append": list, "extend": list}


class Unmade:
    """Stands in for an object of a class that is not read. It has the class's name, and nothing is executed.

    Attributes:
        arguments: what the class would have been called with.
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


def stand_in(name: str, container: Callable[[], Any] | None = None) -> type:
    """A class that replaces the class or function `name`, given with its module.

    Args:
        container: makes the replacement of its objects, for classes that are filled like mappings or lists.
    """
    module, _, last = name.rpartition(".")
    if container is None:
        return type(last, (Unmade,), {"__module__": module})
    return type(last, (), {"__module__": module, "__new__": lambda cls, *_: container()})


def read_file(path: Path) -> Any:
    """Read a `.safetensors` or `torch.save` file, with tensors on the CPU.

    Raises:
        CorruptFile: if it is damaged, truncated or not of the type its name says.
        InvalidArgument: if it is intact but cannot be read without executing it.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_LFS)) == _LFS:
                raise CorruptFile(f"{path}: a git-lfs pointer, not the file itself; `git lfs pull` fetches it")
    except OSError as error:
        found = f"{path}: cannot be read as weights ({error.strerror})"
        raise InvalidArgument("source", expected="a file that can be opened", found=found) from error
    if path.suffix in _FOREIGN and not path.name.endswith(".pth.tar"):  # the name used by the ImageNet example
        raise InvalidArgument(
            "source",
            expected="files of torch.save or safetensors",
            found=str(path),
            instead="open_checkpoints(..., load=function) with a function of the path that returns {name: tensor}",
        )
    if path.suffix == ".safetensors":
        try:
            return load_safetensors(path.read_bytes())
        except Exception as error:  # any error of the parser on damaged bytes
            raise _corrupt(path, error) from error
    with path.open("rb") as file:
        return read_archive(file, path)


def read_archive(file: BinaryIO, path: Path) -> Any:
    """Read what `torch.save` wrote into an open file. `path` names it in errors, which are those of `read_file`."""
    zipped = _require_whole(file, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about protocols and storages, irrelevant to the weights
        try:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(file) if zipped else _names_in_pickles(file)
            return _load(file, names or [])
        except Exception as error:  # whatever damaged bytes lead to
            whole = zipped or _names_in_pickles(file) is not None
            if whole and isinstance(error, pickle.UnpicklingError):
                raise _refusal(path, error) from error
            raise _corrupt(path, error) from error


def _load(file: BinaryIO, names: list[str]) -> Any:
    """`torch.load` with stand-ins for `names`; which of them are containers shows when they are filled."""
    containers: dict[str, Callable[[], Any]] = {}
    while True:
        file.seek(0)
        try:
            with torch.serialization.safe_globals([(stand_in(name, containers.get(name)), name) for name in names]):
                return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            filled = _FILLED.search(str(error))
            if not filled or filled[2] not in names or filled[2] in containers:
                raise
            containers[filled[2]] = _CONTAINERS[filled[1]]


def _names_in_pickles(file: BinaryIO) -> list[str] | None:
    """Classes and functions named in a file that is not an archive; None if its pickles are incomplete.

    Before it used archives, torch.save wrote a magic number, two pickles about the machine, and the content.
    """
    names: list[str] = []
    first: Any = None
    file.seek(0)
    try:
        for _ in range(4):
            for opcode, argument, _place in pickletools.genops(file):
                if opcode.name == "GLOBAL":
                    names.append(re.sub("^__builtin__ ", "builtins ", str(argument)).replace(" ", "."))
                first = argument if first is None and opcode.name != "PROTO" else first
            if first != torch.serialization.MAGIC_NUMBER:
                break
    except Exception:
        return None
    return names


def one_line(error: BaseException) -> str:
    """The message of another library's error, on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _require_whole(file: BinaryIO, path: Path) -> bool:
    """Whether the file is an archive. If so, check every member's checksum, which torch does not."""
    magic = file.read(4)
    file.seek(0)
    if magic != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            checked = any(member.CRC for member in members)  # torch can be told to omit checksums
            damaged = archive.testzip() if checked else None
    except Exception as error:
        raise _corrupt(path, error) from error
    if damaged:
        raise CorruptFile(f"{path}: damaged; its member {damaged!r} does not match its checksum")
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise InvalidArgument(
            "source",
            expected="a file of torch.save",
            found=f"{path}, an archive of TorchScript",
            instead='open_checkpoints(..., load=lambda path: torch.jit.load(path, map_location="cpu").state_dict())',
        )
    file.seek(0)
    return True


def _refusal(path: Path, error: BaseException) -> InvalidArgument | CorruptFile:
    """The error for an intact file that torch's reader refuses, without torch's advice to execute it."""
    said = str(error).split("WeightsUnpickler error:")[-1].split("trusted source.")[-1].split("Check the doc")[0]
    said = " ".join(said.split())[:200]
    if found := re.search(r"GLOBAL ([\w.]+)", said):
        if found[1].split(".")[0] in _OF_THE_SYSTEM:
            return CorruptFile(f"{path}: not a file of weights; it calls {found[1]}, which was not executed")
        said = f"it calls {found[1]}"
    if said.startswith("Unsupported operand"):
        said = "its pickle protocol is not the default of torch.save"
    return InvalidArgument(
        "source",
        expected="a file that can be read without executing anything in it",
        found=f"{path}: {said}",
        instead=f"{BY_HAND} for a file that you trust",
    )


def _corrupt(path: Path, error: BaseException) -> CorruptFile:
    return CorruptFile(f"{path}: cannot be read as weights ({type(error).__name__}: {one_line(error)})")
