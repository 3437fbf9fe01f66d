"""Copies of a caller's module, even after a pass has left tensors in it."""

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

from ontogeny.core.errors import InvalidArgument


def copied(model: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """`copy.deepcopy(model, memo)`, sharing tensors that a pass computed instead of copying them.

    A network may keep an activation, or a weight that a hook computes (as the old `torch.nn.utils.weight_norm` does).
    Such tensors have an autograd history and cannot be copied. The copy's own passes overwrite them.

    Raises:
        InvalidArgument: for an attribute that cannot be copied, by name, and for torch's old `weight_norm`, whose
            weight is not a parameter but an attribute set by a hook.
    """
    _refuse_old_norms(model)
    try:
        with _Shared():
            return copy.deepcopy(model, memo)
    except Exception as error:
        place = _culprit(model)
        raise InvalidArgument(
            "model",
            expected="a module that `copy.deepcopy` can copy, so that yours stays unchanged",
            found=f"{place}, which cannot be copied ({type(error).__name__}: {str(error).splitlines()[0]})",
            instead=f"`del` of {place} before the call, or a `__deepcopy__` of its class",
        ) from error


def _refuse_old_norms(model: nn.Module) -> None:
    for path, module in model.named_modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm):
                raise InvalidArgument(
                    "model",
                    expected="weights that are parameters",
                    found=f"`{hook.name}` of {path or 'the model'}, which the hook of torch.nn.utils.weight_norm sets",
                    instead="torch.nn.utils.parametrizations.weight_norm, or torch.nn.utils.remove_weight_norm(module)",
                )


class _Shared(TorchFunctionMode):
    """Passes tensors with a history through `copy.deepcopy` unchanged."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0]
        return func(*args, **(kwargs or {}))


def _culprit(model: nn.Module) -> str:
    """The path of an attribute that cannot be copied on its own, or the model's class if all can."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name in ("_modules", "_parameters", "_buffers"):
                continue
            try:
                with _Shared():
                    copy.deepcopy(value, {id(each): each for each in model.modules()})
            except Exception:
                return ".".join(filter(None, ("model", path, name)))
    return type(model).__name__
