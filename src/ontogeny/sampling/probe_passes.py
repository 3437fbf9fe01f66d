"""The passes of a probe: a few samples' losses at w* and near it, and how losses are compared."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.samples import Samples
from ontogeny.sampling.passes import Run

COUNT = 3  # samples that the check uses
# Relative rounding error of a loss: in a repeated pass, and in a batch of another size.
AGAIN, ELSEWHERE = 1e-5, 1e-4
LEAST = 1e-6  # nats or squared units: an absolute floor, for losses that are nearly 0


class Asked:
    """A loss at w* on a few samples, and what every check asks of it.

    Attributes:
        run, weights, samples, nbeta, original: see `ontogeny.sampling.probe.probe`.
        chosen: numbers of the samples.
        batch: these samples.
        first: their losses, with the graph of the backward pass; losses: the same, detached.
        coarse: relative rounding error of weights and activations in 16 bits; 0 in 32.
        rounding: difference between losses that is no more than rounding.
    """

    def __init__(
        self, run: Run, weights: Sequence[Tensor], samples: Samples, nbeta: float, original: nn.Module
    ) -> None:
        self.run, self.weights, self.samples, self.nbeta, self.original = run, weights, samples, nbeta, original
        self.chosen = torch.linspace(0, samples.stored - 1, min(COUNT, samples.stored)).round().long()
        self.device = weights[0].device if weights else torch.device("cpu")
        dtypes = {each.dtype for each in run.model.parameters()} & {torch.float16, torch.bfloat16}
        self.coarse = max((torch.finfo(each).eps for each in dtypes), default=0.0)
        self.batch = samples.take(self.chosen, self.device)

    def keep(self, first: Float[Tensor, "batch position"]) -> None:
        """Remember the losses of the first pass, with which all others are compared."""
        self.first, self.losses = first, first.detach()
        self.rounding = max(AGAIN, self.coarse) * scale(self.losses) + LEAST

    def pass_at(self, weights: Sequence[Tensor], batch: Any = None, size: int = 0) -> Float[Tensor, "batch position"]:
        """The losses of a batch, default the chosen samples, at some weights."""
        return self.run.graph(weights, self.batch if batch is None else batch, size or len(self.chosen))

    def gradients(self, losses: Tensor) -> Sequence[Tensor | None]:
        """Of the mean loss, by parameter."""
        if not losses.requires_grad:
            return [None] * len(self.run.live)
        return torch.autograd.grad(losses.mean(), self.run.live, allow_unused=True, retain_graph=True)


def differ(left: Tensor, right: Tensor, tolerance: float) -> bool:
    """Whether two passes differ by more than the tolerance, or in which losses are finite."""
    if left.shape != right.shape:
        return True
    known = left.isfinite() & right.isfinite()
    return bool(((left - right).abs()[known] > tolerance).any() or (left.isfinite() != right.isfinite()).any())


def scale(losses: Tensor) -> float:
    """The largest finite magnitude."""
    finite = losses.detach().abs()[losses.isfinite()]
    return float(finite.max()) if finite.numel() else 0.0


def norm(tensors: Sequence[Tensor]) -> float:
    """The length of all tensors as one vector."""
    return math.sqrt(sum(float(each.double().square().sum()) for each in tensors))


def alike(left: Tensor | None, right: Tensor | None) -> bool:
    """Whether two gradients agree to rounding."""
    if left is None or right is None:
        return left is right
    return not differ(left, right, ELSEWHERE * scale(left) + LEAST)


def equal(left: object, right: object) -> bool:
    """Whether two batches, or nested values of any kind, are the same, NaN included."""
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return left.shape == right.shape and torch.equal(left.nan_to_num(), right.nan_to_num())
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def shown(losses: Tensor) -> str:
    """The first losses, for a message."""
    return ", ".join(f"{each:.4g}" for each in losses.flatten()[:3].tolist())


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
