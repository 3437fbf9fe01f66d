"""Layers whose inner activations are not stored for the backward pass, but computed again there."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from ontogeny.core.errors import InvalidArgument


class Recomputed:
    """Stands in for the forward pass of a layer.

    Attributes:
        active: whether activations are computed again; otherwise they are stored.
    """

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward, self.active = forward, True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.active:
            return self._forward(*args, **kwargs)
        # in eval mode nothing is random
        return checkpoint(self._forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


def recompute_layers(model: nn.Module) -> None:
    """Let every layer with weights compute its activations again in the backward pass.

    Layers are the modules in the outermost lists and sequences of modules.

    Raises:
        InvalidArgument: for a model without such lists.
    """
    layers = [layer for layer in _layers(model) if next(layer.parameters(), None) is not None]
    if not layers:
        raise InvalidArgument(
            "recompute",
            expected="a model with layers in an nn.ModuleList or nn.Sequential",
            found=f"none in {type(model).__name__}",
            instead="recompute=False, and a smaller pass_size",
        )
    for layer in layers:
        layer.forward = Recomputed(layer.forward)


def is_recomputed(module: nn.Module) -> bool:
    """Whether a module is such a layer."""
    return isinstance(module.__dict__.get("forward"), Recomputed)


@contextmanager
def stored(model: nn.Module) -> Generator[None]:
    """Within the context activations are stored, as if nothing were computed again."""
    forwards = [each.__dict__.get("forward") for each in model.modules()]
    found = [each for each in forwards if isinstance(each, Recomputed)]
    try:
        for each in found:
            each.active = False
        yield
    finally:
        for each in found:
            each.active = True


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from child if isinstance(child, (nn.ModuleList, nn.Sequential)) else _layers(child)
