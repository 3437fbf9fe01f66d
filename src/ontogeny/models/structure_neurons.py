"""The neurons of an MLP, found from which weights reach which coordinates of its output matrix."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ontogeny.core.restriction import Slice
from ontogeny.models.structure_probe import Probe, Projection, Reading, along, spelt


@dataclass(frozen=True)
class Neurons:
    """How many, and by parameter name the slice of all of them, neuron after neuron in its index."""

    count: int
    slices: dict[str, Slice]


def found_neurons(probe: Probe, projection: Projection, names: set[str]) -> Neurons | None:
    """The neurons of an MLP whose parameters are `names`; `None` where its weights do not separate by neuron.

    A weight that belongs to several neurons is shared.
    """

    def reached(kept: Bool[Tensor, " hidden"]) -> dict[tuple[str, int], Tensor]:
        found = probe.reached(Reading(kept=projection.keeping(kept)), names)
        return {(name, axis): along(found[name], axis) for name in names for axis in range(found[name].ndim)}

    slices: dict[str, Slice] = {}
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
