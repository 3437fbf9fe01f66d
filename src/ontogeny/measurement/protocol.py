"""What can be measured along a run: a `Measurement` that splits itself into parts, each a job with a key of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import xarray as xr
from torch import nn

from ontogeny.core.protocols import Progress

At = Callable[[nn.Module, int, Progress], xr.Dataset]


@dataclass(frozen=True)
class Part:
    """The smallest piece of a measurement: what one job measures at one checkpoint.

    Attributes:
        name: as people read it, "L0H1 on code"; empty where the measurement has one part.
        at: `at(model, step, progress)` with the network at the checkpoint, in eval mode; a Dataset without `step` and
            without the dimensions in `coords`.
        inputs: all that decides the result besides the weights, the step and code: values, data, functions.
        coords: dimension -> the label of this part, such as {"component": "L0H1", "dataset": "code"}.
        weight: expected cost, relative to one pass over a thousand samples.
    """

    name: str
    at: At
    inputs: Any
    coords: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0


@runtime_checkable
class Measurement(Protocol):
    """A kind of number that is measured at every checkpoint of a run.

    A new one is a frozen dataclass with these two members; `measure` does the rest: jobs, keys, store, progress.

    Attributes:
        name: of the quantity, in keys and in progress.
    """

    @property
    def name(self) -> str: ...

    def parts(self) -> Sequence[Part]:
        """Its parts, in the order in which their labels shall stand."""
        ...
