"""The attention heads of any network by what their weights do: queries, keys, values and output.

Dimensions in comments and annotations: d_model of the stream, d_head of a head.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.restriction import parameters_of
from ontogeny.models.places import Site, TensorSlice
from ontogeny.models.structure import Layer, Structure, structure
from ontogeny.models.structure_roles import Normalized


@dataclass(frozen=True)
class Head:
    """One attention head: slices of the model's weights, and where its activations are.

    With x the input of the attention at one position, (d_model,): q = x W_Q + b_Q, k = x W_K + b_K, v = x W_V + b_V,
    and with z the mean of v by the attention pattern, the head adds z W_O to the attention's output. The score of a
    query and a key is q·k times a constant, plus what a family adds to it for the distance, and

    - where `rotary`, q·k holds at one position; between positions both are turned by angles that grow with the
      distance;
    - where `normalized` is not `"no"`, there is no product W_Q W_Kᵀ: queries or keys are divided by their length
      before they are multiplied.

    Attributes:
        layer, index: numbers of the layer and of the head in it; its name is `L{layer}H{index}`.
        query, key, value, output: the slices; keys and values of grouped queries are those of the group.
        pattern: the head's attention pattern, (batch, query, key), where a module returns it.
        rotary: see above.
        normalized: `"no"`, `"by head"`, or `"over heads"`: one norm over the queries of all heads, so that taking a
            head's queries or keys away changes the others. There `query.site` and `key.site` are None; its outputs are
            its own all the same, and `site` is where to intervene.
        attention: path of the attention.
        parameters: the model's weights by name, of which the matrices below are views.
    """

    layer: int
    index: int
    query: TensorSlice
    key: TensorSlice
    value: TensorSlice
    output: TensorSlice
    pattern: Site | None
    rotary: bool
    normalized: Normalized
    attention: str
    parameters: Mapping[str, Tensor] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """As components are named."""
        return f"L{self.layer}H{self.index}"

    @property
    def site(self) -> Site | None:
        """Where the head's z is: its columns of the output projection's input. `None` where no module shows them."""
        return self.output.site

    @property
    def W_Q(self) -> Float[Tensor, "d_model d_head"]:
        """The stream to queries."""
        return self.query.of(self.parameters)

    @property
    def W_K(self) -> Float[Tensor, "d_model d_head"]:
        """The stream to keys; column i is multiplied with column i of `W_Q`."""
        return self.key.of(self.parameters)

    @property
    def W_V(self) -> Float[Tensor, "d_model d_head"]:
        """The stream to values."""
        return self.value.of(self.parameters)

    @property
    def W_O(self) -> Float[Tensor, "d_head d_model"]:
        """Values to the stream; row i takes what column i of `W_V` makes."""
        return self.output.of(self.parameters).mT

    @property
    def b_Q(self) -> Float[Tensor, " d_head"] | None:
        """Bias of queries, if there is one."""
        return self.query.bias.of(self.parameters) if self.query.bias else None

    @property
    def b_K(self) -> Float[Tensor, " d_head"] | None:
        """Bias of keys, if there is one."""
        return self.key.bias.of(self.parameters) if self.key.bias else None

    @property
    def b_V(self) -> Float[Tensor, " d_head"] | None:
        """Bias of values, if there is one."""
        return self.value.bias.of(self.parameters) if self.value.bias else None


def heads(model: nn.Module, inputs: tuple[Any, ...] | None = None) -> list[Head]:
    """Every attention head of `model` whose queries, keys, values and outputs are columns of one matrix each.

    Found as `components` finds parts, by gradients of copies of the attention with random weights, never from names:
    queries answer to their own position alone, a value reaches one coordinate of the head's output, keys are the rest;
    columns are ordered by the coordinates that meet. The result does not depend on the weights.

    Args:
        model: any module; see `components`. It is probed once: later calls know its structure while its modules and
            the shapes of their weights stay the same.
        inputs: as for `components`.

    Returns:
        Heads by layer and number. Empty for networks without attention and for layers whose heads do not separate:
        recurrent mixers, mixed heads, queries, keys or values made from a latent vector, and queries and keys that a
        function without parameters normalises, whose columns do not meet in pairs.

    Not to be trusted where heads do not lie side by side in the input of the output projection.
    """
    first = _first_names(model)
    parameters = parameters_of(model)
    found = []
    for number, layer in enumerate(known_structure(model, inputs).layers):
        for index, roles in enumerate(layer.roles or ()):
            slices = (roles.query, roles.key, roles.value, roles.output)
            query, key, value, output = (_placed(each, layer.attention, first) for each in slices)
            pattern = _below(layer.attention, roles.pattern)
            behaviour = roles.rotary, roles.normalized, layer.attention
            found.append(Head(number, index, query, key, value, output, pattern, *behaviour, parameters))
    return found


def sites(model: nn.Module) -> dict[str, Site]:
    """Component -> its activation: a head's outputs before the output projection, and what other parts return."""
    known = known_structure(model)
    modules = {"embed": known.embed, "unembed": known.unembed}
    for number, layer in enumerate(known.layers):
        modules |= {f"L{number}": layer.path, f"L{number}.attn": layer.attention, f"L{number}.mlp": _mlp(layer)}
        modules |= {f"L{number}.norm{index}": path for index, path in enumerate(layer.norms, start=1)}
    found = {name: Site(path) for name, path in modules.items() if path is not None}
    return found | {head.name: head.site for head in heads(model) if head.site is not None}


