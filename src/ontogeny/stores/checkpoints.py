"""Checkpoints of a training run: weights by step, in memory, in a run's own folder, or in files that match a
pattern.
"""

import hashlib
import pickle
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.stores.files import write_atomically
from ontogeny.stores.manifest import sha256

Weights = dict[str, Tensor]
# Entries that hold the weights in what training loops save, the likeliest first.
_STATE_DICTS = ("model", "state_dict", "model_state_dict", "module", "network", "net", "weights", "params")


class Checkpoints(ABC):
    """Weights at the steps of one training run, in increasing order of `steps`."""

    steps: list[int]

    @abstractmethod
    def load(self, step: int) -> Weights:
        """Parameter and buffer name -> tensor, on the CPU.

        Raises:
            CorruptFile: for a damaged or truncated file, named in the message.
            InvalidArgument: for a step that the run does not have.
        """

    @abstractmethod
    def checksum(self, step: int) -> str:
        """What identifies the content at `step` in the key of a cached measurement."""

    def _require(self, step: int) -> None:
        if step not in self.steps:
            shown = ", ".join(map(str, self.steps[:5])) + (" …" if len(self.steps) > 5 else "")
            raise InvalidArgument(
                "step", expected=f"a step of this run ({shown})", found=str(step), instead="one of run.steps"
            )


class MemoryCheckpoints(Checkpoints):
    """State dicts held in memory."""

    def __init__(self, weights: Mapping[int, Mapping[str, Tensor]] | None = None) -> None:
        self._weights = {step: dict(tensors) for step, tensors in sorted((weights or {}).items())}
        self.steps = list(self._weights)

    def save(self, step: int, weights: Mapping[str, Tensor]) -> None:
        self._weights[step] = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        self.steps = sorted(self._weights)

    def load(self, step: int) -> Weights:
        self._require(step)
        return dict(self._weights[step])

    def checksum(self, step: int) -> str:
        return fingerprint(self.load(step))


class DirectoryCheckpoints(Checkpoints):
    """`step-00000123.safetensors` files, each beside its SHA-256; written atomically, verified when read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        found = (re.fullmatch(r"step-(\d+)\.safetensors", path.name) for path in directory.glob("step-*.safetensors"))
        self.steps = sorted(int(match[1]) for match in found if match)

    def path(self, step: int) -> Path:
        return self.directory / f"step-{step:08d}.safetensors"

    def save(self, step: int, weights: Mapping[str, Tensor]) -> None:
        path = self.path(step)
        # copies, because safetensors refuses tensors that share memory, as tied weights do
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()
        }

        def write(temporary: Path) -> None:
            save_file(tensors, temporary)
            # the checksum takes its place first: weights without one never exist
            digest = sha256(temporary)
            write_atomically(_sidecar(path), lambda file: file.write_text(digest + "\n"))

        write_atomically(path, write)
        self.steps = sorted({*self.steps, step})

    def load(self, step: int) -> Weights:
        self._require(step)
        path = self.path(step)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.checksum(step):
            raise CorruptFile(f"{path}: its content does not match its checksum; delete it and train on, or restore it")
        return load_safetensors(content)

    def checksum(self, step: int) -> str:
        self._require(step)
        sidecar = _sidecar(self.path(step))
        if not sidecar.exists():
            raise CorruptFile(f"{sidecar}: the checksum of {self.path(step).name} is missing")
        return sidecar.read_text().strip()


class FileCheckpoints(Checkpoints):
    """Files or folders whose names hold the step where the pattern says `{N}`."""

    def __init__(self, pattern: str) -> None:
        if pattern.count("{N}") != 1:
            raise InvalidArgument(
                "source", expected="a pattern with {N} once, where the step stands", found=repr(pattern)
            )
        anchor, pattern = Path(pattern).anchor, Path(pattern).as_posix()  # without a leading ./ or a trailing slash
        name = re.compile(re.escape(pattern).replace(re.escape("{N}"), r"(\d+)").replace(r"\*", "[^/]*"))
        # of glob's wildcards only * is meant; brackets and question marks stand for themselves
        wildcard = re.sub(r"[\[?]", r"[\g<0>]", pattern.removeprefix(anchor)).replace("{N}", "*")
        self._paths: dict[int, Path] = {}
        for path in sorted(Path(anchor or ".").glob(wildcard)):
            if match := name.fullmatch(path.as_posix()):
                other = self._paths.setdefault(int(match[1]), path)
                if other != path:
                    raise InvalidArgument("source", expected="one file a step", found=f"{other} and {path}")
        self.steps = sorted(self._paths)
        if not self.steps:
            raise InvalidArgument("source", expected="files that match the pattern", found=f"none for {pattern!r}")

    def load(self, step: int) -> Weights:
        self._require(step)
        return read_weights(_weights_file(self._paths[step]))

    def checksum(self, step: int) -> str:
        self._require(step)
        return sha256(_weights_file(self._paths[step]))


def open_checkpoints(
    source: str | Path | Sequence[Mapping[str, Tensor]] | Mapping[int, Mapping[str, Tensor]],
) -> Checkpoints:
    """The checkpoints of a training run, wherever they are.

    Args:
        source: a run's folder (or its `checkpoints` folder); a pattern with `{N}` where the step stands, such as
            `"runs/a/step{N}"`, `"out/checkpoint-{N}"` or `"weights/model_{N}.pt"` (`.safetensors`, or `.pt`, `.pth`,
            `.bin` read with
            `weights_only=True`; a folder is searched for its one weights file); a list of state dicts (steps 0, 1, …)
            or a mapping from
            step to state dict.

    Raises:
        InvalidArgument: if nothing is found there, or if state dicts of two steps are the same tensors in memory.
    """
    if isinstance(source, Mapping):
        _refuse_aliases(source)
        return MemoryCheckpoints(source)
    if isinstance(source, (str, Path)):
        if "{N}" in str(source):
            return FileCheckpoints(str(source))
        for directory in (Path(source) / "checkpoints", Path(source)):
            run = DirectoryCheckpoints(directory)
            if run.steps:
                return run
        raise InvalidArgument(
            "source",
            expected="a folder with step-*.safetensors files",
            found=f"{source} without any" if Path(source).exists() else f"{source}, which does not exist",
            instead='a pattern with {N} where the step stands, such as "checkpoint-{N}" or "model_{N}.pt"',
        )
    return open_checkpoints(dict(enumerate(source)))


def _refuse_aliases(weights: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Refuse two steps all of whose floating-point tensors lie at the same places in memory.

    `model.state_dict()` is not a copy: kept as it is, every step shows the last weights. Steps that share some of
    their tensors, such as a frozen backbone, are fine.
    """
    seen: dict[frozenset[Any], int] = {}
    for step, tensors in weights.items():
        places = frozenset(
            (name, tensor.data_ptr(), tensor.shape, tensor.stride())
            for name, tensor in tensors.items()
            if tensor.is_floating_point() and tensor.layout is torch.strided and tensor.numel()
        )
        if places and places in seen:
            raise InvalidArgument(
                "source",
                expected="state dicts with tensors of their own",
                found=f"steps {seen[places]} and {step} whose tensors are the same memory",
                instead="{name: tensor.clone() for name, tensor in model.state_dict().items()} where each is taken",
            )
        seen[places] = step


