"""The weight restriction: which coordinates of the weights move.

Parameters are named by their path in the module (`blocks.0.attn.W_Q`), by a glob over such paths (`blocks.0.*`), or by
a component: a named part of the network, made of whole tensors or slices. In patterns `|` is union, ` - ` with spaces
is difference and a leading `~` is complement; ` - ` binds more tightly than `|`. Tied weights are one parameter, under
their first name.
"""

import difflib
import fnmatch
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument

Shapes = Mapping[str, tuple[int, ...]]
Masks = dict[str, Bool[Tensor, "..."]]


@dataclass(frozen=True)
class Slice:
    """Positions along one axis of a tensor: `index` along `axis`, and everything along the other axes."""

    axis: int
    index: tuple[int, ...]

    def mask(self, shape: tuple[int, ...]) -> Bool[Tensor, "..."]:
        """A bool tensor of `shape`, true on the slice."""
        along = torch.zeros(shape[self.axis], dtype=torch.bool)
        along[list(self.index)] = True
        rest = len(shape) - self.axis - 1
        return along.view(-1, *(1,) * rest).expand(shape)


@dataclass(frozen=True)
class Component:
    """A named part of a network.

    Attributes:
        name: as used in patterns.
        slices: parameter name -> the slice that belongs to the component; `None` for the whole tensor.
        num_parameters: number of weights.
        units: number of equal units, such as the neurons of an MLP. Each unit has consecutive entries in every slice's
            `index`, and `name[start:stop]` in a pattern selects some of them.
    """

    name: str
    slices: Mapping[str, Slice | None] = field(hash=False)
    num_parameters: int
    units: int = 1

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the parameters that the component covers, wholly or partly."""
        return tuple(self.slices)

    def masks(self, shapes: Shapes) -> Masks:
        """Parameter name -> bool tensor, true on the component."""
        return {
            name: _full(shapes[name]) if where is None else where.mask(shapes[name])
            for name, where in self.slices.items()
        }

    def take(self, start: int, stop: int) -> "Component":
        """The units from `start` to `stop`, exclusive, as a component."""
        parts: dict[str, Slice | None] = {}
        for name, where in self.slices.items():
            assert where is not None
            each = len(where.index) // self.units
            parts[name] = Slice(where.axis, where.index[start * each : stop * each])
        count = stop - start
        return Component(f"{self.name}[{start}:{stop}]", parts, self.num_parameters // self.units * count, count)


@dataclass(frozen=True)
class Restriction:
    """The free coordinates of a posterior. All others stay at the center, without gradients or noise.

    Attributes:
        name: the pattern it was made from.
        indices: parameter name -> ascending flat indices of its free coordinates; `None` if all are free. Parameters
            without a free coordinate are omitted. The order is that of the model.
        shapes: of every parameter of the model.
    """

    name: str
    indices: Mapping[str, Int[Tensor, " free"] | None] = field(compare=False)
    shapes: Shapes = field(hash=False)

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters with a free coordinate."""
        return tuple(self.indices)

    def masks(self) -> Masks:
        """Parameter name -> bool tensor, true where a coordinate is free."""
        masks = {name: torch.full(shape, False) for name, shape in self.shapes.items()}
        for name, index in self.indices.items():
            masks[name].view(-1)[slice(None) if index is None else index] = True
        return masks


def picked(tensor: Tensor, index: Int[Tensor, " free"] | None) -> Tensor:
    """The free coordinates of a parameter or its gradient: flat `(free,)`, or the tensor itself if all are free."""
    return tensor if index is None else tensor.flatten()[index]


def placed(center: Tensor, index: Int[Tensor, " free"] | None, values: Float[Tensor, "..."]) -> Tensor:
    """A parameter with `values` at its free coordinates and `center` elsewhere: the inverse of `picked`.

    It has no side effects: gradients with respect to `values` are those of the free coordinates, under autograd and
        `torch.func`. If all coordinates are free, `center` is not copied.
    """
    if index is None:
        return values
    return center.flatten().index_copy(0, index.to(center.device), values).view(center.shape)


