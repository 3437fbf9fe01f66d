"""Checks that a loss is what sampling assumes: a function of one sample and of the sampled weights.

The check runs once at w*, when a posterior is made, on a few samples. It takes four or five forward passes and two
backward passes.
"""

import inspect
import math
import random
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ontogeny.core.batches import leaves
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import per_token
from ontogeny.core.restriction import parameters_of, picked
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import generator
from ontogeny.sampling.passes import OneByOne, one_path

COUNT = 3  # samples that the check uses
# Relative rounding error of a loss: in a repeated pass, and in a batch of another size.
AGAIN, ELSEWHERE = 1e-5, 1e-4
_LEAST = 1e-6  # nats or squared units: an absolute floor, for losses that are nearly 0
_FELT = 0.01  # of nβ L: difference in a sample's loss too small to affect the coefficient
RARE = 50  # passes of a loss that draws random numbers, which must all be alike
_DISTANCES = (1e-2, 1e-3)  # of the length of w*, at which the gradient is held against differences
_SMOOTH, _RIGHT = 0.02, 0.05  # distances of their ratios from each other, and from 1
_MOVES = 4  # perturbations tried before a loss counts as unresponsive
_MOVED = 1.0  # size of the perturbation, relative to the root mean square of a parameter's weights


def probe(run: OneByOne, weights: Sequence[Tensor], samples: Samples, nbeta: float, original: nn.Module) -> None:
    """Run every check, leaving all random state unchanged.

    Args:
        run: the model's copy with its loss. Forward hooks that change nothing are dropped from it, since they would
            accumulate the results of every pass.
        weights: w* by parameter, one chain in front.
        samples: the posterior's samples.
        nbeta: weight of loss differences.
        original: the caller's module, to which the loss must not respond.

    Raises:
        InvalidArgument: for data that change between readings, or a loss that is random, depends on a sample's
            neighbours in the batch, or does not respond to the sampled weights. The message says what to write instead.
    """
    with _same_randomness(), torch.enable_grad():
        _Probe(run, weights, samples, nbeta, original).ask()


