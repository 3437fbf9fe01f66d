"""Which weights of a module reach which of its outputs: a copy with random weights, run alone, and its gradients.

A weight that does not reach an output has a gradient of zero, up to rounding. What is rounding is decided by size,
relative to the module's other gradients, and not by exact zeros: what is left of a sum that cancels differs between
processors. Random weights make the answer independent of training and of zero initialisation. Norms are passed over,
since one over the full width would let every weight reach every output.
"""

import copy
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from ontogeny.models.outputs import first_tensor
from ontogeny.models.structure_calls import Call

Gradients = dict[str, Tensor]
Reached = dict[str, Tensor]
Key = TypeVar("Key", bound=Hashable)

# Streams and random read-outs are drawn this often. In one draw a few gradients in 10^5 are as small as rounding by
# chance; in two draws, a few in 10^10.
DRAWS = 2
# Gradients below this share of their tensor's largest are rounding. Sums that cancel leave 1e-7 in 32 bits. They leave
# 1e-8 in 64 bits, because many modules take their softmax in 32 bits all the same.
_SHARE = {torch.float64: 1e-5, torch.float32: 1e-4}
# A tensor's largest gradient is taken to be at least this share of the module's largest: all gradients of a bias of
# keys are rounding.
_LEAST = 0.1


@dataclass(frozen=True)
class Projection:
    """A matrix between the stream and hidden coordinates: `axis` runs over the stream, the others over the hidden."""

    name: str
    axis: int
    hidden: tuple[int, ...]

    def keeping(self, kept: Bool[Tensor, " hidden"]) -> dict[str, Bool[Tensor, "..."]]:
        """`kept` by hidden coordinate, as a mask that broadcasts over the matrix, under its name."""
        return {self.name: kept.view(self.hidden).unsqueeze(self.axis)}

    def hidden_of(self, matrix: Tensor) -> Tensor:
        """A tensor of the matrix's shape as (stream, hidden)."""
        return matrix.movedim(self.axis, 0).flatten(1)

    @property
    def width(self) -> int:
        """Number of hidden coordinates."""
        return int(torch.tensor(self.hidden).prod())


@dataclass(frozen=True)
class Reading:
    """One number read off a module's output at the last position.

    Attributes:
        output: weight of each output in that number; default random.
        first: positions at which the first feature of the stream has a given value, and the value; default none.
        alone: whether the stream is zero before the last position.
        kept: masks by parameter; where they are false the weights are zero.
    """

    output: Float[Tensor, " width"] | None = None
    first: tuple[slice, float] | None = None
    alone: bool = False
    kept: Mapping[str, Bool[Tensor, "..."]] = field(default_factory=dict)


