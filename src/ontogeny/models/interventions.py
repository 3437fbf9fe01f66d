"""The one intervention mechanism: a function at a site of any network, taken away again whatever happens."""

import difflib
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.models.anatomy import site_of, sites
from ontogeny.models.hooks import Intervention, replacing
from ontogeny.models.places import Site

Place = TypeVar("Place", str, Site, str | Site)


@contextmanager
def intervene(model: nn.Module, interventions: Mapping[Place, Intervention]) -> Generator[nn.Module]:
    """Within the context, the activation at each place passes through its function, whenever its module is called.

    A place is

    - the path of a submodule, such as `"blocks.0.attn.hook_pattern"`: what it returns;
    - the name of a component: `"L0H3"` is a head's output before the output projection, `(batch, position, d_head)`;
      `"L0"`, `"L0.attn"`, `"L0.mlp"`, `"L0.norm1"`, `"embed"`, `"unembed"` are what these modules return;
    - a `Site`: the input or output of a submodule, or some places of it.

    Of several things that a module takes or returns, as an LSTM or an attention does, the first tensor is the
    activation, in tuples, lists, mappings and dataclasses and in what these hold (`first_tensor`). The others are
    passed on as they are. Only the places that are named change; all other numbers stay the same, bit for bit.

    A function sees the whole batch. So a batch may hold several worlds, one after the other, and a function may copy
    activations from one to another: patching is one function, patching of a path two.

    Args:
        model: any module. Names of heads are found by probing it, once (see `heads`); it runs for that.
        interventions: place -> function of the activation; what it returns replaces the activation, `None` leaves it
            (capturing is a function that keeps its argument). They apply in the order given.

    Raises:
        InvalidArgument: for a place that does not exist (lists the nearest that do) or has no activation, as the keys
            of grouped queries; and on a forward pass for a module without a tensor, or a function that returns
            anything else than a tensor of the same shape or `None`.
    """
    with replacing(model, [(_site(model, place), function) for place, function in interventions.items()]):
        yield model


def run_with_cache(
    model: nn.Module, *inputs: Any, names: str | Site | Iterable[str | Site], **named: Any
) -> tuple[Any, dict[Any, Tensor]]:
    """One forward pass without gradients, and the activations at the named places (see `intervene`), detached.

    `names` is required: caching every activation is how memory is lost. What the model takes by name goes by name:
    `run_with_cache(model, **encoded, names="transformer.h.0.attn")`.

    Returns:
        The model's output, and place -> activation in the order of the forward pass.

    Raises:
        InvalidArgument: as for `intervene`, and for a module that the forward pass calls more than once.
    """
    cache: dict[str | Site, Tensor] = {}
    wanted = [names] if isinstance(names, str | Site) else list(names)

    def keep(name: str | Site) -> Intervention:
        def capture(activation: Tensor) -> None:
            if name in cache:
                raise InvalidArgument(
                    "names",
                    expected="modules that a forward pass calls once",
                    found=f"{name!r}, called again",
                    instead=f"with intervene(model, {{{name!r}: seen.append}}): model(...), where seen is a list",
                )
            cache[name] = activation.detach().clone()  # some networks add to it in place later

        return capture

    with torch.no_grad(), intervene(model, {name: keep(name) for name in wanted}):
        output = model(*inputs, **named)
    return output, cache


def _site(model: nn.Module, place: str | Site) -> Site:
    modules = dict(model.named_modules())
    path = place.module if isinstance(place, Site) else place
    if path in modules:
        return place if isinstance(place, Site) else Site(place)
    named = isinstance(place, str) and re.fullmatch(r"L\d+([HG.].*)?|(un)?embed", place) is not None
    if named and (site := site_of(model, place)) is not None:
        return site
    known = [*modules, *(sites(model) if named else ())]
    near = difflib.get_close_matches(path, known, n=5, cutoff=0.3)
    raise InvalidArgument(
        "interventions",
        expected="names of submodules, or of components that have an activation",
        found=repr(path),
        instead=f"one of {near or 'dict(model.named_modules())'}",
    )
