"""Activations kept per sample, within a bound on memory; what exceeds it goes to scratch files or is not kept."""

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Scratch
from ontogeny.core.samples import Samples


@dataclass(frozen=True)
class Reuse:
    """How activations before the first free weight are kept.

    They depend on the sample alone, so each is computed once, and passes begin after them. Results change by rounding
    only.

    Args:
        memory: bytes of memory of the chains' device that they may take up; 0 computes them anew in every pass.
        scratch: where those beyond `memory` are kept, such as `ontogeny.stores.ScratchFolder("scratch")`. Without it
            they are computed anew.

    Raises:
        InvalidArgument: unless `memory` is a whole number ≥ 0.
    """

    memory: int = 2**28
    scratch: Scratch | None = None

    def __post_init__(self) -> None:
        if arguments.whole_number("memory", self.memory, None) < 0:
            raise InvalidArgument("memory", expected="bytes ≥ 0", found=str(self.memory), instead="memory=2**28")


class Activations:
    """The rows of some activations for the samples of any data. Data that are gone take their rows with them.

    Args:
        reuse: the bound.
        examples: one sample's part of each activation.
        device: where they are kept.
    """

    def __init__(self, reuse: Reuse, examples: Sequence[Tensor], device: torch.device) -> None:
        self._reuse, self._device = reuse, device
        self._parts = [(tuple(each.shape), each.dtype) for each in examples]
        self._kept: weakref.WeakKeyDictionary[Samples, _Rows] = weakref.WeakKeyDictionary()

    @property
    def bytes_a_sample(self) -> int:
        """Bytes of all activations of one sample."""
        return sum(math.prod(shape) * dtype.itemsize for shape, dtype in self._parts)

    @property
    def reserved(self) -> int:
        """Bytes of memory that are set aside so far."""
        return sum(rows.held for rows in self._kept.values()) * self.bytes_a_sample

    def of(self, samples: Samples) -> "_Rows":
        """The rows of these samples; empty at first."""
        if samples not in self._kept:
            free = max(self._reuse.memory - self.reserved, 0)
            held = min(free // max(self.bytes_a_sample, 1), samples.stored)
            spilt = samples.stored - held if self._reuse.scratch is not None else 0
            self._kept[samples] = self._rows(samples.stored, held, spilt)
        return self._kept[samples]

    def _rows(self, stored: int, held: int, spilt: int) -> "_Rows":
        here = [torch.empty((held, *shape), dtype=dtype, device=self._device) for shape, dtype in self._parts]
        there: list[Tensor] = []
        if spilt and self._reuse.scratch is not None:
            there = [self._reuse.scratch.tensor((spilt, *shape), dtype) for shape, dtype in self._parts]
        return _Rows(torch.full((stored,), -1), here, there, held, spilt)


@dataclass
class _Rows:
    """Rows by sample. `slots` says where each is: first those in memory, then those in scratch files; -1 for none."""

    slots: Int[Tensor, " sample"]
    here: list[Tensor]
    there: list[Tensor]
    held: int
    spilt: int
    used: int = 0

    def missing(self, indices: Int[Tensor, " entry"]) -> Int[Tensor, " missing"]:
        """Those of the samples that have no rows, in ascending order."""
        return torch.unique(indices[self.slots[indices] < 0])

    def put(self, indices: Int[Tensor, " missing"], rows: Sequence[Tensor]) -> None:
        """Keep the rows of samples that have none, as far as there is room."""
        room = min(len(indices), self.held + self.spilt - self.used)
        slots = torch.arange(self.used, self.used + room)
        self.slots[indices[:room]], self.used = slots, self.used + room
        inside = slots < self.held
        for number, row in enumerate(rows):
            self.here[number][slots[inside]] = row[:room][inside.to(row.device)]
            if not inside.all():
                self.there[number][slots[~inside] - self.held] = row[:room][~inside.to(row.device)].cpu()

    def get(
        self, indices: Int[Tensor, " entry"], fresh: Int[Tensor, " missing"], rows: Sequence[Tensor]
    ) -> list[Tensor]:
        """The rows of samples, of which those of `fresh` may not have been kept."""
        slots = self.slots[indices]
        if bool((slots >= 0).all()) and bool((slots < self.held).all()):
            return [each.index_select(0, slots.to(each.device)) for each in self.here]
        inside, spilt, absent = (slots >= 0) & (slots < self.held), slots >= self.held, slots < 0
        places = torch.searchsorted(fresh, indices[absent])
        found = []
        for number, each in enumerate(self.here):
            out = each.new_empty((len(indices), *each.shape[1:]))
            out[inside] = each[slots[inside]]
            if spilt.any():
                out[spilt] = self.there[number][slots[spilt] - self.held].to(out.device)
            if absent.any():
                out[absent] = rows[number][places]
            found.append(out)
        return found
