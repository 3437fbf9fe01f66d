"""Restrictions of the data distribution: mixtures, positions, token classes, and losses relative to a reference model.

Each gives data or a loss function, so that a posterior, an observable and a measurement take it as they take any other.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import LossFn

TokenMask = Callable[[Int[Tensor, "batch position"]], Bool[Tensor, "batch predicted"]]


def mixture(first: Any, second: Any, share: float) -> tuple[Tensor, ...]:
    """Samples of q_h = (1 - h) q + h q' with their weights, for a loss under `weighted`.

    Args:
        first, second: samples of q and of q', each a tensor or a tuple of as many tensors.
        share: h, from 0 to 1; outside of it, as finite differences want it, weights are negative.

    Returns:
        All samples, and last their weights, whose mean is 1.

    Raises:
        InvalidArgument: for data that are not tensors of matching number.
    """
    one, other = _tensors("first", first), _tensors("second", second)
    if len(one) != len(other):
        raise InvalidArgument(
            "second", expected=f"{len(one)} tensors, as in `first`", found=str(len(other)), instead="(inputs, targets)"
        )
    sizes = len(one[0]), len(other[0])
    weights = [
        torch.full((size,), part * sum(sizes) / size) for size, part in zip(sizes, (1 - share, share), strict=True)
    ]
    return (*(torch.cat(pair) for pair in zip(one, other, strict=True)), torch.cat(weights))


def weighted(loss_fn: LossFn) -> LossFn:
    """A loss whose batches end with a weight a sample, by which its losses are multiplied."""

    def loss(model: Any, batch: Any) -> Tensor:
        *parts, weights = batch
        losses = loss_fn(model, parts[0] if len(parts) == 1 else tuple(parts))
        return losses * weights.to(losses).view(-1, *[1] * (losses.ndim - 1))

    return loss


def at_positions(loss_fn: LossFn, start: int, stop: int | None = None) -> LossFn:
    """A per-token loss on positions [start, stop) alone, counted from the first predicted token."""
    return lambda model, batch: loss_fn(model, batch)[:, start:stop]


def on_tokens(loss_fn: LossFn, mask: TokenMask, tokens: Int[Tensor, "sample position"]) -> LossFn:
    """A per-token loss on a class of tokens alone: E[ℓ | the token is of the class].

    Args:
        loss_fn: a loss `(batch, predicted)` of token sequences.
        mask: tokens `(batch, position)` -> which of the predicted tokens count, as `loss_fn` orders them: for
            `next_token`, position t + 1 at entry t.
        tokens: the data, from which the share of the class is counted.

    Raises:
        InvalidArgument: for a class that does not occur.
    """
    share = float(mask(tokens).float().mean())
    if not share:
        raise InvalidArgument(
            "mask", expected="a class of tokens that occurs in `tokens`", found="none", instead="another class, or text"
        )

    def loss(model: Any, batch: Any) -> Tensor:
        losses = loss_fn(model, batch)
        return losses * mask(batch[0] if isinstance(batch, (tuple, list)) else batch).to(losses) / share

    return loss


def relative_to(reference: nn.Module) -> LossFn:
    """KL(reference ‖ model) of the next token in nats: a loss whose data are a reference model's own predictions.

    The refined coefficient under it is the complexity that the model spends on what the reference, a one-layer model in
    the source, predicts too. At w* it is not at a minimum in general: `decrease` in the settings of an estimate
    says how far.

    Args:
        reference: a language model over the same vocabulary; a copy of it is kept, in eval mode.

    Source: Wang et al., arXiv 2410.02984 (reference-model refinement).
    """
    fixed = copy.deepcopy(reference).eval().requires_grad_(False)

    def loss(model: Any, batch: Any) -> Float[Tensor, "batch predicted"]:
        tokens = batch[0] if isinstance(batch, (tuple, list)) else batch
        with torch.no_grad():
            expected = fixed(tokens)[:, :-1].log_softmax(-1)
        found = model(tokens)[:, :-1].log_softmax(-1)
        return F.kl_div(found, expected, reduction="none", log_target=True).sum(-1)

    return loss


def _tensors(name: str, data: Any) -> tuple[Tensor, ...]:
    parts = (data,) if isinstance(data, Tensor) else data
    if not isinstance(parts, tuple) or not parts or not all(isinstance(part, Tensor) for part in parts):
        raise InvalidArgument(
            name, expected="a tensor or a tuple of tensors", found=type(data).__name__, instead="(inputs, targets)"
        )
    return parts
