"""Which steps of a training run keep their weights."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import NonNegativeInt
from torch import nn

from ontogeny.core.settings import Settings
from ontogeny.stores.checkpoints import DirectoryCheckpoints
from ontogeny.stores.keeping import Keeper

if TYPE_CHECKING:
    from ontogeny.stores.lightning_callback import LightningCheckpoints
    from ontogeny.stores.trainer_callback import TrainerCheckpoints

# Called with the folder's checkpoints whenever one was added.
Then = Callable[[DirectoryCheckpoints], object]


def checkpoint_steps(num_steps: int, num_log: int, num_linear: int) -> list[int]:
    """Step 0, `num_log` steps spaced evenly in log step, `num_linear` evenly in step, and the last; each once.

    Log-spaced checkpoints see the early development, linear ones the late (Hoogland et al., 2402.02364, use 100 and
    2000).
    """
    log = np.geomspace(1, num_steps, num_log) if num_log else []
    linear = np.linspace(0, num_steps, num_linear + 1) if num_linear else []
    return sorted({0, num_steps, *(round(float(step)) for step in (*log, *linear))})


class CheckpointSchedule(Settings):
    """A schedule of checkpoints, for the training loop that you already have.

    Weights are kept at step 0, at `num_log` steps spaced evenly in log step, at `num_linear` spaced evenly in step, and
    at the last; steps count updates of the optimizer. `og.open_checkpoints(folder)` opens them. Each file is written
    atomically, with a checksum. A run that is killed and resumed from its own state keeps the same checkpoints as an
    uninterrupted one, as far as its trainer resumes exactly; checkpoints after the step that it resumes from are
    removed first. The seconds that saving and measuring took are in `overhead.json`.

    Attributes:
        num_log: how many checkpoints are spaced evenly in log step, where development is fast; default 40.
        num_linear: how many evenly in step; default 20.

    The weights are `state_dict()` of the trained module. Weights that are sharded over processes (FSDP, DTensor) are
    refused: save those by `torch.distributed.checkpoint`, which `og.open_checkpoints` opens too. Of several processes
    with whole weights, the first writes.

    Example:
        >>> CheckpointSchedule(num_log=4, num_linear=2).steps(1000)
        [0, 1, 10, 100, 500, 1000]
    """

    num_log: NonNegativeInt = 40
    num_linear: NonNegativeInt = 20

    def steps(self, num_steps: int) -> list[int]:
        """The steps that keep weights in a run of `num_steps` updates."""
        return checkpoint_steps(num_steps, self.num_log, self.num_linear)

    def keeper(
        self, folder: str | Path, model: nn.Module, num_steps: int, *, start: int = 0, then: Then | None = None
    ) -> Keeper:
        """For a loop of your own: call the result with the number of updates made, before each and after the last.

        Args:
            folder: where checkpoints are kept.
            model: whose weights are kept.
            num_steps: updates of the whole run.
            start: updates that were made before, of a run that is resumed.
            then: called with the checkpoints after each was kept, such as `og.MeasureMeanwhile`.

        Raises:
            InvalidArgument: for a folder with a finished run or one of another schedule, and sharded weights.

        Example:
            ```python
            keep = og.CheckpointSchedule().keeper("out/checkpoints", model, num_steps=1000)
            for step, batch in enumerate(batches):
                keep(step)
                update(model, batch)
            keep(1000)
            ```
        """
        return Keeper(Path(folder), self.steps(num_steps), model, start=start, then=then)

    def trainer_callback(self, folder: str | Path, *, then: Then | None = None) -> "TrainerCheckpoints":
        """For the Trainer of transformers: `Trainer(..., callbacks=[schedule.trainer_callback("out/checkpoints")])`.

        A run resumed by `trainer.train(resume_from_checkpoint=...)` goes on. `og.open_checkpoints("out")` opens these
        checkpoints, not the Trainer's own beside them. Arguments and errors as for `keeper`.
        """
        from ontogeny.stores.trainer_callback import TrainerCheckpoints

        return TrainerCheckpoints(self.steps, Path(folder), then)

    def lightning_callback(self, folder: str | Path, *, then: Then | None = None) -> "LightningCheckpoints":
        """For Lightning: `Trainer(..., callbacks=[schedule.lightning_callback("out/checkpoints")])`.

        A run resumed by `trainer.fit(..., ckpt_path=...)` goes on. Lightning counts a step for each optimizer that is
        updated. The number of steps must be known (`max_steps`, or epochs of data with a length). Arguments and errors
        as for `keeper`.
        """
        from ontogeny.stores.lightning_callback import LightningCheckpoints

        return LightningCheckpoints(self.steps, Path(folder), then)
