"""The layers of a network and what is in them, found by running it and never looked up by its name.

An attention is the smallest module that mixes positions and ends in an output projection. A layer is the outermost
element of a list of modules that holds just that one attention. In a layer, norms are the modules with vectors alone,
and its other modules with matrices are the MLP.
"""

from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import nn

from ontogeny.models.structure_calls import TOKENS, Call, Calls, recorded
from ontogeny.models.structure_copies import Unprobed, is_norm
from ontogeny.models.structure_heads import Heads, found_heads
from ontogeny.models.structure_neurons import Neurons, found_neurons
from ontogeny.models.structure_probe import Probe
from ontogeny.models.structure_roles import Roles, found_roles

_KEPT = 2  # probes at a time: the attention and the MLP of one layer, which are asked for again


@dataclass(frozen=True)
class Layer:
    """Paths of modules and names of parameters of one layer."""

    path: str
    attention: str
    heads: Heads | None
    roles: list[Roles] | None
    norms: list[str]
    mlp: list[str]
    neurons: Neurons | None


@dataclass(frozen=True)
class Structure:
    """Layers in the order of the network, and the modules that read its input and write its output."""

    layers: list[Layer]
    embed: str | None
    unembed: str | None


def structure(model: nn.Module, inputs: tuple[Any, ...] | None = None, roles: bool = False) -> Structure:
    """What `model` is made of; empty where it does not run on `inputs`, by default three tokens.

    The roles of weights in heads, which take as long again as all else, are found where they are asked for.
    """
    cards = sorted({each.device.index for each in model.parameters() if each.is_cuda})
    with torch.random.fork_rng(devices=cards), torch.enable_grad():
        try:
            calls = recorded(model, (TOKENS.to(_device(model)),) if inputs is None else inputs)
        except Exception:
            if inputs is not None:
                raise
            return Structure([], None, None)  # not a network of tokens, and nothing else is known of its input
        with torch.autocast("cpu", enabled=False):
            search = _Search(model, calls, roles)
            attentions = [path for name, _ in model.named_children() for path in search.attentions(name)]
            layers = [search.layer(path, attentions) for path in attentions]
    return Structure(layers, *_ends(model, calls, [layer.path for layer in layers]))


