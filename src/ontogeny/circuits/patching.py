"""Activations of one run put into another, one place at a time, and the gradient that estimates what that does."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.models import Intervention, Site, heads, intervene, run_with_cache
from ontogeny.models.anatomy import known_structure
from ontogeny.models.anatomy import sites as sites_of
from ontogeny.models.structure_calls import evaluating

Metric = Callable[[Any], Tensor]  # of the model's output, one number
Place = str | Site


@torch.no_grad()
def activation_patching(
    model: nn.Module,
    clean: Tensor,
    corrupted: Tensor,
    metric: Metric,
    places: Sequence[Place] | None = None,
    *,
    by_position: bool = False,
) -> xr.Dataset:
    """What the metric gains if the activation at one place of the corrupted run is that of the clean run.

    Args:
        model: any module; it runs in eval mode, once a place (and position).
        clean, corrupted: inputs of equal shape, such as tokens (sequence, position).
        metric: of the model's output, one number, as a difference of logits.
        places: as `intervene` takes them; default all heads and MLPs.
        by_position: patch the positions of each place, its axis 1, one at a time.

    Returns:
        `effect` (place[, position]), metric patched less metric corrupted; `share`, the effect over metric clean less
        metric corrupted: 1 restores the clean metric, 0 does nothing. Attributes: `clean` and `corrupted`, the metrics.
        Effects of several places do not add up, for places of one path each restore it all.

    Raises:
        InvalidArgument: for inputs of unequal shape, a metric of another shape, and as `intervene`.
    """
    names = _places(model, places)
    with evaluating(model):
        found, cache = _both(model, clean, corrupted, metric, names)
        rows = []
        for name in names:
            replaced = _patched(cache[name], by_position)
            rows.append([_number(metric, _run(model, corrupted, {name: each})) - found[1] for each in replaced])
    return _dataset(names, torch.stack([torch.stack(row) for row in rows]), found, by_position)


def attribution_patching(
    model: nn.Module,
    clean: Tensor,
    corrupted: Tensor,
    metric: Metric,
    places: Sequence[Place] | None = None,
    *,
    by_position: bool = False,
) -> xr.Dataset:
    """The first-order estimate of `activation_patching`, all places from one backward pass of the corrupted run.

    effect = Σ (a_clean - a_corrupted) · ∂metric/∂a at the corrupted run. Exact if the metric is affine in the
    activation; not to be trusted where the network bends between the two runs, as at saturated attention and through
    norms. Arguments and results are those of `activation_patching`; weights get no gradients.
    """
    names = _places(model, places)
    with evaluating(model):
        found, cache = _both(model, clean, corrupted, metric, names)
        nothing: dict[Place, Tensor] = {}
        old: dict[Place, Tensor] = {}

        def watch(name: Place, activation: Tensor) -> Tensor:
            old[name], nothing[name] = activation.detach().clone(), torch.zeros_like(activation, requires_grad=True)
            return activation + nothing[name]

        with torch.enable_grad():
            value = _number(metric, _run(model, corrupted, {name: partial(watch, name) for name in names}))
            gradients = torch.autograd.grad(value, [nothing[name] for name in names], materialize_grads=True)
    products = [(cache[name] - old[name]) * each for name, each in zip(names, gradients, strict=True)]
    effects = [each.flatten(2).sum((0, 2)) if by_position else each.sum()[None] for each in products]
    return _dataset(names, torch.stack(effects), found, by_position)


def _places(model: nn.Module, places: Sequence[Place] | None) -> list[Place]:
    if places is not None:
        return list(places)
    layers, shown = range(len(known_structure(model).layers)), sites_of(model)
    own: list[Place] = [head.name for head in heads(model) if head.site is not None]
    return own + [name for name in (f"L{layer}.mlp" for layer in layers) if name in shown]


@torch.no_grad()
def _both(
    model: nn.Module, clean: Tensor, corrupted: Tensor, metric: Metric, names: Sequence[Place]
) -> tuple[tuple[Tensor, Tensor], dict[Place, Tensor]]:
    """Both metrics, and the clean activations."""
    if clean.shape != corrupted.shape or not names:
        raise InvalidArgument(
            "corrupted" if names else "places",
            expected=f"inputs of the shape of clean, {tuple(clean.shape)}" if names else "one place or more",
            found=str(tuple(corrupted.shape)) if names else "none",
            instead="corrupted = clean.roll(1, dims=0), for one" if names else "places=[path], paths of modules",
        )
    output, cache = run_with_cache(model, clean, names=list(names))
    return (_number(metric, output), _number(metric, model(corrupted))), cache


def _patched(clean: Tensor, by_position: bool) -> list[Intervention]:
    def at(position: int, activation: Tensor) -> Tensor:
        changed = activation.clone()
        changed[:, position] = clean[:, position]
        return changed

    return [partial(at, position) for position in range(clean.shape[1])] if by_position else [lambda _: clean]


def _run(model: nn.Module, inputs: Tensor, interventions: dict[Place, Intervention]) -> Any:
    with intervene(model, interventions):
        return model(inputs)


def _number(metric: Metric, output: Any) -> Float[Tensor, ""]:
    value = metric(output)
    if not isinstance(value, Tensor) or value.ndim:
        raise InvalidArgument(
            "metric",
            expected="a function of the model's output that returns one number, as a tensor",
            found=f"one that returns shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__,
            instead="lambda output: output[:, -1, 0].mean(), for one",
        )
    return value


def _dataset(names: Sequence[Place], effects: Tensor, found: tuple[Tensor, Tensor], by_position: bool) -> xr.Dataset:
    clean, corrupted = (float(each.detach()) for each in found)
    values = effects.detach().double().cpu().numpy()
    dims, values = (("place", "position"), values) if by_position else (("place",), values[:, 0])
    effect = xr.DataArray(values, {"place": [str(name) for name in names]}, dims)
    share = effect / (clean - corrupted) if clean != corrupted else effect * float("nan")
    return xr.Dataset({"effect": effect, "share": share}, attrs={"clean": clean, "corrupted": corrupted})