def parameters_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter once, by its first path in the module tree, as `torch.func.functional_call` expects.

    A model's own `named_parameters` may use other names, for example in a wrapper.

    Raises:
        InvalidArgument: for anything that is not a module, a lazy module whose parameters have no shape yet, and one on
            the meta device.
    """
    if not isinstance(model, nn.Module):
        raise _no_module(model)
    found = dict(nn.Module.named_parameters(model))
    if lazy := [name for name, parameter in found.items() if torch.nn.parameter.is_lazy(parameter)]:
        raise InvalidArgument(
            "model",
            expected="parameters with a shape",
            found=f"lazy ones without a shape yet: {', '.join(lazy[:3])}" + (" …" if len(lazy) > 3 else ""),
            instead="one pass of a batch through the model first, which sets their shapes",
        )
    if empty := [name for name, parameter in found.items() if parameter.is_meta]:
        raise InvalidArgument(
            "model",
            expected="parameters that have values",
            found=f"ones on the meta device, which has none: {', '.join(empty[:3])}",
            instead="model.to_empty(device='cpu'), and model.load_state_dict(...) of the weights",
        )
    return found


def _no_module(model: object) -> InvalidArgument:
    instead = "the module itself, with its weights loaded"
    if callable(model):
        instead = f"{getattr(model, '__name__', 'model_fn')}(...), the module that it makes"
    return InvalidArgument("model", expected="a torch.nn.Module", found=type(model).__name__, instead=instead)


def modules_and_parameters(model: nn.Module) -> dict[str, Component]:
    """Every named part of `model`: each module with parameters, and each parameter.

    A module whose parameters are tied to earlier ones contains those, under their first names.
    """
    parameters = parameters_of(model)
    first_names = {id(tensor): name for name, tensor in parameters.items()}
    inside: dict[str, dict[str, None]] = {}
    for path, tensor in nn.Module.named_parameters(model, remove_duplicate=False):
        pieces = path.split(".")
        for depth in range(1, len(pieces)):
            inside.setdefault(".".join(pieces[:depth]), {})[first_names[id(tensor)]] = None
    sizes = {name: tensor.numel() for name, tensor in parameters.items()}
    parts = {module: tuple(names) for module, names in sorted(inside.items())} | {name: (name,) for name in sizes}
    return {
        name: Component(name, dict.fromkeys(names), sum(sizes[each] for each in names)) for name, names in parts.items()
    }


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, tied ones once."""
    return {name: tuple(tensor.shape) for name, tensor in parameters_of(model).items()}


def matching(pattern: str, parts: Mapping[str, Component], shapes: Shapes) -> Restriction:
    """The restriction described by `pattern`, from the names in `parts` and globs over the names in `shapes`.

    Raises:
        InvalidArgument: for an unknown component, or for units that it does not have.
    """
    united: Masks = {}
    for union in pattern.split("|"):
        first, *others = (_term(piece.strip(), parts, shapes) for piece in union.split(" - "))
        for other in others:
            first = _combined(first, other, shapes, lambda here, there: here & ~there)
        united = _combined(united, first, shapes, operator.or_)
    whole = {name: bool(mask.all()) for name, mask in united.items()}
    indices = {name: None if whole[name] else united[name].flatten().nonzero()[:, 0] for name in united}
    return Restriction(pattern, indices, dict(shapes))


def _term(term: str, parts: Mapping[str, Component], shapes: Shapes) -> Masks:
    if term.startswith("~"):
        everything = {name: _full(shape) for name, shape in shapes.items()}
        inner = _term(term[1:].strip(), parts, shapes)
        return _combined(everything, inner, shapes, lambda here, there: here & ~there)
    if term in parts:
        return parts[term].masks(shapes)
    name, bracket, span = term.removesuffix("]").partition("[")
    if bracket and term.endswith("]") and name in parts and parts[name].units > 1:
        return parts[name].take(*_span(span, parts[name])).masks(shapes)
    found = fnmatch.filter(shapes, term)
    if not found:
        raise InvalidArgument(
            "component",
            expected="the name of a component of this model, or a glob over its parameter names",
            found=f"{term!r}, which matches nothing",
            instead=_nearest(term, list(parts)),
        )
    return {name: _full(shapes[name]) for name in found}


def _span(text: str, part: Component) -> tuple[int, int]:
    start, colon, stop = text.partition(":")
    if colon and all(not end or end.isdecimal() for end in (start, stop)):
        ends = int(start or 0), int(stop or part.units)
        if ends[0] < ends[1] <= part.units:
            return ends
    raise InvalidArgument(
        "component",
        expected=f"a range within the {part.units} units of {part.name!r}",
        found=f"[{text}]",
        instead=f"{part.name}[0:{part.units}]",
    )


def _combined(left: Masks, right: Masks, shapes: Shapes, join: Callable[[Tensor, Tensor], Tensor]) -> Masks:
    """Combine masks tensor by tensor, in the order of the model. Tensors without a true entry are omitted."""
    nothing = torch.zeros((), dtype=torch.bool)
    named = [name for name in shapes if name in left or name in right]
    joined = {name: join(left.get(name, nothing), right.get(name, nothing)) for name in named}
    # A whole tensor takes one byte, not one per coordinate.
    return {name: _full(shapes[name]) if mask.all() else mask for name, mask in joined.items() if mask.any()}


def _full(shape: tuple[int, ...]) -> Bool[Tensor, "..."]:
    return torch.ones((), dtype=torch.bool).expand(shape)


def _nearest(term: str, names: list[str]) -> str:
    near = difflib.get_close_matches(term, names, n=5, cutoff=0.3) or names[:5]
    return "one of " + ", ".join(repr(name) for name in near) + " (og.components(model) lists them all)"