def read_weights(path: Path) -> Weights:
    """A state dict from a `.safetensors`, `.pt`, `.pth` or `.bin` file; nothing in it is executed.

    Raises:
        CorruptFile: if it is damaged or truncated.
        InvalidArgument: if it holds no state dict, or several of which none is named as one.
    """
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(path.read_bytes())
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError, KeyError, pickle.UnpicklingError) as error:
        raise CorruptFile(f"{path}: cannot be read as weights ({type(error).__name__}: {error})") from error
    return _state_dict(path, loaded)


def _state_dict(path: Path, loaded: object) -> Weights:
    """The state dict in what a training loop saved: the whole of it, or an entry beside the optimizer's and others."""
    if _is_state_dict(loaded):
        return dict(loaded)  # type: ignore[call-overload]
    entries = loaded if isinstance(loaded, Mapping) else {}
    found = [name for name, value in entries.items() if _is_state_dict(value)]
    named = [name for name in _STATE_DICTS if name in found]
    if named or len(found) == 1:
        return dict(entries[(named or found)[0]])
    shown = f"a dict with the keys {', '.join(map(str, entries))}" if entries else type(loaded).__name__
    raise InvalidArgument(
        "source",
        expected=f"a state dict (name -> tensor) in {path.name}, whole or under one of {', '.join(_STATE_DICTS)}",
        found=shown,
        instead="a list or mapping of state dicts: {step: torch.load(file, weights_only=True)[key], ...}",
    )


def _is_state_dict(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(each, Tensor) for each in value.values())


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    # Trainers leave their optimizer's files beside the weights, so that names that only weights have come first.
    for patterns in (("*.safetensors",), ("pytorch_model.bin",), ("*.pt", "*.pth", "*.bin")):
        files = sorted(file for pattern in patterns for file in path.glob(pattern))
        if len(files) == 1:
            return files[0]
        if files:
            break
    raise InvalidArgument(
        "source", expected=f"one weights file in {path}", found=f"{len(files)}", instead="a pattern that names the file"
    )


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".sha256")
