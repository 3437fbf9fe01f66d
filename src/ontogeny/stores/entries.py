"""Finding the weights in what a training loop saved: all of it, or one entry among the optimizer's and others."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores.reading import BY_HAND, Unmade

Weights = dict[str, Tensor]
# Usual names of the entry with the weights, the most likely first.
_NAMES = ("model", "state_dict", "model_state_dict", "module", "network", "net", "weights", "params")
_DEPTH = 3  # levels below the top that are searched for an entry
_EXTRA_STATE = "_extra_state"  # what modules store besides tensors, such as the scales of 8-bit layers


def state_dict_in(saved: Any, key: str | None, where: str) -> Weights:
    """Find the state dict in what was saved, by `key` or automatically.

    Automatically: everything saved, if all values are tensors; else its only entry of that kind, or the first under a
        usual name (`model`, `state_dict`, `model_state_dict`, `module`, `network`, `net`, `weights`, `params`); else
    the same one level below. By `key`: the entry of that name. A dotted key descends entry by entry, and selects by
    prefix within a state dict: "state_dict.net" is everything under `net.` in the entry `state_dict`. A key that is not
    at the top is looked up in the state dict that would have been found automatically.

    Args:
        where: the source of `saved`, for errors.

    Raises:
        InvalidArgument: if there is no state dict or more than one. The message gives the keys that would work.
    """
    if key is None:
        return _by_itself(saved, where)
    found = _under(saved, key)
    if found is None:
        try:
            found = _under(_by_itself(saved, where), key)
        except InvalidArgument:
            found = None
    if not _is_state_dict(found):
        usable = _usable(saved)
        raise InvalidArgument(
            "key",
            expected=f"the name of a state dict in {where}" + (f", one of {shown(usable, 6)}" if usable else ""),
            found=repr(key) if found is None else f"{key!r}, {_kind(found)}",
            instead=f"key={usable[0]!r}" if usable else "no key",
        )
    return _tensors(found)


def _by_itself(saved: Any, where: str) -> Weights:
    if _is_state_dict(saved):
        return _tensors(saved)
    for depth in range(1, _DEPTH + 1):
        found = dict(_entries(saved, depth))
        named = [key for name in _NAMES for key in found if key.rpartition(".")[2] == name]
        if named or len(found) == 1:
            return _tensors(found[(named or list(found))[0]])
        if found:
            break
    usable = _usable(saved)
    if not usable and isinstance(saved, Mapping) and saved.keys() == {"state", "param_groups"}:
        raise InvalidArgument(
            "source",
            expected=f"a network's state dict (name -> tensor) in {where}",
            found="an optimizer's",
            instead="the file with the weights, such as model.safetensors, pytorch_model.bin or model.pt",
        )
    raise InvalidArgument(
        "source",
        expected=f"a state dict (name -> tensor) in {where}, whole or under one of {', '.join(_NAMES)}",
        found=_kind(saved),
        instead=" or ".join(f"open_checkpoints(..., key={key!r})" for key in usable) or _by_hand(saved),
    )


def shown(names: Sequence[Any], number: int = 4) -> str:
    """The first few names for a message, and how many more there are."""
    first = [" ".join(str(name).split())[:80] for name in names[:number]]
    return ", ".join(first) + (f" and {len(names) - number} more" if len(names) > number else "")


def _entries(saved: Any, depth: int, above: str = "") -> Iterator[tuple[str, Any]]:
    """The state dicts `depth` levels below the top, by dotted key, without an optimizer's."""
    if not isinstance(saved, Mapping) or _is_state_dict(saved):
        return
    for name, value in saved.items():
        if not isinstance(name, str) or name.startswith(("opt", "scheduler", "rng")):
            continue
        if depth > 1:
            yield from _entries(value, depth - 1, f"{above}{name}.")
        elif _is_state_dict(value):
            yield above + name, value


def _usable(saved: Any) -> list[str]:
    """At most six keys that would work."""
    return [key for depth in range(1, _DEPTH + 1) for key, _ in _entries(saved, depth)][:6]


def _under(value: Any, key: str) -> Any:
    """The value in nested mappings under a dotted key, or under a dotted prefix of names; None if there is none."""
    if not isinstance(value, Mapping):
        return None
    if key in value:
        return value[key]
    for end in (place for place, letter in enumerate(key) if letter == "."):
        if key[:end] in value:
            found = _under(value[key[:end]], key[end + 1 :])
            if found is not None:
                return found
    prefix = key + "."
    named = {name.removeprefix(prefix): each for name, each in value.items() if str(name).startswith(prefix)}
    return named or None


def _is_state_dict(value: Any) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return False
    tensors = [isinstance(each, Tensor) for name, each in value.items() if not name.endswith(_EXTRA_STATE)]
    return bool(tensors) and all(tensors)


def _tensors(state: Mapping[str, Any]) -> Weights:
    return {name: each for name, each in state.items() if isinstance(each, Tensor)}


def _kind(saved: Any) -> str:
    if isinstance(saved, Mapping):
        odd = next((name for name, value in saved.items() if isinstance(value, Unmade)), None)
        keys = shown(list(saved), 12)
        return f"a dict with the keys {keys}" + (f" ({odd}: {_kind(saved[odd])})" if odd else "") if saved else "{}"
    return f"a {type(saved).__module__}.{type(saved).__qualname__}".replace("a builtins.", "a ")


def _by_hand(saved: Any) -> str:
    if isinstance(saved, Unmade):
        return f"{BY_HAND.removesuffix(')')}.state_dict()) if it is a module, in a file that you trust"
    return "open_checkpoints(..., load=function) with a function of the path that returns {name: tensor}"
