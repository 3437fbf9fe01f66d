"""A copy of a module as it was called, with random weights, run alone on random inputs.

Random weights make what is found independent of training and of zero initialisation. Norms are passed over, since one
over the full width would let every weight reach every output.
"""

import copy
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ontogeny.models.outputs import first_tensor
from ontogeny.models.structure_calls import Call

# Streams and random read-outs are drawn this often. In one draw a few gradients in 10^5 are as small as rounding by
# chance; in two draws, a few in 10^10.
DRAWS = 2
# Gradients below this share of their tensor's largest are rounding. Sums that cancel leave 1e-7 in 32 bits. They leave
# 1e-8 in 64 bits, because many modules take their softmax in 32 bits all the same.
_SHARE = {torch.float64: 1e-5, torch.float32: 1e-4}


class Unprobed(Exception):
    """A module that does not run, or has no gradients, on random weights and inputs."""


class RandomCopy:
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
        share: of a tensor's largest gradient, up to which others are rounding.
        streams: a random input for each draw.
        readouts: random weights of the outputs for each draw.
        mixes_positions: whether the output at the last position depends on the input two positions before it, or
            earlier; in a stream of two positions, on the input at the first.

    Raises:
        Unprobed: for a module that does not return a tensor (batch, position, width), or does not run on its own.
    """

    def __init__(self, module: nn.Module, call: Call, norms: bool = False) -> None:
        stream = call.main()
        assert stream is not None
        self._call, self._shape, self._norms = call, stream.shape, norms
        self.input_width = stream.shape[-1]
        kinds = [each.dtype for each in module.parameters() if each.is_floating_point()]
        for dtype in dict.fromkeys((torch.float64, torch.float32, *kinds[:1])):
            # what a module writes to a state among its arguments may be needed for gradients: copying it takes long
            for self._guard in (nullcontext, torch.autograd.graph.allow_mutation_on_saved_tensors):
                with suppress(Exception):  # whatever a module raises that asks for one type
                    self._prepare(module, dtype)
                    return
        raise Unprobed

    def run(self, stream: Tensor, changed: Mapping[str, Tensor]) -> Tensor:
        """The module's output, with some of the weights changed."""
        args, kwargs = copy.deepcopy((self._call.args, self._call.kwargs))  # a cache among them is filled by a run
        args = tuple(self._input(each, stream) for each in args)
        kwargs = {name: self._input(each, stream) for name, each in kwargs.items()}
        output = first_tensor(functional_call(self.module, {**self.parameters, **changed}, args, kwargs))
        assert output is not None
        assert output.shape[:-1] == stream.shape[:-1]
        return output

    def derivatives(
        self, stream: Tensor, changed: Mapping[str, Tensor], readout: Tensor, of: list[Tensor]
    ) -> tuple[Tensor | None, ...]:
        """Gradients, by the tensors `of`, of the outputs at the last position, weighed by `readout`."""
        with self._guard():
            number = (self.run(stream, changed)[:, -1] * readout).sum()
            if not number.requires_grad:
                return (None,) * len(of)
            return torch.autograd.grad(number, of, allow_unused=True)

    def _prepare(self, module: nn.Module, dtype: torch.dtype) -> None:
        self._dtype, self.share = dtype, _SHARE.get(dtype, 4 * torch.finfo(dtype).eps)
        self._generator = torch.Generator().manual_seed(0)
        self.module = _without_weights(module, dtype).eval()
        for name, each in self.module.named_modules():
            if name and is_norm(each) and not self._norms:
                each.register_forward_hook(lambda module, args, output: args[0])
        self.parameters = {
            name: (self._noise(each.shape) / max(each.shape[-1:] or (1,)) ** 0.5).requires_grad_()
            for name, each in self.module.named_parameters()
        }
        self.streams = [self._noise(self._shape) for _ in range(DRAWS)]
        self.width = self.run(self.streams[0], {}).shape[-1]
        self.readouts = [self._noise((self.width,)) for _ in range(DRAWS)]
        self.mixes_positions = any(self._mixes_positions(draw) for draw in range(DRAWS))
        if not self.mixes_positions and self._reads_nothing_else():
            self.streams = [stream[:, -1:] for stream in self.streams]  # of which alone the output is read

    def _mixes_positions(self, draw: int) -> bool:
        stream = self.streams[draw].clone().requires_grad_()
        (found,) = self.derivatives(stream, {}, self.readouts[draw], [stream])
        if found is None:
            return False
        earlier = found[:, : max(1, found.shape[1] - 2)]
        return bool((~(earlier.abs() <= self.share * largest(found))).any())

    def _reads_nothing_else(self) -> bool:
        """Whether all that the module is given is the stream, so that it can be given fewer positions."""
        given = (*self._call.args, *self._call.kwargs.values())
        return all(self._is_stream(each) or each is None or isinstance(each, bool) for each in given)

    def _is_stream(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.is_floating_point() and value.shape == self._shape

    def _input(self, value: Any, stream: Tensor) -> Any:
        if self._is_stream(value):
            return stream
        if isinstance(value, Tensor):
            return value.to("cpu", self._dtype) if value.is_floating_point() else value.cpu()
        return tuple(self._input(each, stream) for each in value) if type(value) is tuple else value

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=self._dtype)


def _without_weights(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy without hooks and without memory for its parameters, whose places others take."""
    empty = {
        id(each): nn.Parameter(torch.empty(each.shape, dtype=dtype, device="meta"), requires_grad=False)
        for each in module.parameters()
    }
    copied = copy.deepcopy(module, {**empty})
    for each in copied.modules():
        each._forward_hooks.clear()
        each._forward_pre_hooks.clear()
        for name, buffer in each._buffers.items():
            if buffer is not None:
                each._buffers[name] = buffer.to("cpu", dtype if buffer.is_floating_point() else None)
    return copied


def is_norm(module: nn.Module) -> bool:
    """Whether a module holds parameters, all of them vectors of its own: the gains and biases of a norm."""
    own = list(module.parameters(recurse=False))
    return bool(own) and all(each.ndim <= 1 for each in own) and len(own) == len(list(module.parameters()))


def largest(tensor: Tensor) -> float:
    """Of its absolute values; 0 for none."""
    return float(tensor.abs().max()) if tensor.numel() else 0.0
