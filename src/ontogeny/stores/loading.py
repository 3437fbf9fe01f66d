"""Loading a checkpoint into a module: by name, or as the library that saved it would."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores import adapters, pretrained
from ontogeny.stores.entries import shown
from ontogeny.stores.layouts import Adapter
from ontogeny.stores.names import Match, fitting_prefixes, match, tensors_of, ties


def load_into(
    model: nn.Module, weights: Mapping[str, Tensor], *, argument: str = "model", of: str = "the checkpoint"
) -> None:
    """Fill every parameter and buffer of `model` from `weights`, or raise and leave it unchanged.

    Names are matched by the rule of `ontogeny.stores.names`. Parts added by wrappers are ignored. Leading parts are
    dropped if all names then match. Constants that training does not change may be present or absent. One name of a
    tied weight is enough. If names differ in other ways, a `PreTrainedModel` is loaded as transformers loads its files.
    A `PeftModel` is loaded as peft loads an adapter: the adapter's weights come from the file, and all others stay as
    `model` has them.

    Args:
        argument: the caller's name for `model`, for errors.
        of: the source of the weights, for errors.

    A module divided over processes by FSDP2 stays so: each process reads the weights and takes its part of them.

    Raises:
        InvalidArgument: for missing or unexpected keys, different shapes, a tied weight with two values, integers in
            place of a floating-point weight, or an adapter trained under other settings.
    """
    found = match(model, weights)
    if not found.complete:
        if adapters.is_peft(model):
            adapters.load_adapter(model, weights, argument=argument, of=of)
            return
        if pretrained.is_pretrained(model):
            found = pretrained.convert(model, weights, found)
    _require_fit(model, weights, found, argument, of)
    own = model.state_dict()
    model.load_state_dict(own | {name: _divided(tensor, own[name]) for name, tensor in found.weights.items()})


def _divided(tensor: Tensor, own: Any) -> Any:
    """A tensor divided over processes as the module's own, each of which has read all of it."""
    if not hasattr(own, "to_local"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(own.device), own.device_mesh, own.placements, src_data_rank=None)


def _require_fit(model: nn.Module, weights: Mapping[str, Tensor], found: Match, argument: str, of: str) -> None:
    own = tensors_of(model)
    shapes = [
        f"{name} {tuple(tensor.shape)} in the file and {tuple(own[name].shape)} in the module"
        for name, tensor in found.weights.items()
        if tensor.shape != own[name].shape
    ]
    kinds = [
        f"{name} {tensor.dtype} in the file and {own[name].dtype} in the module"
        for name, tensor in found.weights.items()
        if own[name].is_floating_point() and not tensor.is_floating_point()
    ]
    torn = [
        " and ".join(names)
        for names in ties(own)
        if not shapes and any(not _same(found.weights, names[0], name) for name in names[1:])
    ]
    said = {
        "missing keys": found.missing,
        "unexpected keys": found.unexpected,
        "different shapes": shapes,
        "different kinds of numbers": kinds,
        "weights tied in the module that differ in the file": torn,
    }
    problems = [f"{what}: {shown(names)}" for what, names in said.items() if names]
    if problems:
        raise InvalidArgument(
            argument,
            expected=f"a module that fits the weights of {of}",
            found="; ".join(problems),
            instead=_advice(model, weights, found),
        )


def _same(weights: Mapping[str, Tensor], first: str, second: str) -> bool:
    if first not in weights or second not in weights:
        return True
    return torch.equal(weights[first].to(weights[second].dtype), weights[second])


def _advice(model: nn.Module, weights: Mapping[str, Tensor], found: Match) -> str:
    if isinstance(weights, Adapter):
        return "a model_fn that returns peft.PeftModel.from_pretrained(base, folder): these are an adapter's weights"
    if prefixes := fitting_prefixes(model.state_dict(), weights):
        return " or ".join(f"open_checkpoints(..., key={prefix!r})" for prefix in prefixes[:4])
    if found.missing and not found.unexpected and not dict(model.named_parameters()).keys() & set(found.missing):
        return "register_buffer(..., persistent=False) for what the module computes itself"
    return (
        "a model_fn that makes the trained network, or open_checkpoints(..., load=function) with a function "
        "of the path that returns {name: tensor} under the names of the module"
    )
