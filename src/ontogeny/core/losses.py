"""Per-sample losses, and the check that a caller's own loss is one.

A loss function here is `loss_fn(model, batch) -> Tensor` of shape `(batch,)` or `(batch, position)`, in nats or squared
units, never reduced over the batch: the sampler needs the losses of the same samples at two sets of weights.
"""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.token_losses import token_losses

LossFn = Callable[[Any, Any], Tensor]


def cross_entropy(model: Any, batch: Any) -> Float[Tensor, " batch"]:
    """-log p(y | x) in nats for `batch = (inputs, labels)`; `model(inputs)` gives logits `(batch, classes)`."""
    inputs, labels = _pair(batch)
    return F.cross_entropy(model(inputs), labels, reduction="none")


def mse(model: Any, batch: Any) -> Float[Tensor, " batch"]:
    """Squared error summed over outputs, `|model(x) - y|^2`, for `batch = (inputs, targets)`.

    Not halved: a likelihood of unit-variance Gaussian noise has half of it.
    """
    inputs, targets = _pair(batch)
    return (model(inputs) - targets).square().flatten(1).sum(dim=1)


def next_token(model: Any, batch: Any) -> Float[Tensor, "batch position"]:
    """-log p(token at t+1 | tokens up to t) in nats, for tokens `(batch, context)`; `context - 1` positions.

    `batch` is the token tensor, alone or as a tuple of one; `model(tokens)` gives logits `(batch, context,
    vocabulary)`.
    """
    tokens = batch[0] if isinstance(batch, (tuple, list)) else batch
    logits, targets = model(tokens), F.pad(tokens[:, 1:], (0, 1))
    # every position in one run, the last against a stand-in: no copy of the logits, whose last dimension stays in place
    losses = token_losses(logits.flatten(0, 1), targets.flatten())
    return losses.view(targets.shape)[:, :-1]


def per_token(loss_fn: LossFn, model: Any, batch: Any, batch_size: int) -> Float[Tensor, "batch position"]:
    """`loss_fn(model, batch)`, checked, one loss a sample and position; one position where the loss has none.

    Raises:
        InvalidArgument: if `loss_fn` returns a scalar or another leading size than the batch.
    """
    losses = loss_fn(model, batch)
    if not isinstance(losses, Tensor) or losses.ndim not in (1, 2) or losses.shape[0] != batch_size:
        shape = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise InvalidArgument(
            "loss_fn",
            expected=f"per-sample losses of shape (batch,) or (batch, position) with batch = {batch_size}",
            found="a scalar (a loss reduced over the batch)" if shape == () else f"{shape}",
            instead="reduction='none' in the loss, or one of og.losses.cross_entropy, mse, next_token",
        )
    return losses.reshape(batch_size, -1)


def per_sample(loss_fn: LossFn, model: Any, batch: Any, batch_size: int) -> Float[Tensor, " batch"]:
    """As `per_token`, averaged over positions to one loss a sample."""
    losses = per_token(loss_fn, model, batch, batch_size)
    return losses.mean(dim=1) if losses.shape[1] > 1 else losses[:, 0]


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise InvalidArgument(
            "batch",
            expected="a pair (inputs, targets)",
            found=f"{type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""),
            instead="data=(inputs, targets), or a loss_fn of your own that unpacks the batch",
        )
    return batch[0], batch[1]


__all__ = ["LossFn", "cross_entropy", "mse", "next_token", "per_sample", "per_token"]
