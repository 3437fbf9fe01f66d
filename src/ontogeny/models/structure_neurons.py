"""The neurons of an MLP, found from which weights reach which coordinates of its output matrix."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from ontogeny.core.restriction import Slice
from ontogeny.models.structure_probe import Probe, Projection, Reading, along


@dataclass(frozen=True)
class Neurons:
    """How many, and by parameter name the slice of all of them, neuron after neuron in its index."""

    count: int
    slices: dict[str, Slice]


def found_neurons(probe: Probe, projection: Projection, names: set[str]) -> Neurons | None:
    """The neurons of an MLP whose parameters are `names`; `None` where its weights do not separate by neuron.

    Each hidden coordinate is a number in binary: for each digit, coordinates with a one there are kept and then those
    with a zero. What a weight reaches spells the number of its neuron; a weight that reaches both ways is shared.
    """
    numbers, digits = torch.arange(projection.width), max(1, (projection.width - 1).bit_length())
    spelt: dict[tuple[str, int], Tensor] = {}
    clear: dict[tuple[str, int], Tensor] = {}
    for digit in range(digits):
        kept = (numbers >> digit & 1).bool()
        ones, zeros = (probe.reached(Reading(cut=(projection, keep)), names) for keep in (kept, ~kept))
        for name in names:
            for axis in range(ones[name].ndim):
                one, zero = along(ones[name], axis), along(zeros[name], axis)
                key = (name, axis)
                spelt[key] = spelt.get(key, torch.zeros(len(one), dtype=torch.long)) + (one.long() << digit)
                clear[key] = clear.get(key, torch.ones(len(one), dtype=torch.bool)) & (one ^ zero)
    slices: dict[str, Slice] = {}
    for (name, axis), each in clear.items():
        if each.all() and name not in slices:
            index = _by_neuron(spelt[name, axis], projection.width)
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
