"""Functions at sites of a network while a context lasts: the hooks behind every intervention."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.models.outputs import first_tensor, with_first_tensor
from ontogeny.models.places import Site

Intervention = Callable[[Tensor], Tensor | None]


@contextmanager
def replacing(
    model: nn.Module, functions: Iterable[tuple[Site, Intervention]], optional: bool = False
) -> Generator[nn.Module]:
    """Within the context, the activation at each site passes through its function, in the order given.

    A call of a module that takes or returns no tensor is an error, unless sites are `optional`.

    Raises:
        InvalidArgument: on a forward pass; see `interventions.intervene`.
    """
    modules = dict(model.named_modules())
    handles = []
    try:
        for site, function in functions:
            register = _on_input if site.side == "input" else _on_output
            handles.append(register(modules[site.module], site, function, optional))
        yield model
    finally:
        for handle in handles:
            handle.remove()


def _on_output(module: nn.Module, site: Site, function: Intervention, optional: bool) -> Any:
    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        return _replaced(output, site, function, optional)

    return module.register_forward_hook(hook)


def _on_input(module: nn.Module, site: Site, function: Intervention, optional: bool) -> Any:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
        return _replaced((args, kwargs), site, function, optional)

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _replaced(held: Any, site: Site, function: Intervention, optional: bool) -> Any:
    """What holds the activation with the activation replaced, or None if the function leaves it."""
    activation = first_tensor(held)
    if activation is None and optional:
        return None
    if activation is None:
        does = "is called with" if site.side == "input" else "returns"
        kinds = type(held).__name__ if site.side == "output" else "no tensor"
        raise InvalidArgument(
            "interventions",
            expected="modules that take or return a tensor, alone or in a tuple, list, mapping or dataclass",
            found=f"{site.module!r}, which {does} {kinds}",
            instead="the name of a module in it or around it that does",
        )
    changed = function(site.read(activation))
    if changed is None:
        return None
    if not isinstance(changed, Tensor):
        raise InvalidArgument(
            "interventions",
            expected="functions that return a tensor, or None to leave the activation",
            found=f"{type(changed).__name__} at {site.module!r}",
            instead="torch.zeros_like, for one",
        )
    return with_first_tensor(held, site.written(activation, changed))
