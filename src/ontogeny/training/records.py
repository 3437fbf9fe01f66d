"""What is kept of a training run on disk: checkpoints, metrics, how it ended, and the state to go on from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.outcome import TrainingOutcome
from ontogeny.stores import DirectoryCheckpoints, MemoryCheckpoints, write_atomically


class Record:
    """Of one network: its checkpoints, its losses, and how training ended.

    Args:
        directory: holds `checkpoints/` and `metrics.jsonl`; None keeps checkpoints in memory, and no losses.
        stages: the first step of each.
    """

    def __init__(self, directory: Path | None, stages: Mapping[str, int]) -> None:
        self.checkpoints = DirectoryCheckpoints(directory / "checkpoints") if directory else MemoryCheckpoints()
        self._metrics = directory / "metrics.jsonl" if directory else None
        self._stages = stages
        self.outcome: TrainingOutcome | None = None

    def begin(self, step: int, outcome: TrainingOutcome | None) -> None:
        """Go on from a step: later losses are forgotten."""
        if self._metrics and self._metrics.exists():
            lines = self._metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            complete = [line for line in lines if line.endswith("\n")]
            kept = "".join(line for line in complete if json.loads(line)["step"] < step)
            write_atomically(self._metrics, lambda temporary: temporary.write_text(kept, encoding="utf-8"))
        self.end(outcome)

    def log(self, step: int, loss: float) -> None:
        if self._metrics:
            with self._metrics.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"step": step, "loss": loss}) + "\n")

    def end(self, outcome: TrainingOutcome | None) -> None:
        self.outcome = outcome
        self.checkpoints.record(self._stages, outcome)

    def lacks(self, wanted: set[int], step: int, outcome: TrainingOutcome | None) -> bool:
        """Whether a checkpoint is missing that a run at this step, or with this outcome before it, must have."""
        end = min(step, outcome.step) if outcome else step
        return any(each < end for each in wanted - set(self.checkpoints.steps))


class State:
    """What a killed run goes on from: step, weights and optimizer in one file.

    Args:
        directory: None keeps nothing.
        key: of all arguments of the run.
    """

    def __init__(self, directory: Path | None, key: str) -> None:
        self._path, self._key = directory / "training-state.pt" if directory else None, key
        if directory:
            directory.mkdir(parents=True, exist_ok=True)

    @property
    def kept(self) -> bool:
        return self._path is not None

    def read(self) -> dict[str, Any] | None:
        """What was saved last, if anything.

        Raises:
            InvalidArgument: if it is of a run of other arguments.
        """
        if self._path is None or not self._path.exists():
            return None
        state = torch.load(self._path, weights_only=True)
        if state["key"] != self._key:
            raise InvalidArgument(
                "directory",
                expected="an empty folder, or one with a run of the same model, data, loss and config",
                found=f"{self._path.parent} with another run",
                instead="another folder, or delete that one",
            )
        return state

    def save(self, content: Mapping[str, Any]) -> None:
        if self._path is not None:
            write_atomically(self._path, lambda temporary: torch.save({"key": self._key, **content}, temporary))
