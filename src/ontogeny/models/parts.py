"""The parts of any network by one naming, and restrictions to them."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from ontogeny.core.notebook import table
from ontogeny.core.restriction import (
    Component,
    Restriction,
    Slice,
    matching,
    modules_and_parameters,
    parameters_of,
    shapes_of,
)
from ontogeny.models.structure import Layer, structure


class Parts(dict[str, Component]):
    """Name -> component. A notebook shows them as a table with their numbers of weights."""

    def _repr_html_(self) -> str:
        rows = [(name, f"{part.num_parameters:,}") for name, part in self.items()]
        return table(("component", "weights"), rows, f"{len(rows)} components")


def components(model: nn.Module, inputs: tuple[Any, ...] | None = None) -> Parts:
    """Every part of `model` that has a name.

    In transformers, with layers, heads and groups counted from 0:

    - `L0`: all of a layer; `L0.attn`: its attention, with what its heads share (output bias, norms of queries and
      keys, rotary or relative positions); `L0.mlp`; `L0.norm1`, `L0.norm2`, …: its norms in the order of their names.
    - `L0H3`: a head: its slices of W_Q and W_O, and of W_K and W_V where they are its own, with their biases.
    - `L0G1`: keys and values that several heads share (grouped-query and multi-query attention). They are in no head:
      `"L0H2 | L0G1"` is a head with its keys and values.
    - `L0.mlp.neurons`: all weights that belong to one neuron each (not the output bias); `L0.mlp.neurons[0:64]` in a
      pattern takes some of them.
    - `embed`, `unembed`: what reads the input, and what writes the output; the same tensor where they are tied.

    In every network: each module that holds parameters, and each parameter, by its path; where a module has one of the
    names above, the name is the part's. The structure is found by one forward pass and by gradients of copies of its
    modules with random weights (one layer of each kind is copied at a time), never from names. Gradients are taken in
    64 bits where the modules run in them, and are zero where they are no larger than rounding, so that every machine
    finds the same parts.

    Args:
        model: any module. It runs once in eval mode; weights, gradients, modes, buffers and random state come back
            untouched. Hooks on it run.
        inputs: what the model is called with, for networks of other things than tokens: sequences of two positions or
            more, a few of them. Default 32 sequences of three tokens; a network that does not run on these has modules
            and parameters alone.

    Returns:
        Name -> component.

    An attention is any module that mixes positions and ends in an output projection, so that a recurrent mixer is
    `L0.attn` too, without heads. There are no heads either where they do not separate before the output projection:
    where they are mixed (talking heads), or their queries are made from a latent vector that all share. A module that
    does not run a second time, on random weights, is passed over, and what is in it has its path for a name.

    Not to be trusted where heads do not lie side by side in the input of the output projection. Layers of one class
    with equal shapes are taken to be built alike. Each call probes the network anew, which takes about 4 s of
    one core for GPT-2: for many patterns call it once and use `core.restriction.matching`.
    """
    named = modules_and_parameters(model)
    parts = Parts()
    names = _Names(model)
    found = structure(model, inputs)
    for name, path in (("embed", found.embed), ("unembed", found.unembed)):
        if path is not None:
            parts[name] = names.component(name, dict.fromkeys(named[path].tensors))
    for number, layer in enumerate(found.layers):
        parts |= {part.name: part for part in _of_layer(f"L{number}", layer, named, names)}
    return Parts(parts | {name: part for name, part in named.items() if name not in parts})


def restrict(model: nn.Module, pattern: str, inputs: tuple[Any, ...] | None = None) -> Restriction:
    """The restriction to the parts of `model` that `pattern` names.

    Args:
        model: any module.
        pattern: names of `components`, or globs over parameter names, joined by set algebra: `|` unites, ` - ` with
            spaces takes away, `~` in front is the complement. ` - ` binds before `|`: `"~L0.mlp - embed | L1H3"`.
        inputs: as for `components`.

    Returns:
        A `Restriction`, which may be empty (`"L0 - L0"`); `.masks()` gives parameter name -> bool tensor.

    Raises:
        InvalidArgument: for a part that does not exist; lists the nearest names that do.
    """
    return matching(pattern, components(model, inputs), shapes_of(model))


class _Names:
    """Components from slices by any path of a parameter, under the first name of a tied one."""

    def __init__(self, model: nn.Module) -> None:
        first = {id(tensor): name for name, tensor in parameters_of(model).items()}
        paths = nn.Module.named_parameters(model, remove_duplicate=False)
        self._first = {path: first[id(tensor)] for path, tensor in paths}
        self._shapes = shapes_of(model)

    def component(self, name: str, slices: Mapping[str, Slice | None], units: int = 1) -> Component:
        """The component of the given slices, counted."""
        placed = {self._first[path]: where for path, where in slices.items()}
        return Component(name, placed, sum(self._count(path, where) for path, where in placed.items()), units)

    def under(self, module: str, slices: Mapping[str, Slice]) -> dict[str, Slice | None]:
        """Slices by names relative to a module, by full paths, in the order of the model."""
        full = {f"{module}.{name}": where for name, where in slices.items()}
        return {path: full[path] for path in self._first if path in full}

    def _count(self, path: str, where: Slice | None) -> int:
        shape = self._shapes[path]
        return math.prod(shape) if where is None else math.prod(shape) // shape[where.axis] * len(where.index)


def _of_layer(label: str, layer: Layer, named: Mapping[str, Component], names: _Names) -> Iterator[Component]:
    yield names.component(label, named[layer.path].slices)
    yield names.component(f"{label}.attn", named[layer.attention].slices)
    for number, path in enumerate(layer.norms, start=1):
        yield names.component(f"{label}.norm{number}", named[path].slices)
    if layer.mlp:
        yield names.component(f"{label}.mlp", dict.fromkeys(layer.mlp))
    if layer.neurons:
        slices = names.under(layer.path, layer.neurons.slices)
        yield names.component(f"{label}.mlp.neurons", slices, layer.neurons.count)
    if layer.heads:
        for letter, each in (("H", layer.heads.own), ("G", layer.heads.groups.values())):
            for number, slices in enumerate(each):
                yield names.component(f"{label}{letter}{number}", names.under(layer.attention, slices))