def site_of(model: nn.Module, name: str) -> Site | None:
    """The activation of a component; `None` for names of no component.

    Raises:
        InvalidArgument: for a head whose outputs no module shows, and for keys and values of a group.
    """
    found = sites(model).get(name)
    layer = name.partition("H")[0]
    if found is None and name in {head.name for head in heads(model)}:
        raise InvalidArgument(
            "interventions",
            expected="heads whose outputs are the input or output of a module",
            found=f"{name!r}, whose attention calls a function in place of its output projection",
            instead=f"{layer + '.attn'!r}, what all its heads write, or an attention that calls its projection",
        )
    if shown := _shown_of_group(model, name):
        raise InvalidArgument(
            "interventions",
            expected="components that have one activation",
            found=f"{name!r}, the keys and values that several heads share",
            instead=f"one of {', '.join(shown)}",
        )
    return found


def _shown_of_group(model: nn.Module, name: str) -> list[str]:
    """What to write for activations of a group: its keys and values, and heads that share them."""
    groups = {
        f"L{number}G{index}": (number, members)
        for number, layer in enumerate(known_structure(model).layers)
        for index, members in enumerate(layer.heads.groups if layer.heads else ())
    }
    layer, members = groups.get(name, (0, ()))
    found = [(at, head) for at, head in enumerate(heads(model)) if head.layer == layer and head.index in members]
    shared = [
        f"heads(model)[{at}].{role}.site"
        for at, head in found[:1]
        for role, part in (("key", head.key), ("value", head.value))
        if part.site is not None
    ]
    return shared + [repr(head.name) for _, head in found[:3] if head.site is not None]


def _mlp(layer: Layer) -> str | None:
    """The module in the layer that holds its whole MLP, if there is one."""
    parents = [name.split(".")[:-1] for name in layer.mlp]
    shared = [pieces[0] for pieces in zip(*parents, strict=False) if len(set(pieces)) == 1]
    path = ".".join(shared)
    return path if path.startswith(f"{layer.path}.") else None


_KNOWN: WeakKeyDictionary[nn.Module, tuple[Any, Structure]] = WeakKeyDictionary()


def known_structure(model: nn.Module, inputs: tuple[Any, ...] | None = None) -> Structure:
    """The structure of a model, probed anew only if its modules or the shapes of its weights are others than before."""
    if inputs is not None:
        return structure(model, inputs, roles=True)
    modules = tuple((path, id(module), type(module)) for path, module in model.named_modules())
    kind = modules, tuple((name, tuple(each.shape)) for name, each in parameters_of(model).items())
    if model not in _KNOWN or _KNOWN[model][0] != kind:
        _KNOWN[model] = kind, structure(model, roles=True)
    return _KNOWN[model][1]


def _first_names(model: nn.Module) -> dict[str, str]:
    """Any path of a parameter -> its first, under which tied ones go."""
    first = {id(tensor): name for name, tensor in parameters_of(model).items()}
    return {path: first[id(each)] for path, each in nn.Module.named_parameters(model, remove_duplicate=False)}


def _placed(part: TensorSlice, module: str, first: Mapping[str, str]) -> TensorSlice:
    """A slice in names relative to a module, in those of the model."""
    bias = _placed(part.bias, module, first) if part.bias else None
    return TensorSlice(first[f"{module}.{part.parameter}"], part.axis, part.index, bias, _below(module, part.site))


def _below(module: str, site: Site | None) -> Site | None:
    return None if site is None else dataclasses.replace(site, module=f"{module}.{site.module}")
