"""Where the activations of an attention can be seen: the inputs and outputs of modules that its matrices make or read.

An activation is the product of a matrix with the stream if taking places out of it does what taking the same columns
out of the matrix does, and likewise for what the output projection is multiplied with.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from ontogeny.models.hooks import replacing
from ontogeny.models.outputs import first_tensor
from ontogeny.models.places import Site
from ontogeny.models.structure_probe import Probe, Projection

# In 64 bits both are equal up to 1e-7, since many modules take their softmax in 32 bits.
_EQUAL = {torch.float64: 1e-6, torch.float32: 1e-4}
Side = Literal["input", "output"]


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
    # the same activation may be met again, reshaped: the products where they are made, the others where they are used
    made = [(path, side, shape) for path, side, shape in seen if side == "output"]
    used = sorted(reversed(seen), key=lambda each: each[1] == "output")
    found = {matrix.name: _shown(probe, matrix, made) for matrix in probe.readers}
    found[projection.name] = _shown(probe, projection, used)
    return {name: shown for name, shown in found.items() if shown is not None}


def _shown(probe: Probe, matrix: Projection, seen: list[tuple[str, Side, torch.Size]]) -> Shown | None:
    kept = torch.arange(matrix.width) % 3 > 0  # of each head some coordinates and not the others
    masks = matrix.keeping(kept) | {
        bias: kept.view(probe.parameters[bias].shape) for bias, host in probe.hosts.items() if host == matrix
    }
    expected = probe.outputs(masks)
    limit = _EQUAL.get(expected.dtype, 32 * torch.finfo(expected.dtype).eps) * float(expected.abs().max())
    for path, side, shape in seen:
        places = tuple(shape[2:])
        if torch.Size(places).numel() != matrix.width or not places:
            continue
        with replacing(probe.module, {Site(path, side): partial(torch.mul, kept.view(places))}):
            found = probe.outputs({})
        if bool(((found - expected).abs() <= limit).all()):
            return Shown(path, side, places)
    return None


def _activations(probe: Probe) -> list[tuple[str, Side, torch.Size]]:
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
