"""Checkpoints of a training run, by step: in memory, in a run's own folder, or in files of other tools."""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.outcome import TrainingOutcome
from ontogeny.stores.entries import Weights, state_dict_in
from ontogeny.stores.files import write_atomically, write_json
from ontogeny.stores.layouts import Adapter, files_of, read_weights
from ontogeny.stores.manifest import sha256

_TRAINING = "training.json"


class Checkpoints(ABC):
    """Weights at the steps of one training run, in increasing order of `steps`.

    Attributes:
        steps: those with weights.
        stages: the first step of each stage of training by its name, in order; empty for runs of other tools.
        outcome: how training ended; None if it has not, and for runs of other tools.
        tokens: seen by each step, as far as they are known.
        missing: steps that the run should have and that are not there, with the reason.
        at_once: how many checkpoints are within reach at a time; None if all are.
    """

    steps: list[int]
    stages: Mapping[str, int] = MappingProxyType({})
    outcome: TrainingOutcome | None = None
    tokens: Mapping[int, int] = MappingProxyType({})
    missing: Mapping[int, str] = MappingProxyType({})
    at_once: int | None = None

    @abstractmethod
    def load(self, step: int) -> Weights:
        """Parameter and buffer name -> tensor, on the CPU.

        Raises:
            CorruptFile: for a damaged or truncated file, named in the message.
            InvalidArgument: for a step that the run does not have.
        """

    @abstractmethod
    def checksum(self, step: int) -> str:
        """The identity of the content at `step`, used in the keys of cached measurements."""

    def holds_adapter(self, step: int) -> bool:
        """Whether the weights at a step are those of a PEFT adapter alone."""
        return isinstance(self.load(step), Adapter)

    @contextmanager
    def visiting(self, steps: Sequence[int]) -> Generator[None]:
        """Say that these steps are going to be loaded, in this order. A remote run fetches ahead meanwhile."""
        yield

    def visit(self, step: int) -> None:
        """Bring a checkpoint within reach, before it is loaded here or in other processes."""
        self._require(step)

    def in_order(self, steps: Sequence[int]) -> list[int]:
        """The order in which steps cost least to load."""
        return list(steps)

    def __fingerprint__(self) -> tuple[Any, ...]:
        """The part that counts in a key: the weights, wherever they are stored, and a divergence of the training."""
        weights = [(step, self.checksum(step)) for step in self.steps]
        return (weights, self.outcome) if self.outcome and self.outcome.diverged else (weights,)

    def __repr__(self) -> str:
        """How many checkpoints, from which step to which, and how many are missing."""
        span = f", steps {self.steps[0]} to {self.steps[-1]}" if len(self.steps) > 1 else ""
        lacking = f", {len(self.missing)} missing" if self.missing else ""
        return f"{type(self).__name__}({len(self.steps)} checkpoints{span}{lacking})"

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

    def record(self, stages: Mapping[str, int], outcome: TrainingOutcome | None) -> None:
        """Keep what training tells of the run."""
        self.stages, self.outcome = dict(stages), outcome

    def save(self, step: int, weights: Mapping[str, Tensor]) -> None:
        self._weights[step] = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        self.steps = sorted(self._weights)

    def load(self, step: int) -> Weights:
        self._require(step)
        return dict(self._weights[step])

    def checksum(self, step: int) -> str:
        return fingerprint(self.load(step))


class DirectoryCheckpoints(Checkpoints):
    """`step-00000123.safetensors` files, each with a SHA-256 file; written atomically and verified on reading.

    `training.json` beside them holds the stages and the outcome.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if (path := directory / _TRAINING).exists():
            self.stages, self.outcome = _read_training(path)
        found = (re.fullmatch(r"step-(\d+)\.safetensors", path.name) for path in directory.glob("step-*.safetensors"))
        self.steps = sorted(int(match[1]) for match in found if match)

    def record(self, stages: Mapping[str, int], outcome: TrainingOutcome | None) -> None:
        """Keep what training tells of the run."""
        told = {"stages": dict(stages), "outcome": None if outcome is None else asdict(outcome)}
        write_json(self.directory / _TRAINING, told)
        self.stages, self.outcome = dict(stages), outcome

    def path(self, step: int) -> Path:
        return self.directory / f"step-{step:08d}.safetensors"

    def save(self, step: int, weights: Mapping[str, Tensor]) -> None:
        path = self.path(step)
        # copied, because safetensors refuses tensors that share memory, such as tied weights
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()
        }

        def write(temporary: Path) -> None:
            save_file(tensors, temporary)
            # the checksum is written first, so that weights never exist without one
            digest = sha256(temporary)
            write_atomically(_sidecar(path), lambda file: file.write_text(digest + "\n"))

        write_atomically(path, write)
        self.steps = sorted({*self.steps, step})

    def forget_after(self, step: int) -> None:
        """Remove the checkpoints after a step, of a run that goes on from there, and how it ended."""
        (self.directory / _TRAINING).unlink(missing_ok=True)
        self.stages, self.outcome = {}, None
        for later in [each for each in self.steps if each > step]:
            self.path(later).unlink(missing_ok=True)
            _sidecar(self.path(later)).unlink(missing_ok=True)
        self.steps = [each for each in self.steps if each <= step]

    def load(self, step: int) -> Weights:
        self._require(step)
        path = self.path(step)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.checksum(step):
            raise CorruptFile(f"{path}: its content does not match its checksum; delete it and resume, or restore it")
        return load_safetensors(content)

    def checksum(self, step: int) -> str:
        self._require(step)
        sidecar = _sidecar(self.path(step))
        if not sidecar.exists():
            raise CorruptFile(f"{sidecar}: the checksum of {self.path(step).name} is missing")
        return sidecar.read_text().strip()


class FileCheckpoints(Checkpoints):
    """Files or folders written by other tools, one per step.

    Args:
        paths: file or folder by step.
        key, load: as for `open_checkpoints`.
    """

    def __init__(
        self, paths: Mapping[int, Path], key: str | None = None, load: Callable[[Path], Any] | None = None
    ) -> None:
        self._paths, self._key, self._load = dict(sorted(paths.items())), key, load
        self.steps = list(self._paths)

    def load(self, step: int) -> Weights:
        self._require(step)
        path = self._paths[step]
        if self._load is None:
            return read_weights(path, self._key)
        return state_dict_in(self._load(path), self._key, f"what load({str(path)!r}) returns")

    def checksum(self, step: int) -> str:
        self._require(step)
        path = self._paths[step]
        # the user's function may read anything in a folder
        files = files_of(path) if self._load is None else [path]
        if self._load is not None and path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
        sums = [(file.name, _sum(file)) for file in files]
        if len(sums) == 1 and self._key is None and self._load is None:
            return sums[0][1]
        return fingerprint(sums, self._key, self._load)


def _read_training(path: Path) -> tuple[dict[str, int], TrainingOutcome | None]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        stages = dict(sorted(told["stages"].items(), key=lambda stage: stage[1]))
        return stages, None if told["outcome"] is None else TrainingOutcome(**told["outcome"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CorruptFile(f"{path}: damaged; delete it and train on, or restore it") from error


def _sum(file: Path) -> str:
    try:
        return sha256(file)
    except OSError as error:
        raise CorruptFile(f"{file}: cannot be read ({error.strerror})") from error


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".sha256")
