"""A schedule of checkpoints for Lightning."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores.checkpoints import DirectoryCheckpoints
from ontogeny.stores.keeping import Keeper


class LightningCheckpoints(Callback):
    """Keeps checkpoints while Lightning trains. Made by `CheckpointSchedule.lightning_callback`.

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

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, or go on from the step that Lightning resumes from."""
        planned = trainer.estimated_stepping_batches
        if not math.isfinite(planned) or planned < 1:
            raise InvalidArgument(
                "trainer", expected="a known number of steps", found="none", instead="Trainer(max_steps=...)"
            )
        if trainer.is_global_zero:
            done = trainer.global_step
            self.keeper = Keeper(self._folder, self._steps(int(planned)), pl_module, start=done, then=self._then)
            self.keeper(done)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a batch; while gradients are accumulated, the step stays as it is."""
        if self.keeper is not None and trainer.is_global_zero:
            self.keeper(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the last update, also of a run that was stopped early."""
        if self.keeper is not None and trainer.is_global_zero:
            self.keeper.end(trainer.global_step)
