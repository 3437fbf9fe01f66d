"""The one intervention mechanism: a function at a named site of any module, taken away again whatever happens."""

import difflib
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument

Intervention = Callable[[Tensor], Tensor | None]


@contextmanager
def intervene(model: nn.Module, interventions: Mapping[str, Intervention]) -> Generator[nn.Module]:
    """Within the context, the output of each named submodule passes through its function.

    Args:
        model: any module; sites are the names of its submodules, such as `blocks.0.attn.hook_pattern`.
        interventions: site -> function of the activation; what it returns replaces the activation, `None` leaves it
            (capturing is a function that keeps its argument).

    Raises:
        InvalidArgument: for a site that does not exist; lists the nearest that do.
    """
    sites = dict(model.named_modules())
    for name in interventions:
        if name not in sites:
            near = difflib.get_close_matches(name, list(sites), n=5, cutoff=0.3)
            raise InvalidArgument(
                "interventions", expected="names of submodules", found=repr(name), instead=f"one of {near}"
            )
    handles = []
    try:
        for name, function in interventions.items():
            handles.append(sites[name].register_forward_hook(_as_hook(function)))
        yield model
    finally:
        for handle in handles:
            handle.remove()


def run_with_cache(model: nn.Module, *inputs: Any, names: str | Iterable[str]) -> tuple[Any, dict[str, Tensor]]:
    """One forward pass without gradients, and the activations at the named sites, detached.

    `names` is required: caching every site is how memory is lost.

    Returns:
        The model's output, and site -> activation in the order of the forward pass.
    """
    cache: dict[str, Tensor] = {}
    wanted = [names] if isinstance(names, str) else list(names)

    def keep(name: str) -> Intervention:
        def capture(activation: Tensor) -> None:
            cache[name] = activation.detach()

        return capture

    with torch.no_grad(), intervene(model, {name: keep(name) for name in wanted}):
        output = model(*inputs)
    return output, cache


def _as_hook(function: Intervention) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        return function(output)

    return hook