class _Search:
    """Finds modules by probing; modules that are built alike are probed once."""

    def __init__(self, model: nn.Module, calls: Calls, roles: bool) -> None:
        self._modules, self._calls, self._roles = dict(model.named_modules()), calls, roles
        self._attentions: dict[Any, list[str]] = {}
        self._contents: dict[Any, tuple[Heads | None, list[Roles] | None, Neurons | None]] = {}
        self._probes: dict[str, Probe | None] = {}

    def attentions(self, path: str) -> list[str]:
        """Paths of the attentions in the module at `path`."""
        kind = self._kind(path)
        if kind not in self._attentions:
            self._attentions[kind] = [found.removeprefix(path) for found in self._searched(path)]
        return [path + found for found in self._attentions[kind]]

    def layer(self, attention: str, attentions: list[str]) -> Layer:
        """The layer around an attention, or the attention alone where no list holds it."""
        pieces = attention.split(".")
        around = [".".join(pieces[:depth]) for depth in range(1, len(pieces)) if pieces[depth - 1].isdigit()]
        alone = [path for path in around if sum(each.startswith(path + ".") for each in attentions) == 1]
        path = alone[0] if alone else attention
        norms, mlp = self._outside(path, attention)
        kind = (self._kind(path), attention.removeprefix(path))
        if kind not in self._contents:
            self._contents[kind] = *self._heads(attention), self._neurons(path, mlp)
        heads, roles, neurons = self._contents[kind]
        return Layer(path, attention, heads, roles, norms, mlp, neurons)

    def _searched(self, path: str) -> list[str]:
        probe = self._probe(path)
        if probe is not None and not probe.mixes_positions:
            return []
        children = (f"{path}.{name}" for name, _ in self._modules[path].named_children())
        # a child that is not at a known path is a module that has another path, and is searched there
        inner = [found for child in children if child in self._modules for found in self.attentions(child)]
        if inner or probe is None:
            return inner
        return [path] if probe.projection() else []

    def _probe(self, path: str) -> Probe | None:
        """A probe of a module that reads a stream and could be or hold an attention: it has two matrices or more.

        `None` for other modules, and where a module does not run alone.
        """
        call: Call | None = self._calls.made.get(path)
        matrices = [each for each in self._modules[path].parameters() if each.ndim > 1]
        if call is None or call.main() is None or len(matrices) < 2:
            return None
        if path not in self._probes:
            while len(self._probes) >= _KEPT:
                self._probes.pop(next(iter(self._probes)))
            self._probes[path] = None
            with suppress(Unprobed):
                self._probes[path] = Probe(self._modules[path], call)
        return self._probes[path]

    def _heads(self, attention: str) -> tuple[Heads | None, list[Roles] | None]:
        probe = self._probe(attention)
        projection = probe.projection() if probe else None
        heads = found_heads(probe, projection) if probe and projection else None
        if probe is None or projection is None or heads is None or not self._roles:
            return heads, None
        with suppress(Unprobed):
            unchanged = Probe(self._modules[attention], self._calls.made[attention], norms=True)
            return heads, found_roles(probe, unchanged, projection, heads)
        return heads, None

    def _neurons(self, path: str, mlp: list[str]) -> Neurons | None:
        """Those of an MLP, from the smallest module that holds it and reads a stream: the layer has more weights."""
        for holder in dict.fromkeys((_around(mlp), path)) if mlp else ():
            probe = self._probe(holder)
            if probe is not None:
                names = {name.removeprefix(holder + ".") for name in mlp}
                projection = probe.projection(names)
                found = found_neurons(probe, projection, names) if projection else None
                return found.within(holder.removeprefix(path).removeprefix(".")) if found else None
        return None

    def _outside(self, path: str, attention: str) -> tuple[list[str], list[str]]:
        """Norms, and parameters of modules with matrices, in the layer at `path` and not in its attention."""
        norms, mlp = [], []
        for name, module in self._modules[path].named_modules(prefix=path):
            if name == path or f"{name}.".startswith(f"{attention}.") or f"{attention}.".startswith(f"{name}."):
                continue
            if is_norm(module):
                norms.append(name)
            elif any(each.ndim > 1 for each in module.parameters(recurse=False)):
                mlp += [f"{name}.{each}" for each, _ in module.named_parameters(recurse=False)]
        return norms, mlp

    def _kind(self, path: str) -> Any:
        module = self._modules[path]
        shapes = tuple((name, tuple(each.shape)) for name, each in module.named_parameters())
        return (type(module), shapes) if path in self._calls.made else path


def _around(names: list[str]) -> str:
    """Path of the smallest module that holds all parameters of these names."""
    pieces = [name.split(".")[:-1] for name in names]
    shared = takewhile(lambda each: len(set(each)) == 1, zip(*pieces, strict=False))
    return ".".join(each[0] for each in shared)


def _ends(model: nn.Module, calls: Calls, layers: list[str]) -> tuple[str | None, str | None]:
    """The first module that reads the network's input, and the last that writes outputs of its width."""
    modules = dict(model.named_modules())

    def apart(path: str) -> bool:
        return path != "" and not any(
            f"{a}.".startswith(f"{b}.") for one in layers for a, b in ((one, path), (path, one))
        )

    matrices = [path for path in calls.made if apart(path) and any(p.ndim > 1 for p in modules[path].parameters())]
    (given, *_) = [each for each in calls.inputs if isinstance(each, torch.Tensor)] or [torch.empty(0)]
    readers = [path for path in matrices if any(_same(each, given) for each in calls.made[path].tensors())]
    writers = [path for path in calls.widths if path in matrices and calls.widths[path] == calls.widths.get("")]
    return next(iter(readers), None), next(reversed(writers), None) if layers else None


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)


def _device(model: nn.Module) -> torch.device:
    return next((each.device for each in model.parameters()), torch.device("cpu"))
