"""A schedule of checkpoints for the Trainer of transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ontogeny.stores.checkpoints import DirectoryCheckpoints
from ontogeny.stores.keeping import Keeper


class TrainerCheckpoints(TrainerCallback):
    """Keeps checkpoints while the Trainer trains. Made by `CheckpointSchedule.trainer_callback`.

    Attributes:
        keeper: of the run in progress, or the last one; None before the first.
    """

    def __init__(
        self,
        steps: Callable[[int], list[int]],
        folder: Path,
        then: Callable[[DirectoryCheckpoints], object] | None,
    ) -> None:
        self._steps, self._folder, self._then = steps, folder, then
        self.keeper: Keeper | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin, or go on from the step that the Trainer resumes from."""
        if state.is_world_process_zero:
            done, steps = state.global_step, self._steps(state.max_steps)
            self.keeper = Keeper(self._folder, steps, kwargs["model"], start=done, then=self._then)
            self.keeper(done)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After an update of the optimizer."""
        if self.keeper is not None and state.is_world_process_zero:
            self.keeper(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After the last update, also of a run that was stopped early."""
        if self.keeper is not None and state.is_world_process_zero:
            self.keeper.end(state.global_step)
