"""The neurons of an MLP, found from which weights reach which coordinates of its output matrix."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ontogeny.core.restriction import Slice
from ontogeny.models.structure_codes import spelt
from ontogeny.models.structure_probe import Probe
from ontogeny.models.structure_readings import Projection, Reading, along


@dataclass(frozen=True)
class Neurons:
    """How many, and by parameter name the slice of all of them, neuron after neuron in its index."""

    count: int
    slices: dict[str, Slice]

    def within(self, path: str) -> "Neurons":
        """The same neurons by names from outside a module that is at `path` there."""
        return Neurons(self.count, {f"{path}.{name}" if path else name: where for name, where in self.slices.items()})


def found_neurons(probe: Probe, projection: Projection, names: set[str]) -> Neurons | None:
    """The neurons of an MLP whose parameters are `names`; `None` where its weights do not separate by neuron.

    A weight that belongs to several neurons is shared.
    """
    others = names - {projection.name}

    def reached(kept: Bool[Tensor, " hidden"]) -> dict[tuple[str, int], Tensor]:
        found = probe.reached(Reading(kept=projection.keeping(kept)), others)
        return {(name, axis): along(found[name], axis) for name in others for axis in range(found[name].ndim)}

    if len(projection.hidden) > 1:
        return None  # several matrices in one tensor, as those of experts
    slices = {projection.name: Slice(1 - projection.axis, tuple(range(projection.width)))}
    for (name, axis), (numbers, clear) in spelt(projection.width, reached).items():
        if clear.all() and name not in slices:
            index = _by_neuron(numbers, projection.width)
            if index is None:
                return None
            slices[name] = Slice(axis, tuple(index.tolist()))
    matrices = {name for name in names if probe.parameters[name].ndim > 1}
    return Neurons(projection.width, slices) if matrices <= slices.keys() and len(matrices) > 1 else None


def _by_neuron(neuron: Int[Tensor, " place"], count: int) -> Int[Tensor, " place"] | None:
    """Places sorted by their neuron, if each neuron has equally many."""
    counts = torch.bincount(neuron, minlength=count)
    if len(counts) > count or bool((counts != counts[0]).any()):
        return None
    return neuron.argsort(stable=True)