class _Probe:
    def __init__(
        self, run: OneByOne, weights: Sequence[Tensor], samples: Samples, nbeta: float, original: nn.Module
    ) -> None:
        self.run, self.weights, self.samples, self.nbeta, self.original = run, weights, samples, nbeta, original
        count = min(COUNT, samples.stored)
        self.chosen = torch.linspace(0, samples.stored - 1, count).round().long()
        self.device = weights[0].device if weights else torch.device("cpu")
        self.batch = samples.take(self.chosen, self.device)
        self.draws_numbers, self.first = self._first(count)
        self.losses = self.first.detach()
        self.rounding = AGAIN * _scale(self.losses) + _LEAST

    def ask(self) -> None:
        self._read_again()
        self._same_again()
        self._same_elsewhere()
        if self.run.live:
            self._answers()
            self._without_idle_hooks()

    def _losses(self, weights: Sequence[Tensor], batch: Any, size: int) -> Float[Tensor, "batch position"]:
        self.run.point_at(weights, 0)
        with one_path():
            return per_token(self.run.loss_fn, self.run.model, batch, size)

    def _first(self, count: int) -> tuple[bool, Tensor]:
        """Whether the first pass drew random numbers, and its losses; mistakes that every pass would meet are named."""
        before = _random_states()
        try:
            losses = self._losses(self.weights, self.batch, count)
        except TypeError as error:
            if not _takes_two(self.run.loss_fn):
                raise InvalidArgument(
                    "loss_fn",
                    expected="a function of model and batch",
                    found=f"one of other arguments ({error})",
                    instead="lambda model, batch: losses",
                ) from None
            raise
        except RuntimeError as error:
            parts = [part for _, part in leaves(self.batch) if part.is_floating_point()]
            own = self.run.live[0].dtype if self.run.live else torch.float32
            if not any(part.dtype is not own for part in parts) or "dtype" not in str(error):
                raise
            raise InvalidArgument(
                self.samples.name,
                expected=f"numbers in the precision of the model, {own}",
                found=f"{next(part.dtype for part in parts if part.dtype is not own)} ({str(error).splitlines()[0]})",
                instead="data.float(), or a model in the precision of the data: model.double()",
            ) from error
        return not _equal(before, _random_states()), losses

    def _read_again(self) -> None:
        if not _equal(self.samples.read(self.chosen), self.samples.read(self.chosen)):
            raise InvalidArgument(
                self.samples.name,
                expected="the same sample each time its index is read",
                found="a different sample on the second reading, from augmentation or other randomness in the dataset",
                instead="the dataset without random transforms, and a collate_fn without random masks; or batches that "
                "were collated once, joined into tensors",
            )

    def _same_again(self) -> None:
        again = self.losses
        for _ in range(RARE if self.draws_numbers else 1):  # a mask that is rarely drawn leaves most passes alike
            again = self._losses(self.weights, self.batch, len(self.chosen)).detach()
            if _differ(self.losses, again, self.rounding):
                break
        if _differ(self.losses, again, self.rounding):
            raise InvalidArgument(
                "loss_fn",
                expected="the same losses from the same weights and samples, with the model in eval mode",
                found=f"{_shown(self.losses)}, then {_shown(again)} when the same pass was repeated",
                instead="randomness that is off in eval mode, as in F.dropout(x, p, training=self.training), "
                "or drawn once and stored with the data",
            )

    def _same_elsewhere(self) -> None:
        """Check the losses of the last and first samples in a batch of their own."""
        pair = self.samples.take(self.chosen[[-1, 0]], self.device)
        try:
            alone = self._losses(self.weights, pair, 2).detach()
        except InvalidArgument:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            raise self._of_neighbours(f"{type(error).__name__} in a batch of two: {error}") from error
        if alone.shape[1] == 2 and self.losses.shape == (COUNT, COUNT):
            raise InvalidArgument(
                "loss_fn",
                expected="losses of shape (batch,) or (batch, position)",
                found=f"({COUNT}, {COUNT}) for {COUNT} samples and (2, 2) for 2: "
                "outputs of shape (batch, 1) and targets of shape (batch,), which broadcast against each other",
                instead="model(x).squeeze(1) - y, or targets of the shape of the outputs",
            )
        before, after = self.losses[[-1, 0]].mean(1), alone.mean(1)
        if _differ(before, after, ELSEWHERE * _scale(self.losses) + _LEAST + _FELT / max(self.nbeta, _FELT)):
            raise self._of_neighbours(f"{_shown(before)}, then {_shown(after)} for the same two in their own batch")

    def _of_neighbours(self, found: str) -> InvalidArgument:
        norms = ", ".join(
            f"{path or 'the model'} ({type(module).__name__})"
            for path, module in self.run.model.named_modules()
            if isinstance(module, _NormBase) and module.running_mean is None and "Batch" in type(module).__name__
        )
        if norms:
            return InvalidArgument(
                "model",
                expected="a sample's loss that does not depend on the samples beside it in a batch",
                found=f"{found}; {norms} has no running statistics and uses those of the batch",
                instead="track_running_stats=True, and one pass over the data in train mode; or a layer norm",
            )
        return InvalidArgument(
            "loss_fn",
            expected="a sample's loss that does not depend on the samples beside it in a batch",
            found=found,
            instead="a loss and a model that treat each sample separately",
        )

    def _answers(self) -> None:
        """Check that every sampled weight has a gradient, and that the loss reaches the copy's weights alone."""
        gradients = self._gradients(self.first)
        silent = [name for name, each in zip(self.run.indices, gradients, strict=True) if each is None]
        foreign = _reached(self.first, self.original) & set(silent) if silent else set()
        if foreign:
            raise InvalidArgument(
                "model",
                expected="a forward pass and a loss that use the module they are given",
                found=f"{_listed(sorted(foreign))} of your own module used where a copy of it runs: by a closure, "
                "a replaced `forward`, or a loss_fn that calls an outer variable",
                instead="a loss_fn(model, batch) that calls its first argument, "
                "and a forward pass that reaches layers through `self`, not through outer variables",
            )
        if not silent and any(each is not None and each.any() for each in gradients):
            self._is_the_gradient([each for each in gradients if each is not None])
            return
        quiet = silent or list(self.run.indices)  # all are 0 at a perfect fit or a piecewise constant loss
        moved, changed = self.first, False
        for number in range(_MOVES):  # a piecewise constant loss may not change
            moved = self._moved(quiet, number)
            changed = _differ(self.losses, moved.detach(), self.rounding)
            if changed:
                break
        there = dict(zip(self.run.indices, self._gradients(moved), strict=True))
        arrives = any(each is not None and each.any() for each in map(there.get, quiet))
        if len(silent) == len(gradients) or (changed and not arrives):
            raise InvalidArgument(
                "loss_fn",
                expected="a gradient for every sampled weight",
                found=f"none for {_listed(quiet)}" + (", although the loss depends on them" if changed else ""),
                instead="a loss without no_grad, detach or steps such as argmax between these weights and its value, "
                "computed by the model that loss_fn is given; or requires_grad_(False) for weights to keep fixed",
            )

    def _is_the_gradient(self, gradients: Sequence[Tensor]) -> None:
        """Whether losses change along the gradient as it says, where they change by more than rounding and smoothly.

        Differences at two distances are compared with each other too: at kinks and steps they disagree, which is no
        mistake. A distance at which the change would be rounding is left out.
        """
        free = [picked(each, index) for each, index in zip(gradients, self.run.indices.values(), strict=True)]
        slope, size = _norm(free), _norm(self.weights)
        found = []
        for share in _DISTANCES:
            distance = share * (size + 1e-3)
            if slope * distance < 10 * self.rounding:
                continue
            ends = [self._along(free, sign * distance / slope) for sign in (1.0, -1.0)]
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

    def _along(self, direction: Sequence[Tensor], factor: float) -> Tensor:
        """The mean loss with the weights moved."""
        moves = zip(self.weights, direction, strict=True)
        there = [weight + factor * move.view(weight.shape).to(weight) for weight, move in moves]
        return self._losses(there, self.batch, len(self.chosen)).detach().double().mean()

    def _gradients(self, losses: Tensor) -> Sequence[Tensor | None]:
        if not losses.requires_grad:
            return [None] * len(self.run.live)
        return torch.autograd.grad(losses.mean(), self.run.live, allow_unused=True, retain_graph=True)

    def _moved(self, names: Sequence[str], number: int) -> Tensor:
        """Losses with the weights of these parameters perturbed; each number perturbs them differently."""
        source, there = generator(0, "probe", number), []
        for name, weight in zip(self.run.indices, self.weights, strict=True):
            step = torch.randn(weight.shape, generator=source).to(weight)
            size = _MOVED * float(weight.square().mean().sqrt()) + 1e-3
            there.append(weight + step * size if name in names else weight)
        return self._losses(there, self.batch, len(self.chosen))

    def _without_idle_hooks(self) -> None:
        """Drop the copy's forward hooks that change nothing: they would accumulate the results of every pass."""
        hooked = [module for module in self.run.model.modules() if module._forward_hooks]
        if not hooked:
            return
        kept = [module._forward_hooks.copy() for module in hooked]
        before = self._gradients(self._losses(self.weights, self.batch, len(self.chosen)))
        for module in hooked:
            module._forward_hooks.clear()
        try:
            losses = self._losses(self.weights, self.batch, len(self.chosen))
            after = self._gradients(losses)
            same = not _differ(self.losses, losses.detach(), self.rounding)
            same = same and all(map(_alike, before, after))
        except Exception:  # the pass needs what a hook provides
            same = False
        if not same:
            for module, hooks in zip(hooked, kept, strict=True):
                module._forward_hooks.update(hooks)


