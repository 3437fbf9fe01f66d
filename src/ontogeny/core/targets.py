"""The targets of a batch, the positions that count, and the logits that belong to them."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ontogeny.core.batches import kind
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.forward import takes
from ontogeny.core.token_losses import any_of

IGNORED = -100  # the label of positions that do not count, in PyTorch and transformers
_LABELS = ("labels", "label")


def inputs_and_targets(model: Any, batch: Any) -> tuple[Any, Tensor]:
    """Inputs and targets from a pair, or from a dict with labels.

    An encoder-decoder model, which makes its decoder's input from the labels, also gets them as inputs.

    Raises:
        InvalidArgument: for a batch that is neither.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], _tensor(batch[1], "targets")
    if isinstance(batch, Mapping):
        key = next((name for name in _LABELS if name in batch), None)
        inputs = {name: value for name, value in batch.items() if name not in _LABELS}
        if key is not None and inputs:
            targets = batch[key]
            if takes(model, "decoder_input_ids") and "decoder_input_ids" not in inputs:
                inputs["labels"] = targets
            return inputs, _tensor(targets, "targets")
    raise InvalidArgument(
        "batch",
        expected="a pair (inputs, targets), or a dict of inputs and 'labels'",
        found=f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, (tuple, list)) else kind(batch),
        instead="data=(inputs, targets), or your own loss_fn that unpacks the batch",
    )


def text_of(batch: Any) -> tuple[Any, Int[Tensor, "batch context"]]:
    """The inputs of a language model, and the tokens to predict: the batch's labels if it has them.

    Raises:
        InvalidArgument: for a batch that is not text.
    """
    if isinstance(batch, Mapping) and "input_ids" in batch:
        parts = {name: batch[name] for name in ("input_ids", "attention_mask", "labels") if name in batch}
        inputs: Any = {name: value for name, value in batch.items() if name not in _LABELS}
        tokens = batch.get("labels", batch["input_ids"])
    else:
        inputs = tokens = batch[0] if isinstance(batch, (tuple, list)) and len(batch) == 1 else batch
        parts = {"tokens": tokens}
    shapes = {tuple(each.shape) if isinstance(each, Tensor) else () for each in parts.values()}
    (_, context), *others = (shape if len(shape) == 2 else (0, 0) for shape in shapes)
    if others or context < 2 or _fractional(tokens):
        pair = isinstance(batch, (tuple, list)) and len(batch) > 1
        tensors = {name: each for name, each in parts.items() if isinstance(each, Tensor)}
        raise InvalidArgument(
            "batch",
            expected="whole-numbered tokens (batch, context ≥ 2), alone or as the 'input_ids' of a dict, "
            "whose 'labels' and 'attention_mask' have their shape",
            found=", ".join(f"{name} {kind(each)} of {each.dtype}" for name, each in tensors.items()) or kind(batch),
            instead="og.losses.cross_entropy for (inputs, labels)" if pair or others else "data=tokens.long()",
        )
    return inputs, whole_numbers(tokens)


def counted_in_text(batch: Any) -> Bool[Tensor, "batch position"] | None:
    """Which predictions of a text count, by its labels or else its mask; None if it has neither."""
    if not isinstance(batch, Mapping):
        return None
    if "labels" in batch:
        return batch["labels"][:, 1:] != IGNORED
    if "attention_mask" in batch:
        mask = batch["attention_mask"] != 0
        return mask[:, 1:] & mask[:, :-1]
    return None


def mean_where(losses: Float[Tensor, "batch *position"], counted: Bool[Tensor, "batch *position"]) -> Tensor:
    """Each sample's mean loss over its counted positions.

    Raises:
        InvalidArgument: for a sample without any.
    """
    number = counted.flatten(1).sum(dim=1)
    if any_of(number == 0):  # under vmap 0 / 0 gives NaN, which is reported later
        raise InvalidArgument(
            "batch",
            expected="a position that counts in every sample",
            found="a sample whose labels are all -100, or whose attention_mask leaves none",
            instead="data without such samples",
        )
    return losses.where(counted, 0).flatten(1).sum(dim=1) / number


def whole_numbers(labels: Tensor) -> Int[Tensor, "*shape"]:
    """Labels as 64-bit integers.

    Raises:
        InvalidArgument: for floating-point ones.
    """
    if _fractional(labels):
        raise InvalidArgument(
            "batch",
            expected="labels that are whole numbers, or probabilities (batch, classes)",
            found=f"{kind(labels)} of {labels.dtype}",
            instead="labels.long(), or og.losses.mse for regression",
        )
    return labels if labels.dtype is torch.long else labels.long()


def classes_last(logits: Tensor, labels: Int[Tensor, "*position"], known: bool) -> Float[Tensor, "*position classes"]:
    """The logits with classes in the last dimension, inferred from the shape of the labels.

    Args:
        known: whether the classes are known to be last, as in transformers, even where they could be second.

    Raises:
        InvalidArgument: for labels of another shape, for a single class, or if the class dimension is ambiguous.
    """
    shape = logits.shape
    if labels.ndim == 1 and len(shape) == 2 and shape[0] == len(labels) and shape[1] > 1:  # the usual case
        return logits
    last = shape[:-1] == labels.shape
    second = logits.ndim == labels.ndim + 1 and (logits.shape[0], *logits.shape[2:]) == tuple(labels.shape)
    if not labels.ndim or not (last or second):
        if labels.shape == shape and labels.ndim == 2 and bool((labels.sum(1) == 1).all()):
            raise InvalidArgument(
                "batch",
                expected=f"the number of a class as the label of each row of logits {tuple(shape)}",
                found="one-hot labels in whole numbers",
                instead="labels.argmax(1)",
            )
        raise InvalidArgument(
            "batch",
            expected=f"labels (batch,) or (batch, position) of the logits {tuple(logits.shape)}",
            found=f"{tuple(labels.shape)}",
            instead="labels.squeeze(-1)" if labels.shape == (*logits.shape[:-1], 1) else "one label for each logits",
        )
    if last and second and labels.ndim > 1 and not known:
        raise InvalidArgument(
            "batch",
            expected="logits with a number of classes that differs from the number of positions",
            found=f"logits {tuple(logits.shape)} for labels {tuple(labels.shape)}",
            instead="a dict of the inputs and 'labels', for classes in the last dimension",
        )
    rows = logits if last else logits.movedim(1, -1)
    if rows.shape[-1] < 2:
        raise InvalidArgument(
            "model",
            expected="logits of two classes or more",
            found=f"{tuple(logits.shape)}: the loss of a single class is zero",
            instead="a logit for each class, or your own loss_fn: "
            "F.binary_cross_entropy_with_logits(model(x)[:, 0], y.float(), reduction='none')",
        )
    return rows


def _tensor(targets: Any, what: str) -> Tensor:
    if isinstance(targets, Tensor):
        return targets
    raise InvalidArgument(
        "batch", expected=f"{what} that are a tensor", found=kind(targets), instead="data=(inputs, targets) as tensors"
    )


def _fractional(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