class Probe:
    """A module as it was called, with random weights and random inputs.

    Args:
        module: copied; the copy is held on the CPU in 64 bits, or in 32 or in its own type where it runs in no more.
        call: arguments it was called with, of which the stream is replaced by noise wherever it appears.
        norms: whether the norms inside are applied; default passed over.

    Attributes:
        module: the copy.
        parameters: the random weights, by name.
        width: number of outputs.
        input_width: number of features of the stream.
        mixes_positions: whether the output at the last position depends on the input two positions before it, or
            earlier; in a stream of two positions, on the input at the first.
    """

    def __init__(self, module: nn.Module, call: Call, norms: bool = False) -> None:
        stream = call.main()
        assert stream is not None
        self._call, self._shape, self.input_width = call, stream.shape, stream.shape[-1]
        self._norms = norms
        kinds = [each.dtype for each in module.parameters() if each.is_floating_point()]
        *wider, own = dict.fromkeys((torch.float64, torch.float32, *kinds[:1]))
        for dtype in wider:
            with suppress(Exception):  # whatever a module raises that asks for one type
                self._prepare(module, dtype)
                return
        self._prepare(module, own)

    def _prepare(self, module: nn.Module, dtype: torch.dtype) -> None:
        self._dtype, self._share = dtype, _SHARE.get(dtype, 4 * torch.finfo(dtype).eps)
        self._generator = torch.Generator().manual_seed(0)
        self.module = copy.deepcopy(module).to("cpu", dtype).eval()
        for name, each in self.module.named_modules():
            each._forward_hooks.clear()
            each._forward_pre_hooks.clear()
            if name and is_norm(each) and not self._norms:
                each.register_forward_hook(lambda module, args, output: args[0])
        self.parameters = {
            name: (self._noise(each.shape) / max(each.shape[-1:] or (1,)) ** 0.5).requires_grad_()
            for name, each in self.module.named_parameters()
        }
        self._streams = [self._noise(self._shape) for _ in range(DRAWS)]
        self.width = self._run(self._streams[0], {}).shape[-1]
        self._outputs = [self._noise((self.width,)) for _ in range(DRAWS)]
        self.mixes_positions = any(self._mixes_positions(draw) for draw in range(DRAWS))

    def _mixes_positions(self, draw: int) -> bool:
        stream = self._streams[draw].clone().requires_grad_()
        output = self._run(stream, {})[:, -1]
        if not output.requires_grad:
            return False
        (found,) = torch.autograd.grad((output * self._outputs[draw]).sum(), stream, allow_unused=True)
        if found is None:
            return False
        earlier = found[:, : max(1, found.shape[1] - 2)]
        return bool((~(earlier.abs() <= self._share * _largest(found))).any())

    def projection(self, names: set[str]) -> Projection | None:
        """The one matrix among `names` of which an output reads a single row or column; `None` if there is not one.

        A matrix that reads the stream itself is none: so are values whose heads are projected by an outer module.
        """
        if self.width < 2:
            return None
        units = torch.eye(self.width, dtype=self._dtype)[:2]
        readings = [self.reached(Reading(unit), names) for unit in units]
        without = self.reached(Reading(units[0], first=(slice(None), 0.0)), names)
        found: list[Projection] = []
        for name in names:
            shape, axes = self.parameters[name].shape, range(self.parameters[name].ndim)
            if any((along(readings[0][name], axis) & ~along(without[name], axis)).any() for axis in axes):
                continue  # a place of it falls silent with a feature of the stream
            for axis in axes if len(axes) > 1 else ():
                rows = [along(reading[name], axis).nonzero().flatten().tolist() for reading in readings]
                if shape[axis] == self.width and rows == [[0], [1]]:
                    found.append(Projection(name, axis, tuple(shape[:axis] + shape[axis + 1 :])))
        return found[0] if len(found) == 1 else None

    def gradients(self, reading: Reading) -> list[Gradients]:
        """Gradients of the number that is read, by parameter, for each draw; their rounding is in them."""
        return [self._gradients(draw, reading) for draw in range(DRAWS)]

    def reached(self, reading: Reading, names: set[str] | None = None) -> Reached:
        """Which weights reach the number that is read, by parameter; the draws must agree on what does not.

        Args:
            reading: what is read.
            names: the parameters asked for; default all.
        """
        found: Reached = {}
        for draw, limits in enumerate(self._limits):
            for name, each in self._gradients(draw, reading, names).items():
                more = ~(each.abs() <= limits[name])  # true of what is not a number
                found[name] = found[name] | more if name in found else more
        return found

    @torch.no_grad()
    def outputs(self, changed: Gradients) -> Tensor:
        """All outputs of the module in the first draw, with some of the weights changed."""
        return self._run(self._streams[0], changed)

    @cached_property
    def readers(self) -> list[Projection]:
        """The matrices that read the stream: without its first feature, one place along one of their axes is unused."""
        without = self.reached(Reading(first=(slice(None), 0.0)))
        found = []
        for name, reached in without.items():
            for axis, size in enumerate(reached.shape if reached.ndim > 1 else ()):
                if size == self.input_width > 1 and not reached.select(axis, 0).any() and reached.any():
                    found.append(Projection(name, axis, tuple(reached.shape[:axis] + reached.shape[axis + 1 :])))
        return found

    @cached_property
    def hosts(self) -> dict[str, Projection]:
        """Bias -> the matrix beside which it is added.

        Where the first feature of the stream is one at every position, its row of the matrix is one more bias, and has
        the same gradient. So a bias of keys is found too, of which all gradients are rounding.
        """
        draws = self.gradients(Reading(first=(slice(None), 1.0)))
        unused = {name for name, size in self._sizes[0].items() if size is None}
        found = {}
        for matrix in self.readers:
            for name in self.parameters.keys() - unused - {matrix.name}:
                pairs = [(each[name].flatten(), matrix.hidden_of(each[matrix.name])[0]) for each in draws]
                same = all(
                    bias.shape == row.shape and bool(((bias - row).abs() <= 10 * limits[name]).all())
                    for (bias, row), limits in zip(pairs, self._limits, strict=True)
                )
                if same:
                    found[name] = matrix
        return found

    @cached_property
    def _limits(self) -> list[dict[str, float]]:
        """For each draw and by parameter, the size up to which a gradient is rounding."""
        limits = []
        for sizes in self._sizes:
            least = _LEAST * max((size for size in sizes.values() if size is not None), default=0.0)
            limits.append({name: self._share * max(size or 0.0, least) for name, size in sizes.items()})
        return limits

    @cached_property
    def _sizes(self) -> list[dict[str, float | None]]:
        """For each draw and by parameter, the largest gradient of a random read-out; `None` of what is not used."""
        tensors = list(self.parameters.values())
        sizes: list[dict[str, float | None]] = []
        for draw in range(DRAWS):
            found = zip(self.parameters, self._derivatives(draw, Reading(), tensors), strict=True)
            sizes.append({name: None if each is None else _largest(each) for name, each in found})
        return sizes

    def _gradients(self, draw: int, reading: Reading, names: set[str] | None = None) -> Gradients:
        asked = {name: each for name, each in self.parameters.items() if names is None or name in names}
        found = zip(asked.items(), self._derivatives(draw, reading, list(asked.values())), strict=True)
        return {name: torch.zeros_like(tensor) if each is None else each for (name, tensor), each in found}

    def _derivatives(self, draw: int, reading: Reading, parameters: list[Tensor]) -> tuple[Tensor | None, ...]:
        weights = {name: self.parameters[name] * kept for name, kept in reading.kept.items()}
        stream = self._streams[draw].clone()
        if reading.first is not None:
            positions, value = reading.first
            stream[:, positions, 0] = value
        if reading.alone:
            stream[:, :-1] = 0
        output = self._outputs[draw] if reading.output is None else reading.output
        number = (self._run(stream, weights)[:, -1] * output).sum()
        return torch.autograd.grad(number, parameters, allow_unused=True)

    def _run(self, stream: Tensor, weights: dict[str, Tensor]) -> Tensor:
        args, kwargs = copy.deepcopy((self._call.args, self._call.kwargs))  # a cache among them is filled by a run
        args = tuple(self._input(each, stream) for each in args)
        kwargs = {name: self._input(each, stream) for name, each in kwargs.items()}
        output = first_tensor(functional_call(self.module, self.parameters | weights, args, kwargs))
        assert output is not None
        return output

    def _input(self, value: Any, stream: Tensor) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return stream if value.shape == self._shape else value.to("cpu", self._dtype)
        if isinstance(value, Tensor):
            return value.cpu()
        return tuple(self._input(each, stream) for each in value) if type(value) is tuple else value

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=self._dtype)


