"""Which coordinates of the weights move: the one weight restriction.

Parameters are named by their path in the module (`blocks.0.attn.W_Q`), by a glob over such paths (`blocks.0.*`), or by
the path of a module that holds them (`blocks.0.attn`); `|` unites. Tied weights are one parameter, under their first
name.
"""

import difflib
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument


@dataclass(frozen=True)
class Component:
    """A named part of a network: its tensors and how many numbers they hold."""

    name: str
    tensors: tuple[str, ...]
    num_parameters: int


@dataclass(frozen=True)
class Restriction:
    """The free parameters of a posterior; all others stay at the center and cost neither gradient nor noise."""

    name: str
    free: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]] = field(hash=False)

    def masks(self) -> dict[str, Tensor]:
        """Parameter name -> bool tensor, true where a coordinate is free."""
        return {name: torch.full(shape, name in self.free) for name, shape in self.shapes.items()}


def components(model: nn.Module) -> dict[str, Component]:
    """Every part of `model` that has a name: each module that holds parameters, and each parameter."""
    parameters = dict(model.named_parameters())
    names = {name.rpartition(".")[0] for name in parameters}
    modules = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)} - {""}
    tensors = {
        module: tuple(name for name in parameters if name.startswith(module + ".")) for module in sorted(modules)
    }
    tensors |= {name: (name,) for name in parameters}
    return {
        name: Component(name, inside, sum(parameters[tensor].numel() for tensor in inside))
        for name, inside in tensors.items()
    }


def restrict(model: nn.Module, pattern: str) -> Restriction:
    """The restriction to the parts that `pattern` names.

    Args:
        model: any module.
        pattern: component names or globs over parameter names, united by `|`: `"blocks.0.attn | unembed.*"`.

    Raises:
        InvalidArgument: for a part that does not exist; lists the nearest names that do.
    """
    parts, shapes = components(model), {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    free: set[str] = set()
    for term in (piece.strip() for piece in pattern.split("|")):
        matched = parts[term].tensors if term in parts else tuple(fnmatch.filter(shapes, term))
        if not matched:
            raise InvalidArgument(
                "component",
                expected="the name of a part of this model, or a glob over its parameter names",
                found=f"{term!r}, which matches nothing",
                instead=_nearest(term, list(parts)),
            )
        free.update(matched)
    return Restriction(pattern, tuple(name for name in shapes if name in free), shapes)


def _nearest(term: str, names: list[str]) -> str:
    near = difflib.get_close_matches(term, names, n=5, cutoff=0.3) or names[:5]
    return "one of " + ", ".join(repr(name) for name in near) + " (og.components(model) lists them all)"
