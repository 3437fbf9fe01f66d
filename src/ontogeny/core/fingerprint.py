"""One hash of every input of a computation: what a cached artefact is keyed by."""

import dataclasses
import functools
import hashlib
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from ontogeny.core.errors import InvalidArgument


def fingerprint(*values: Any) -> str:
    """Hexadecimal SHA-256 of `values`: equal inputs give equal keys in any process on any machine.

    Covers numbers, strings, containers, tensors, arrays, modules (architecture and weights), pydantic models,
    dataclasses, and functions by
    their compiled code, constants, defaults and captured variables (so that an edited `loss_fn` is another key).
    Module-level functions and globals that a function calls are covered by name only.

    Raises:
        InvalidArgument: for an object without a stable content, such as an open file.
    """
    digest = hashlib.sha256()
    for value in values:
        _feed(digest.update, value)
    return digest.hexdigest()


def _feed(update: Callable[[bytes], None], value: Any) -> None:
    update(type(value).__qualname__.encode() + b"(")
    match value:
        case None | bool() | int() | float() | complex() | str() | PurePath():
            update(repr(value).encode())
        case bytes():
            update(value)
        case Mapping():
            for key in sorted(value, key=repr):
                _feed(update, key)
                _feed(update, value[key])
        case set() | frozenset():
            for item in sorted(value, key=repr):
                _feed(update, item)
        case list() | tuple():
            for item in value:
                _feed(update, item)
        case types.FunctionType():
            _feed_function(update, value)
        case types.MethodType():
            _feed(update, value.__self__)
            _feed(update, value.__func__)
        case types.CodeType():
            _feed_code(update, value)
        case functools.partial():
            for part in (value.func, value.args, value.keywords):
                _feed(update, part)
        case type() | types.ModuleType() | types.BuiltinFunctionType():
            update(f"{getattr(value, '__module__', '')}.{value.__name__}".encode())
        case _:
            _feed_object(update, value)
    update(b")")


def _feed_function(update: Callable[[bytes], None], function: types.FunctionType) -> None:
    # run-time checks of annotations are no part of what a function computes
    while function.__globals__.get("__name__", "").startswith("jaxtyping") and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    _feed_code(update, function.__code__)
    captured = [cell.cell_contents for cell in function.__closure__ or ()]
    for part in (function.__defaults__, function.__kwdefaults__, captured):
        _feed(update, part)


def _feed_code(update: Callable[[bytes], None], code: types.CodeType) -> None:
    update(code.co_code)
    _feed(update, code.co_names)
    _feed(update, code.co_consts)


def _feed_object(update: Callable[[bytes], None], value: Any) -> None:
    if hasattr(value, "detach") and hasattr(value, "numpy"):  # a torch tensor
        tensor = value.detach().cpu().contiguous()
        update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        update(tensor.flatten().view(_torch_uint8()).numpy().tobytes())
    elif hasattr(value, "tobytes") and hasattr(value, "dtype"):  # a numpy array or scalar
        update(f"{value.dtype}{getattr(value, 'shape', ())}".encode())
        update(value.tobytes())
    elif hasattr(value, "state_dict") and hasattr(value, "named_modules"):  # a torch module
        update(repr(value).encode())
        _feed(update, dict(value.state_dict()))
    elif hasattr(value, "model_dump"):  # a pydantic model
        _feed(update, value.model_dump())
    elif dataclasses.is_dataclass(value):
        _feed(update, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    elif _is_map_style(value):
        _feed(update, [value[index] for index in range(len(value))])
    elif hasattr(value, "__dict__"):
        _feed(update, vars(value))
    elif isinstance(value, Iterable):
        _feed(update, list(value))
    else:
        raise InvalidArgument(
            "fingerprint",
            expected="values with a stable content",
            found=f"an object of type {type(value).__name__}",
            instead="pass tensors, plain containers, dataclasses or functions",
        )


def _is_map_style(value: Any) -> bool:
    return hasattr(value, "__getitem__") and hasattr(value, "__len__")


def _torch_uint8() -> Any:
    import torch

    return torch.uint8
