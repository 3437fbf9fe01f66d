"""What each module of a network is called with when the network runs once, and the network left as it was."""

import copy
from collections.abc import Container, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.models.outputs import first_tensor

# Two positions are the fewest that can mix; enough sequences that no rectified unit is off on all of them. The pattern
# is neither a mask of ones nor positions nor types of zeros, so that tokens are told from other integer inputs.
TOKENS = torch.tensor([1, 0, 1]).repeat(32, 1)


@dataclass(frozen=True)
class Call:
    """The arguments of one call of a module, as they were before it ran."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments, in order."""
        return [each for each in (*self.args, *self.kwargs.values()) if isinstance(each, Tensor)]

    def main(self) -> Tensor | None:
        """The stream that the module reads: its first floating argument (batch, position, width)."""
        return next((each for each in self.tensors() if each.is_floating_point() and each.ndim == 3), None)


@dataclass(frozen=True)
class Calls:
    """One forward pass of a network.

    Attributes:
        inputs: what the network was given.
        made: path -> the first call of the module there; modules without parameters are left out.
        widths: path -> size of the last axis of its output, in the order in which modules finished.
    """

    inputs: tuple[Any, ...]
    made: dict[str, Call] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)


def recorded(model: nn.Module, inputs: tuple[Any, ...], paths: Container[str] | None = None) -> Calls:
    """One pass without gradients in eval mode; modes come back. Modules at `paths` are noted, by default all."""
    calls = Calls(inputs)
    handles = []
    for path, module in model.named_modules():
        if next(module.parameters(), None) is not None and (paths is None or path in paths):
            handles.append(module.register_forward_pre_hook(partial(_note_call, calls, path), with_kwargs=True))
            handles.append(module.register_forward_hook(partial(_note_width, calls, path)))
    try:
        with torch.no_grad(), evaluating(model):
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return calls


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """The model in eval mode; each module's own mode comes back."""
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        yield
    finally:
        for module in training:
            module.training = True


def _note_call(calls: Calls, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if path not in calls.made:  # copied at once: a cache among the arguments is filled by the call
        calls.made[path] = Call(*copy.deepcopy((args, kwargs)))


def _note_width(calls: Calls, path: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    found = first_tensor(output)
    if found is not None and found.ndim:
        calls.widths.pop(path, None)
        calls.widths[path] = found.shape[-1]
