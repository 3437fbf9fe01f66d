"""Per-sample losses, and the check of a caller's own loss.

A loss function here is `loss_fn(model, batch) -> Tensor` of shape `(batch,)` or `(batch, position)`, in nats or squared
units, never reduced over the batch: the sampler needs the losses of the same samples at two sets of weights.

The ready-made losses take a pair (inputs, targets) or a dict in Hugging Face's format, whose targets are its `labels`
(or `label`). The model is called with the other entries that its forward pass names, or with `input_ids` alone if it
does not name them. Its logits are its output, the output's `.logits`, or the first tensor of a tuple (`logits_of`).

Positions with label -100 do not count. A sample's loss is then the mean over its counted positions, of shape
`(batch,)`, because a mean over all positions would treat the others as zeros.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.batches import kind
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.forward import logits_of, predicted
from ontogeny.core.position_blocks import NextTokenInBlocks
from ontogeny.core.targets import (
    IGNORED,
    classes_last,
    counted_in_text,
    inputs_and_targets,
    mean_where,
    text_of,
    whole_numbers,
)
from ontogeny.core.token_losses import token_losses

_LOSSES = nn.CrossEntropyLoss.__module__  # PyTorch modules that take outputs and targets

LossFn = Callable[[Any, Any], Tensor]


def cross_entropy(model: Any, batch: Any) -> Float[Tensor, " batch"]:
    """-log p(y | x) in nats, for one label per sample, or the mean over labels at positions.

    | labels | logits |
    |---|---|
    | `(batch,)` | `(batch, classes)` |
    | `(batch, position, …)` | `(batch, position, …, classes)` or `(batch, classes, position, …)` |
    | probabilities `(batch, classes)` | `(batch, classes)` |

    Each label belongs to the logits at its own position: for a causal language model, `targets` are the tokens that
        follow. (`next_token` does the shift itself.)

    Args:
        model: called with the inputs.
        batch: (inputs, labels), or a dict with `labels`. Positions with label -100 do not count.

    Raises:
        InvalidArgument: for labels that do not fit the logits, are not among the classes, or are all -100 in a sample.
    """
    inputs, labels = inputs_and_targets(model, batch)
    logits = predicted(model, inputs)
    if labels.is_floating_point() and labels.shape == logits.shape and labels.ndim == 2 and labels.shape[1] > 1:
        return F.cross_entropy(logits, labels.to(logits.dtype), reduction="none")
    labels = whole_numbers(labels)
    rows = classes_last(logits, labels, known=isinstance(batch, Mapping))
    if labels.ndim == 1:
        return token_losses(rows, labels)
    counted = labels != IGNORED
    targets = labels.masked_fill(~counted, 0)
    losses = token_losses(rows.flatten(0, -2), targets.flatten()).view(labels.shape)
    return mean_where(losses, counted)


def mse(model: Any, batch: Any) -> Float[Tensor, " batch"]:
    """Squared error summed over outputs, `|model(x) - y|^2`, for `batch = (inputs, targets)` or a dict with `labels`.

    There is no factor 1/2: the negative log-likelihood of unit-variance Gaussian noise is half of it.

    Raises:
        InvalidArgument: for targets of another shape than the outputs, which would broadcast against each other.
    """
    inputs, targets = inputs_and_targets(model, batch)
    outputs = predicted(model, inputs)
    if outputs.shape != targets.shape:
        raise _another_shape(outputs, targets)
    if targets.is_complex():
        raise InvalidArgument("batch", expected="real targets", found=f"{targets.dtype}", instead="their real parts")
    squares = (outputs - (targets if targets.is_floating_point() else targets.to(outputs.dtype))).square()
    return squares.flatten(1).sum(dim=1) if squares.ndim > 1 else squares


def next_token(model: Any, batch: Any) -> Float[Tensor, "batch position"] | Float[Tensor, " batch"]:
    """-log p(token at t+1 | tokens up to t) in nats.

    Args:
        model: maps tokens `(batch, context)` to logits `(batch, context, vocabulary)`.
        batch: tokens alone, as a tuple of one, or as a dict with `input_ids`. A dict may say which positions count:
            those whose `labels` (unshifted, as in transformers) are not -100. Without labels, those at which
            `attention_mask` is 1 both there and at the position before.

    Returns:
        `(batch, context - 1)`. For a dict with `labels` or `attention_mask`, each sample's mean over the counted
        positions, `(batch,)`.

    Raises:
        InvalidArgument: for tokens of another shape, logits at other positions, a token outside the vocabulary, or a
            sample in which no position counts.
    """
    inputs, tokens = text_of(batch)
    logits = predicted(model, inputs)
    if logits.shape[:-1] != tokens.shape:
        raise _other_positions(logits, tokens)
    counted = counted_in_text(batch)
    following = tokens[:, 1:] if counted is None else tokens[:, 1:].masked_fill(~counted, 0)
    # all positions at once, the last against a dummy target, to avoid a copy of the logits
    targets = F.pad(following, (0, 1))
    losses = token_losses(logits.flatten(0, 1), targets.flatten()).view(targets.shape)[:, :-1]
    return losses if counted is None else mean_where(losses, counted)


def per_token(loss_fn: LossFn, model: Any, batch: Any, batch_size: int) -> Float[Tensor, "batch position"]:
    """`loss_fn(model, batch)`, checked: one loss per sample and position. A loss without positions has one.

    Raises:
        InvalidArgument: if `loss_fn` returns a scalar, a leading size other than the batch's, no position, or numbers
            that are not floating-point.
    """
    if not callable(loss_fn) or getattr(type(loss_fn), "__module__", "") == _LOSSES or loss_fn in vars(F).values():
        raise InvalidArgument(
            "loss_fn",
            expected="a function of model and batch that returns each sample's loss",
            found=f"{getattr(loss_fn, '__name__', type(loss_fn).__name__)}, which takes no model",
            instead="lambda model, batch: F.cross_entropy(model(batch[0]), batch[1], reduction='none')",
        )
    losses = loss_fn(model, batch)
    if isinstance(losses, (tuple, list)):
        raise InvalidArgument(
            "loss_fn",
            expected="each sample's loss, as one tensor",
            found=kind(losses),
            instead="the losses alone, without other outputs",
        )
    fits = isinstance(losses, Tensor) and losses.ndim in (1, 2) and losses.shape[0] == batch_size and losses.numel()
    if isinstance(losses, Tensor) and losses.ndim > 2 and losses.shape[0] == batch_size:
        raise InvalidArgument(
            "loss_fn",
            expected=f"per-sample losses of shape (batch,) or (batch, position) with batch = {batch_size}",
            found=f"{tuple(losses.shape)}, as of samples that are batches themselves, or that broadcast",
            instead="losses.flatten(1); or, if the data are a list of batches, these joined by torch.cat",
        )
    if not fits:
        shape = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise InvalidArgument(
            "loss_fn",
            expected=f"per-sample losses of shape (batch,) or (batch, position) with batch = {batch_size}",
            found="a scalar (a loss reduced over the batch)" if shape == () else f"{shape}",
            instead="reduction='none' in the loss, or one of og.losses.cross_entropy, mse, next_token",
        )
    if not losses.is_floating_point():
        raise InvalidArgument(
            "loss_fn",
            expected="floating-point losses, which have a gradient",
            found=f"losses of {losses.dtype}",
            instead="one of og.losses.cross_entropy, mse, next_token",
        )
    return losses.reshape(batch_size, -1)


def per_sample(loss_fn: LossFn, model: Any, batch: Any, batch_size: int) -> Float[Tensor, " batch"]:
    """As `per_token`, averaged over positions to one loss per sample."""
    losses = per_token(loss_fn, model, batch, batch_size)
    return losses.mean(dim=1) if losses.shape[1] > 1 else losses[:, 0]


def _another_shape(outputs: Tensor, targets: Tensor) -> InvalidArgument:
    instead = "targets of the shape of the outputs"
    if outputs.shape == (*targets.shape, 1):
        instead = "targets[..., None], or a model whose outputs are squeezed"
    elif targets.shape == (*outputs.shape, 1):
        instead = "targets.squeeze(-1)"
    return InvalidArgument(
        "batch",
        expected=f"targets of the shape of the model's outputs, {tuple(outputs.shape)} for this batch",
        found=f"{tuple(targets.shape)}",
        instead=instead,
    )


def _other_positions(logits: Tensor, tokens: Tensor) -> InvalidArgument:
    instead = "a model that gives logits at every position"
    if logits.ndim == 3 and logits.shape[1] == 1:  # as in nanoGPT, unless it is given targets
        instead = "a loss_fn that passes the model its targets, and og.losses.logits_of for its (logits, loss)"
    return InvalidArgument(
        "model",
        expected=f"logits (batch, context, vocabulary) for tokens {tuple(tokens.shape)}",
        found=f"{tuple(logits.shape)}",
        instead=instead,
    )


__all__ = ["LossFn", "NextTokenInBlocks", "cross_entropy", "logits_of", "mse", "next_token", "per_sample", "per_token"]
