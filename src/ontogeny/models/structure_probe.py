"""Which weights of a module reach which of its outputs: a copy with random weights, run alone, and its gradients.

A weight that does not reach an output has a gradient of exactly zero, so that supports of gradients are structure and
not size. Random weights make this independent of training and of zero initialisation; norms are passed over, since one
over the full width would let every weight reach every output.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from ontogeny.models.structure_calls import Call, first_tensor

Gradients = dict[str, Tensor]


@dataclass(frozen=True)
class Projection:
    """The matrix that a module's output is linear in: `axis` runs over outputs, the others over hidden coordinates."""

    name: str
    axis: int
    hidden: tuple[int, ...]

    def mask(self, kept: Bool[Tensor, " hidden"]) -> Bool[Tensor, "..."]:
        """`kept` by hidden coordinate, as a tensor that broadcasts over the matrix."""
        return kept.view(self.hidden).unsqueeze(self.axis)

    @property
    def width(self) -> int:
        """Number of hidden coordinates."""
        return int(torch.tensor(self.hidden).prod())


class Probe:
    """A module as it was called, with random weights and random inputs.

    Args:
        module: copied; the copy is held in 32 bits on the CPU.
        call: arguments it was called with, of which the stream is replaced by noise wherever it appears.
    """

    def __init__(self, module: nn.Module, call: Call) -> None:
        stream = call.main()
        assert stream is not None
        self._module = copy.deepcopy(module).to("cpu", torch.float32).eval()
        self._generator = torch.Generator().manual_seed(0)
        for name, each in self._module.named_modules():
            each._forward_hooks.clear()
            each._forward_pre_hooks.clear()
            if name and is_norm(each):
                each.register_forward_hook(lambda module, args, output: args[0])
        self.parameters = {
            name: (self._noise(each.shape) / max(each.shape[-1:] or (1,)) ** 0.5).requires_grad_()
            for name, each in self._module.named_parameters()
        }
        self._call, self._shape = call, stream.shape
        self.stream = self._noise(self._shape)
        self.width = self._run(self.stream, {}).shape[-1]

    def mixes_positions(self) -> bool:
        """Whether the output at the last position depends on the input at the first."""
        stream = self.stream.clone().requires_grad_()
        output = self._run(stream, {})[:, -1]
        if not output.requires_grad:
            return False
        (found,) = torch.autograd.grad((output * self._noise((self.width,))).sum(), stream, allow_unused=True)
        return found is not None and bool(found[:, 0].any())

    def gradients(
        self,
        output: Float[Tensor, " width"] | None = None,
        stream: Float[Tensor, "batch position input"] | None = None,
        cut: tuple[Projection, Bool[Tensor, " hidden"]] | None = None,
    ) -> Gradients:
        """Gradient of one number read off the last position, by parameter.

        Args:
            output: weight of each output in that number; default random.
            stream: the input; default random.
            cut: hidden coordinates kept by a projection; the others are taken out of it.
        """
        weights: dict[str, Tensor] = {}
        if cut is not None:
            projection, kept = cut
            weights[projection.name] = self.parameters[projection.name] * projection.mask(kept)
        found = self._run(self.stream if stream is None else stream, weights)[:, -1]
        number = (found * (self._noise((self.width,)) if output is None else output)).sum()
        each = torch.autograd.grad(number, list(self.parameters.values()), allow_unused=True)
        return {
            name: torch.zeros_like(tensor) if gradient is None else gradient
            for (name, tensor), gradient in zip(self.parameters.items(), each, strict=True)
        }

    def projection(self, names: set[str]) -> Projection | None:
        """The one matrix among `names` of which an output reads a single row or column; `None` if there is not one.

        A matrix that reads the stream itself is none: so are values whose heads are projected by an outer module.
        """
        if self.width < 2:
            return None
        readings = [self.gradients(unit) for unit in torch.eye(self.width)[:2]]
        silent = self.stream.clone()
        silent[..., 0] = 0
        without = self.gradients(torch.eye(self.width)[0], silent)
        found: list[Projection] = []
        for name in names:
            shape = self.parameters[name].shape
            if ((without[name] == 0) & (readings[0][name] != 0)).any():
                continue
            for axis, size in enumerate(shape if len(shape) > 1 else ()):
                rows = [along(reading[name], axis).nonzero().flatten().tolist() for reading in readings]
                if size == self.width and rows == [[0], [1]]:
                    found.append(Projection(name, axis, tuple(shape[:axis] + shape[axis + 1 :])))
        return found[0] if len(found) == 1 else None

    def _run(self, stream: Tensor, weights: dict[str, Tensor]) -> Tensor:
        args, kwargs = copy.deepcopy((self._call.args, self._call.kwargs))  # a cache among them is filled by a run
        args = tuple(self._input(each, stream) for each in args)
        kwargs = {name: self._input(each, stream) for name, each in kwargs.items()}
        output = first_tensor(functional_call(self._module, self.parameters | weights, args, kwargs))
        assert output is not None
        return output

    def _input(self, value: Any, stream: Tensor) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return stream if value.shape == self._shape else value.to("cpu", torch.float32)
        if isinstance(value, Tensor):
            return value.cpu()
        return tuple(self._input(each, stream) for each in value) if type(value) is tuple else value

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator)


def along(gradient: Tensor, axis: int) -> Bool[Tensor, " size"]:
    """Where `gradient` is not zero, by place along one axis."""
    return (gradient != 0).movedim(axis, 0).flatten(1).any(1) if gradient.ndim > 1 else gradient != 0


def is_norm(module: nn.Module) -> bool:
    """Whether a module holds parameters, all of them vectors of its own: the gains and biases of a norm."""
    own = list(module.parameters(recurse=False))
    return bool(own) and all(each.ndim <= 1 for each in own) and len(own) == len(list(module.parameters()))