def along(reached: Bool[Tensor, "..."], axis: int) -> Bool[Tensor, " size"]:
    """Where any weight reaches, by place along one axis."""
    return reached.movedim(axis, 0).flatten(1).any(1) if reached.ndim > 1 else reached


def spelt(
    count: int, reached: Callable[[Bool[Tensor, " count"]], dict[Key, Bool[Tensor, " place"]]]
) -> dict[Key, tuple[Tensor, Tensor]]:
    """Which one of `count` coordinates each place belongs to.

    Each coordinate is a number in binary: for each digit, coordinates with a one there are kept and then those with a
    zero. What is reached spells the number; a place that is reached both ways, or neither, belongs to no one.

    Args:
        count: number of coordinates.
        reached: coordinates kept -> for each tensor, the places that are reached.

    Returns:
        For each tensor, the number of each place, and whether it has one.
    """
    numbers = torch.arange(count)
    found: dict[Key, tuple[Tensor, Tensor]] = {}
    for digit in range(max(1, (count - 1).bit_length())):
        kept = (numbers >> digit & 1).bool()
        ones, zeros = reached(kept), reached(~kept)
        for key, one in ones.items():
            spelt, clear = found.get(key, (torch.zeros(len(one), dtype=torch.long), torch.ones_like(one)))
            found[key] = spelt + (one.long() << digit), clear & (one ^ zeros[key])
    return found


def is_norm(module: nn.Module) -> bool:
    """Whether a module holds parameters, all of them vectors of its own: the gains and biases of a norm."""
    own = list(module.parameters(recurse=False))
    return bool(own) and all(each.ndim <= 1 for each in own) and len(own) == len(list(module.parameters()))


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max()) if tensor.numel() else 0.0
