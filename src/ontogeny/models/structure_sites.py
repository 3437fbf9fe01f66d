"""Where the activations of an attention can be seen: the inputs and outputs of modules that its matrices make or read.

An activation is the product of a matrix with the stream if moving all its places on by one does what moving the columns
of the matrix does, and likewise for what the output projection is multiplied with. (Taking places out would not tell
queries from keys, which are multiplied with one another.)
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ontogeny.models.hooks import replacing
from ontogeny.models.outputs import first_tensor
from ontogeny.models.places import Site
from ontogeny.models.structure_probe import Probe
from ontogeny.models.structure_readings import Projection

# In 64 bits both are equal up to 1e-7, since many modules take their softmax in 32 bits.
_EQUAL = {torch.float64: 1e-6, torch.float32: 1e-4}
Side = Literal["input", "output"]
_Seen = tuple[str, Side, torch.Size]  # path of a module, side, and shape of the activation


@dataclass(frozen=True)
class Shown:
    """A module's input or output whose last axes, of sizes `places`, run over the hidden coordinates of a matrix."""

    module: str
    side: Side
    places: tuple[int, ...]

    def site(self, index: tuple[int, ...]) -> Site | None:
        """The site of some hidden coordinates; `None` where they are neither of the last axis nor one head of two."""
        if len(self.places) == 1:
            return Site(self.module, self.side, -1, index)
        head, width = index[0] // self.places[-1], self.places[-1]
        whole = len(self.places) == 2 and index == tuple(range(head * width, (head + 1) * width))
        return Site(self.module, self.side, -2, head) if whole else None


def found_sites(probe: Probe, projection: Projection) -> dict[str, Shown]:
    """Matrix -> where its product with the stream is shown, or what it is multiplied with, if any module shows it."""
    seen = _activations(probe)
    outputs = [each for each in seen if each[1] == "output"]
    found = {matrix.name: _shown(probe, matrix, _owner_first(outputs, matrix), 1) for matrix in probe.readers}
    # what is multiplied with the output projection may have been shown before, and changed since: the last comes first
    owners = [each for each in seen if each[:2] == (projection.name.rpartition(".")[0], "input")]
    found[projection.name] = _shown(probe, projection, [*owners, *reversed(outputs), *reversed(seen)], -1)
    return {name: shown for name, shown in found.items() if shown is not None}


def found_pattern(probe: Probe, projection: Projection, count: int) -> Shown | None:
    """The output of a module that is the attention pattern, (batch, head, query, key), if there is one.

    Its rows are means, and a head whose pattern is zero writes nothing.
    """
    last = torch.arange(projection.width) >= projection.width // count * (count - 1)
    without = probe.parameters[projection.name] * projection.keeping(~last)[projection.name]
    expected = probe.outputs({projection.name: without})
    for path, side, shape in _activations(probe):
        if side == "output" and len(shape) == 4 and shape[1] == count and shape[2] == shape[3]:
            seen: list[Tensor] = []
            with replacing(probe.module, [(Site(path), seen.append), (Site(path, axis=1, index=count - 1), _nothing)]):
                found = probe.outputs({})
            means = bool((seen[0] >= 0).all()) and _equal(
                seen[0].sum(-1).clamp(min=1), torch.ones_like(seen[0][..., 0])
            )
            if means and _equal(found, expected):
                return Shown(path, side, tuple(shape[1:]))
    return None


def _nothing(activation: Tensor) -> Tensor:
    return torch.zeros_like(activation)


def _equal(found: Tensor, expected: Tensor) -> bool:
    limit = _EQUAL.get(expected.dtype, 32 * torch.finfo(expected.dtype).eps) * float(expected.abs().max())
    return bool(((found - expected).abs() <= limit).all())


def _owner_first(seen: list[_Seen], matrix: Projection) -> list[_Seen]:
    return sorted(seen, key=lambda each: each[0] != matrix.name.rpartition(".")[0])


def _shown(probe: Probe, matrix: Projection, seen: list[_Seen], step: int) -> Shown | None:
    """Where moving hidden coordinates on by one does what moving those of the matrix by `step` does."""
    biases = [bias for bias, host in probe.hosts.items() if host == matrix]
    moved = {bias: probe.parameters[bias].flatten().roll(step).view_as(probe.parameters[bias]) for bias in biases}
    columns = matrix.hidden_of(probe.parameters[matrix.name]).roll(step, 1)
    moved[matrix.name] = columns.unflatten(1, matrix.hidden).movedim(0, matrix.axis)
    expected = probe.outputs(moved)
    for path, side, shape in seen:
        if len(shape) > 2 and shape[2:].numel() == matrix.width:
            with replacing(probe.module, [(Site(path, side), _moved_on)]):
                found = probe.outputs({})
            if _equal(found, expected):
                return Shown(path, side, tuple(shape[2:]))
    return None


def _moved_on(activation: Tensor) -> Tensor:
    return activation.flatten(2).roll(1, 2).view_as(activation)


def _activations(probe: Probe) -> list[_Seen]:
    """Path, side and shape of what the modules inside are called with and return, in the order in which they end."""
    seen: dict[tuple[str, Side], torch.Size] = {}

    def note(path: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        for side, tensor in (("input", first_tensor((args, kwargs))), ("output", first_tensor(output))):
            if tensor is not None and tensor.is_floating_point():
                seen[path, side] = tensor.shape

    inside = [(path, module) for path, module in probe.module.named_modules() if path]
    handles = [module.register_forward_hook(partial(note, path), with_kwargs=True) for path, module in inside]
    try:
        probe.outputs({})
    finally:
        for handle in handles:
            handle.remove()
    return [(path, side, shape) for (path, side), shape in seen.items()]
