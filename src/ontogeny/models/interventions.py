"""The one intervention mechanism: a function at a named site of any module, taken away again whatever happens."""

import difflib
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.models.outputs import first_tensor, with_first_tensor

Intervention = Callable[[Tensor], Tensor | None]


@contextmanager
def intervene(model: nn.Module, interventions: Mapping[str, Intervention]) -> Generator[nn.Module]:
    """Within the context, the output of each named submodule passes through its function, at each of its calls.

    Of a module that returns several things, as an LSTM or an attention does, the first tensor is the activation, in
    tuples, lists, mappings and dataclasses and in what these hold (`first_tensor`). The others are passed on as they
    are.

    Args:
        model: any module; sites are the names of its submodules, such as `blocks.0.attn.hook_pattern`.
        interventions: site -> function of the activation; what it returns replaces the activation, `None` leaves it
            (capturing is a function that keeps its argument).

    Raises:
        InvalidArgument: for a site that does not exist (lists the nearest that do), and on a forward pass for one that
            returns no tensor, or a function that returns anything else than a tensor or `None`.
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
            handles.append(sites[name].register_forward_hook(_as_hook(name, function)))
        yield model
    finally:
        for handle in handles:
            handle.remove()


def run_with_cache(
    model: nn.Module, *inputs: Any, names: str | Iterable[str], **named: Any
) -> tuple[Any, dict[str, Tensor]]:
    """One forward pass without gradients, and the activations at the named sites, detached.

    `names` is required: caching every site is how memory is lost. What the model takes by name goes by name:
    `run_with_cache(model, **encoded, names="transformer.h.0.attn")`.

    Returns:
        The model's output, and site -> activation in the order of the forward pass.

    Raises:
        InvalidArgument: as for `intervene`, and for a module that the forward pass calls more than once.
    """
    cache: dict[str, Tensor] = {}
    wanted = [names] if isinstance(names, str) else list(names)

    def keep(name: str) -> Intervention:
        def capture(activation: Tensor) -> None:
            if name in cache:
                raise InvalidArgument(
                    "names",
                    expected="modules that a forward pass calls once",
                    found=f"{name!r}, called again",
                    instead=f"with intervene(model, {{{name!r}: seen.append}}): model(...), where seen is a list",
                )
            cache[name] = activation.detach()

        return capture

    with torch.no_grad(), intervene(model, {name: keep(name) for name in wanted}):
        output = model(*inputs, **named)
    return output, cache


def _as_hook(name: str, function: Intervention) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        activation = first_tensor(output)
        if activation is None:
            raise InvalidArgument(
                "interventions",
                expected="modules that return a tensor, alone or in a tuple, list, mapping or dataclass",
                found=f"{name!r}, which returns {type(output).__name__}",
                instead="the name of a module in it or around it that does",
            )
        changed = function(activation)
        if changed is None:
            return None
        if not isinstance(changed, Tensor):
            raise InvalidArgument(
                "interventions",
                expected="functions that return a tensor, or None to leave the activation",
                found=f"{type(changed).__name__} at {name!r}",
                instead="torch.zeros_like, for one",
            )
        return with_first_tensor(output, changed)

    return hook
