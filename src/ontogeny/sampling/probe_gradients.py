"""Whether a loss responds to the sampled weights, and whether its backward pass gives its gradient."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.restriction import parameters_of, picked
from ontogeny.core.seeds import generator
from ontogeny.sampling.probe_passes import Asked, alike, differ, listed, norm

_DISTANCES = (1e-2, 1e-3)  # of the length of w*, at which the gradient is held against differences
_SMOOTH, _RIGHT = 0.02, 0.05  # distances of their ratios from each other, and from 1
_MOVES = 4  # perturbations tried before a loss counts as unresponsive
_MOVED = 1.0  # size of the perturbation, relative to the root mean square of a parameter's weights


def check_answers(asked: Asked) -> None:
    """Check that every sampled weight has a gradient, and that the loss reaches the copy's weights alone."""
    gradients = asked.gradients(asked.first)
    silent = [name for name, each in zip(asked.run.indices, gradients, strict=True) if each is None]
    foreign = _reached(asked.first, asked.original) & set(silent) if silent else set()
    if foreign:
        raise InvalidArgument(
            "model",
            expected="a forward pass and a loss that use the module they are given",
            found=f"{listed(sorted(foreign))} of your own module used where a copy of it runs: by a closure, "
            "a replaced `forward`, or a loss_fn that calls an outer variable",
            instead="a loss_fn(model, batch) that calls its first argument, "
            "and a forward pass that reaches layers through `self`, not through outer variables",
        )
    if not silent and any(each is not None and each.any() for each in gradients):
        _check_gradient(asked, [each for each in gradients if each is not None])
        return
    quiet = silent or list(asked.run.indices)  # all are 0 at a perfect fit or a piecewise constant loss
    moved, changed = asked.first, False
    for number in range(_MOVES):  # a piecewise constant loss may not change
        moved = _moved(asked, quiet, number)
        changed = differ(asked.losses, moved.detach(), asked.rounding)
        if changed:
            break
    there = dict(zip(asked.run.indices, asked.gradients(moved), strict=True))
    arrives = any(each is not None and each.any() for each in map(there.get, quiet))
    if len(silent) == len(gradients) or (changed and not arrives):
        raise InvalidArgument(
            "loss_fn",
            expected="a gradient for every sampled weight",
            found=f"none for {listed(quiet)}" + (", although the loss depends on them" if changed else ""),
            instead="a loss without no_grad, detach or steps such as argmax between these weights and its value, "
            "computed by the model that loss_fn is given; or requires_grad_(False) for weights to keep fixed",
        )


def _check_gradient(asked: Asked, gradients: Sequence[Tensor]) -> None:
    """Whether losses change along the gradient as it says, where they change by more than rounding and smoothly.

    Differences at two distances are compared with each other too: at kinks and steps they disagree, which is no
    mistake. A distance at which the change would be rounding is left out.
    """
    free = [picked(each, index) for each, index in zip(gradients, asked.run.indices.values(), strict=True)]
    slope, size = norm(free), norm(asked.weights)
    found = []
    for share in _DISTANCES:
        distance = share * (size + 1e-3)
        if slope * distance < 10 * asked.rounding:
            continue
        ends = [_along(asked, free, sign * distance / slope) for sign in (1.0, -1.0)]
        found.append(float(ends[0] - ends[1]) / (2 * distance * slope))
    found = [each for each in found if math.isfinite(each)]
    if len(found) < 2 or max(found) - min(found) > _SMOOTH or abs(found[-1] - 1) < _RIGHT:
        return
    raise InvalidArgument(
        "loss_fn",
        expected="the gradient of the loss from its backward pass",
        found=f"another: along it the loss changes by {found[-1]:.3g} times what it says, as where part of the "
        "loss is detached, or where a backward pass of your own is another function's",
        instead="a loss without detach, straight-through or reversed gradients between the weights and its value",
    )


def _along(asked: Asked, direction: Sequence[Tensor], factor: float) -> Tensor:
    """The mean loss with the weights moved."""
    moves = zip(asked.weights, direction, strict=True)
    there = [weight + factor * move.view(weight.shape).to(weight) for weight, move in moves]
    return asked.pass_at(there).detach().double().mean()


def _moved(asked: Asked, names: Sequence[str], number: int) -> Tensor:
    """Losses with the weights of these parameters perturbed; each number perturbs them differently."""
    source, there = generator(0, "probe", number), []
    for name, weight in zip(asked.run.indices, asked.weights, strict=True):
        step = torch.randn(weight.shape, generator=source).to(weight)
        size = _MOVED * float(weight.square().mean().sqrt()) + 1e-3
        there.append(weight + step * size if name in names else weight)
    return asked.pass_at(there)


def drop_idle_hooks(asked: Asked) -> None:
    """Drop the copy's forward hooks that change nothing: they would accumulate the results of every pass."""
    hooked = [module for module in asked.run.model.modules() if module._forward_hooks]
    if not hooked:
        return
    kept = [module._forward_hooks.copy() for module in hooked]
    before = asked.gradients(asked.pass_at(asked.weights))
    for module in hooked:
        module._forward_hooks.clear()
    try:
        losses = asked.pass_at(asked.weights)
        after = asked.gradients(losses)
        same = not differ(asked.losses, losses.detach(), asked.rounding)
        same = same and all(map(alike, before, after))
    except Exception:  # the pass needs what a hook provides
        same = False
    if not same:
        for module, hooks in zip(hooked, kept, strict=True):
            module._forward_hooks.update(hooks)


def _reached(losses: Tensor, original: nn.Module) -> set[str]:
    """Parameters of the caller's own module that the losses were computed from."""
    own = {id(parameter): name for name, parameter in parameters_of(original).items()}
    return {own[id(leaf)] for leaf in _leaves(losses) if id(leaf) in own}


def _leaves(tensor: Tensor) -> Iterator[Tensor]:
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            yield leaf
        waiting.extend(following for following, _ in node.next_functions)