def _random_states() -> list[Any]:
    """The states of the global generators of Python, NumPy and torch."""
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002  what callers of the old interface use
    return [python, [each.tolist() if isinstance(each, np.ndarray) else each for each in array], torch.get_rng_state()]


def _takes_two(loss_fn: Any) -> bool:
    """Whether a function can be called with model and batch, as far as it says."""
    try:
        inspect.signature(loss_fn).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # it does not say
        return True
    return True


@contextmanager
def _same_randomness() -> Generator[None]:
    """Restore the global generators of Python, NumPy and PyTorch."""
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002  what callers of the old interface use
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)  # noqa: NPY002


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


def _differ(left: Tensor, right: Tensor, tolerance: float) -> bool:
    if left.shape != right.shape:
        return True
    known = left.isfinite() & right.isfinite()
    return bool(((left - right).abs()[known] > tolerance).any() or (left.isfinite() != right.isfinite()).any())


def _scale(losses: Tensor) -> float:
    finite = losses.detach().abs()[losses.isfinite()]
    return float(finite.max()) if finite.numel() else 0.0


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(each.double().square().sum()) for each in tensors))


def _alike(left: Tensor | None, right: Tensor | None) -> bool:
    if left is None or right is None:
        return left is right
    return not _differ(left, right, ELSEWHERE * _scale(left) + _LEAST)


def _equal(left: object, right: object) -> bool:
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return left.shape == right.shape and torch.equal(left.nan_to_num(), right.nan_to_num())
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def _shown(losses: Tensor) -> str:
    return ", ".join(f"{each:.4g}" for each in losses.flatten()[:3].tolist())


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
