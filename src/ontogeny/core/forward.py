"""Calling a model with the inputs of a batch, and finding the logits in its output."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ontogeny.core.batches import kind
from ontogeny.core.errors import InvalidArgument


def logits_of(output: Any) -> Tensor:
    """The logits, or other predictions, in a model's output.

    They are the output itself if it is a tensor; its `.logits`, as an attribute or key; or the first tensor of a tuple
    that is not a scalar, so that `(logits, loss)` and `(loss, logits, …)` both give the logits.

    Raises:
        InvalidArgument: for anything else.
    """
    if isinstance(output, Tensor):
        return output
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if found is None and type(output) in (tuple, list):
        found = next((each for each in output if isinstance(each, Tensor) and each.ndim), None)
    if isinstance(found, Tensor):
        return found
    raise InvalidArgument(
        "model",
        expected="a model that returns a tensor, something with .logits, or a tuple such as (logits, loss)",
        found=_told(output),
        instead="your own loss_fn, which takes what it needs from the output",
    )


def predicted(model: Any, inputs: Any) -> Tensor:
    """Call the model on inputs and return `logits_of` its output.

    Floating-point inputs whose dtype the model does not accept are cast to that of its weights. Entries of a dict that
    the forward pass names are passed by name, as `transformers.Trainer` does. If it does not name `input_ids`, they are
    passed as the first argument, and so is the only entry of a dict.

    Raises:
        InvalidArgument: for a dict that does not fit the model's forward pass, or a model without logits.
    """
    first, named = ((inputs,), {}) if isinstance(inputs, Tensor) else _arguments(model, inputs)
    try:
        output = model(*first, **named)
    except (RuntimeError, ValueError) as error:
        cast = [_cast(value, model) for value in (*first, *named.values())]
        if all(new is old for new, old in zip(cast, (*first, *named.values()), strict=True)):
            if whole := _whole_numbers((*first, *named.values()), error):
                raise whole from error
            raise
        output = model(*cast[: len(first)], **dict(zip(named, cast[len(first) :], strict=True)))
    outputs = logits_of(output)
    if outputs.is_floating_point() and outputs.ndim:
        return outputs
    raise InvalidArgument(
        "model",
        expected="a model that predicts floating-point numbers for each sample",
        found=f"{kind(outputs)} of {outputs.dtype}",
        instead="a loss_fn of your own",
    )


def _arguments(model: Any, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments of the model."""
    if not isinstance(inputs, Mapping):
        return (inputs,), {}
    signature = _signature(model)
    named = {name: value for name, value in inputs.items() if takes(model, name)}
    if not named and any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values()):
        named = dict(inputs)  # for a wrapper, which passes everything on
    main = "input_ids" if "input_ids" in inputs else next(iter(inputs)) if len(inputs) == 1 else None
    first = () if main is None or main in named else (inputs[main],)
    try:
        signature.bind(*first, **named)
    except TypeError as error:
        raise InvalidArgument(
            "batch",
            expected=f"the inputs that {type(model).__name__} takes: {', '.join(signature.parameters) or 'none'}",
            found=", ".join(map(repr, inputs)),
            instead="a dict with these names, or a loss_fn of your own that calls the model",
        ) from error
    return first, named


def takes(model: Any, name: Any) -> bool:
    """Whether a model's forward pass accepts an argument by this name."""
    found = _signature(model).parameters.get(name)
    return found is not None and found.kind in (found.POSITIONAL_OR_KEYWORD, found.KEYWORD_ONLY)


def _signature(model: Any) -> inspect.Signature:
    return inspect.signature(getattr(model, "forward", model))


def _cast(value: Any, model: Any) -> Any:
    """A floating-point tensor in the dtype of the model's weights; unchanged if any of them has its dtype."""
    if not (isinstance(value, Tensor) and value.is_floating_point() and isinstance(model, nn.Module)):
        return value
    own = dict.fromkeys(weight.dtype for weight in model.parameters() if weight.is_floating_point())
    return value.to(next(iter(own))) if own and value.dtype not in own else value


def _whole_numbers(inputs: tuple[Any, ...], error: Exception) -> InvalidArgument | None:
    """The error for a network given whole numbers, such as images in bytes."""
    whole = [each for each in inputs if isinstance(each, Tensor) and not each.is_floating_point()]
    if not whole or not any(word in str(error) for word in ("dtype", "scalar type")):
        return None
    return InvalidArgument(
        "batch",
        expected="inputs in floating point, as the network's weights are",
        found=f"{kind(whole[0])} of {whole[0].dtype}",
        instead="inputs.float(), scaled as in training",
    )


def _told(output: Any) -> str:
    if dataclasses.is_dataclass(output) and not isinstance(output, Mapping):
        return f"{type(output).__name__} of {', '.join(repr(field.name) for field in dataclasses.fields(output))}"
    return kind(output)
