"""Keeping the checkpoints of a run that someone else's loop trains."""

import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn
from torch.distributed.tensor import DTensor

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.outcome import TrainingOutcome
from ontogeny.stores.checkpoints import DirectoryCheckpoints
from ontogeny.stores.files import write_json

_SCHEDULE, _OVERHEAD = "schedule.json", "overhead.json"


class Keeper:
    """Keeps the weights of a module at the steps of a schedule. Made by `CheckpointSchedule.keeper`.

    Args:
        folder: where checkpoints are kept.
        steps: those to keep; the last ends the run.
        model: whose weights are kept.
        start: updates made before; later checkpoints, of a run that was killed, are removed.
        then: called with the checkpoints after each was kept.

    Attributes:
        checkpoints: what has been kept.
        saving_seconds, then_seconds: spent here so far.
    """

    def __init__(
        self,
        folder: Path,
        steps: Sequence[int],
        model: nn.Module,
        *,
        start: int = 0,
        then: Callable[[DirectoryCheckpoints], object] | None = None,
    ) -> None:
        if any(isinstance(tensor, DTensor) for tensor in model.state_dict().values()):
            raise InvalidArgument("model", expected="whole weights in one process", found="weights that are sharded")
        self._steps, self._model, self._then = list(steps), model, then
        self.saving_seconds = self.then_seconds = 0.0
        self._began = time.perf_counter()
        self.checkpoints = _begun(folder, self._steps, start)
        self._ended = False
        if lacking := [step for step in self._steps if step < start and step not in self.checkpoints.steps]:
            warnings.warn(f"{folder}: {len(lacking)} checkpoints before step {start} were not kept", stacklevel=3)

    def __call__(self, step: int) -> None:
        """Keep the weights of the module if the schedule has this step. `step` is the number of updates made."""
        if step in self._steps and step not in self.checkpoints.steps:
            began = time.perf_counter()
            self.checkpoints.save(step, self._model.state_dict())
            saved = time.perf_counter()
            if self._then is not None:
                self._then(self.checkpoints)
            self.saving_seconds += saved - began
            self.then_seconds += time.perf_counter() - saved
        if step == self._steps[-1]:
            self.end(step)

    def end(self, step: int) -> None:
        """The run has ended after `step` updates, which may be fewer than were planned. Called twice, nothing new."""
        if self._ended:
            return
        self._ended = True
        if step not in self.checkpoints.steps:
            self.checkpoints.save(step, self._model.state_dict())
        self.checkpoints.record({}, TrainingOutcome(diverged=False, step=step))
        seconds = time.perf_counter() - self._began
        told = {"seconds": seconds, "saving_seconds": self.saving_seconds, "then_seconds": self.then_seconds}
        write_json(self.checkpoints.directory / _OVERHEAD, told)


def _begun(folder: Path, steps: Sequence[int], start: int) -> DirectoryCheckpoints:
    """The checkpoints of a folder up to the step at which a run starts or goes on."""
    path = folder / _SCHEDULE
    checkpoints = DirectoryCheckpoints(folder)
    if checkpoints.outcome is not None and start < checkpoints.outcome.step:
        raise InvalidArgument(
            "folder",
            expected="a folder without a finished run",
            found=f"{folder}, whose run finished after step {checkpoints.outcome.step}",
            instead="another folder, or delete that one",
        )
    if _planned(path) not in (None, list(steps)):
        raise InvalidArgument(
            "folder",
            expected="an empty folder, or one of a run with this schedule and number of steps",
            found=f"{folder} with another schedule",
            instead="another folder, or delete that one",
        )
    write_json(path, list(steps))
    checkpoints.forget_after(start)
    return checkpoints


def _planned(path: Path) -> list[int] | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptFile(f"{path}: damaged; delete it") from error
