"""Loading the weights of a PEFT adapter into the caller's `PeftModel`; the base model's weights are left alone."""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores.entries import shown
from ontogeny.stores.layouts import Adapter
from ontogeny.stores.reading import one_line

# Settings that change what an adapter's weights mean without changing their names or shapes.
_MEANING = ("peft_type", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out")


def is_peft(model: nn.Module) -> bool:
    """Whether `model` is a `PeftModel`, without importing peft."""
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(model, peft.PeftModel)


def load_adapter(model: Any, weights: Mapping[str, Tensor], *, argument: str, of: str) -> None:
    """Load an adapter's weights into the active adapter: all of them or none.

    Raises:
        InvalidArgument: for weights that do not fit, or that were trained under settings with another meaning.
    """
    peft = sys.modules["peft"]  # imported already, since `model` is a PeftModel
    name = model.active_adapter
    if isinstance(weights, Adapter):
        _require_settings(model.peft_config[name].to_dict(), weights.config, argument, of)
    own = model.state_dict()
    before = {each: tensor.detach().clone() for each, tensor in own.items()}
    mine = peft.get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    problems = ""
    try:
        result = peft.set_peft_model_state_dict(model, dict(weights), adapter_name=name)
        places = {tensor.data_ptr() for tensor in mine.values()}
        missing = [each for each in result.missing_keys if own[each].data_ptr() in places]
        unexpected = list(result.unexpected_keys)
        if model.peft_config[name].is_prompt_learning:  # its prompt is loaded separately, so only names are compared
            missing, unexpected = sorted(mine.keys() - weights.keys()), sorted(weights.keys() - mine.keys())
        said = {"missing keys": missing, "unexpected keys": unexpected}
        problems = "; ".join(f"{what}: {shown(names)}" for what, names in said.items() if names)
    except KeyError as error:
        problems = f"missing keys: {error.args[0]}"
    except Exception as error:
        problems = one_line(error)
    if problems:
        with torch.no_grad():
            model.load_state_dict(before)
        raise InvalidArgument(
            argument,
            expected=f"a PeftModel whose adapter {name!r} fits the weights of {of}",
            found=problems,
            instead="a model_fn that returns peft.PeftModel.from_pretrained(base, folder)",
        )


def _require_settings(own: Mapping[str, Any], theirs: Mapping[str, Any], argument: str, of: str) -> None:
    for name in _MEANING:
        if name in own and name in theirs and _plain(own[name]) != _plain(theirs[name]):
            raise InvalidArgument(
                argument,
                expected=f"a PeftModel with the settings under which the adapter of {of} was trained",
                found=f"{name}={_plain(own[name])!r} instead of {_plain(theirs[name])!r}",
                instead="peft.get_peft_model(base, peft.PeftConfig.from_pretrained(folder))",
            )


def _plain(value: Any) -> Any:
    """Enumerations as the text used in configuration files."""
    return getattr(value, "value", value) or None
