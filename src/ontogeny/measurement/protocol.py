"""The protocol of measurements along a training run: each splits into cells, which are jobs with their own keys."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import xarray as xr
from torch import nn

from ontogeny.core.protocols import Progress

At = Callable[[nn.Module, int, Progress], xr.Dataset]


@dataclass(frozen=True)
class Cell:
    """The unit of a measurement: what one job measures at one checkpoint, such as one component on one dataset.

    Attributes:
        name: for display, such as "L0H1 on code"; empty if the measurement has one cell.
        at: `at(model, step, progress)` receives the network at the checkpoint, in eval mode. It returns a Dataset
            without `step` and without the dimensions in `coords`.
        inputs: everything that determines the result besides weights, step and code: values, data, functions.
        coords: dimension -> the label of this cell, such as {"component": "L0H1", "dataset": "code"}.
        weight: expected cost, relative to one pass over a thousand samples.
    """

    name: str
    at: At
    inputs: Any
    coords: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0


@runtime_checkable
class Measurement(Protocol):
    """Something measured at every checkpoint of a training run.

    To add one, write a frozen dataclass with these two members. `measure` handles jobs, keys, store and progress.

    Attributes:
        name: shown in progress, and part of the key.
    """

    @property
    def name(self) -> str: ...

    def cells(self) -> Sequence[Cell]:
        """Its cells, in the order of their labels."""
        ...
