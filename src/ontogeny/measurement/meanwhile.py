"""Measuring a run while it trains, within a share of its time."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.execution import Serial
from ontogeny.measurement.trajectory import measure
from ontogeny.stores import Checkpoints


class MeasureMeanwhile:
    """Measures the checkpoints of a run while it trains, the earliest first, within a share of the training time.

    Pass it as `then=` to `og.CheckpointSchedule`. After each kept checkpoint, those that wait are measured while

        (seconds measured so far) + (the longest measurement of a checkpoint so far) ≤ share × (seconds of training)

    holds, so that measuring takes at most that share of the training time, and once more one measurement if it takes
    longer than all before it. What is left at the end is told by `waiting`. `og.measure` with the same arguments and
    the same `store` measures the rest and reads what is there.

    Args:
        model_fn, data, loss_fn: as for `og.measure`.
        store: folder of the results, as for `og.measure`.
        share: the largest share of the training time, above 0; default 0.1.
        options: any other argument of `og.measure`. Coefficients need `nbeta` and `localization`, which cannot be
            chosen before the run has ended; without both, only losses and behaviour are measured, as by
            `components=[]`.

    Attributes:
        trajectory: what has been measured so far; None before the first.
        measured, waiting: steps.
        seconds, longest: spent on measuring, in all and on the checkpoint that took longest.

    Measurements run in the training process, one after another. Its random state is left as it is, so that the
    training is the same as without them.

    Raises:
        InvalidArgument: for a share that is not positive, and for arguments that `og.measure` is given here.
    """

    def __init__(
        self,
        model_fn: Callable[[], nn.Module],
        data: Any,
        loss_fn: LossFn,
        *,
        store: str | Path,
        share: float = 0.1,
        **options: Any,
    ) -> None:
        if not share > 0:
            raise InvalidArgument("share", expected="a number above 0", found=repr(share), instead="share=0.1")
        if own := sorted({"steps", "executor", "progress"} & options.keys()):
            raise InvalidArgument(own[0], expected="an argument of each measurement", found="one that is set here")
        if options.get("nbeta") is None or options.get("localization") is None:
            if options.get("components"):
                raise InvalidArgument(
                    "components",
                    expected="nbeta= and localization= beside them, which are chosen only after the run",
                    found="components alone",
                    instead="nbeta=100.0, localization=1.0, or no components",
                )
            options = options | {"components": []}
        self._given, self._options, self._share = (model_fn, data, loss_fn), options, share
        self._store, self._began = Path(store), time.perf_counter()
        self.longest = 0.0
        self.trajectory: xr.Dataset | None = None
        self.measured: list[int] = []
        self.waiting: list[int] = []
        self.seconds = 0.0

    def __call__(self, run: Checkpoints) -> None:
        """Measure checkpoints that wait, as far as the share allows."""
        if not self.measured and not self.waiting:
            self._began = time.perf_counter()
        self.waiting = [step for step in run.steps if step not in self.measured]
        while self.waiting and self.seconds + self.longest <= self._share * self._training_seconds():
            self._measure(run, self.waiting.pop(0))

    def _training_seconds(self) -> float:
        return time.perf_counter() - self._began - self.seconds

    def _measure(self, run: Checkpoints, step: int) -> None:
        began = time.perf_counter()
        options = self._options | {"steps": [step], "store": self._store, "executor": Serial()}
        found = measure(run, *self._given, **options)
        joined = [found] if self.trajectory is None else [self.trajectory, found]
        self.trajectory = xr.concat(joined, dim="step", combine_attrs="override")
        self.measured.append(step)
        self.longest = max(self.longest, time.perf_counter() - began)
        self.seconds += time.perf_counter() - began
