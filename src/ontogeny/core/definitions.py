"""Functions, classes and modules by content: the user's by their code and everything it reaches, libraries by version.

The user's code is followed through globals, helpers, constants, base classes, closures, defaults, decorators and module
attributes. A change in any of them changes the key.
"""

import functools
import types
from collections.abc import Mapping
from typing import Any

from ontogeny.core.code_objects import describe_code, reached
from ontogeny.core.digests import Node, leaf
from ontogeny.core.origins import library_of

# Class attributes that metaclasses add and that decide nothing, cannot be read, or follow from the rest.
_MACHINERY = ("__class__", "__annotate__", "__annotate_func__", "__annotations_cache__", "_abc_impl")
_OF_PYDANTIC = ("__pydantic_fields__", "__private_attributes__")
_CHECKERS = ("jaxtyping", "beartype")
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_BUILTIN_METHODS = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)


def describe_definition(value: Any) -> Node | bytes | None:
    """A piece of code as a node or digest; None for anything else."""
    match value:
        case types.FunctionType():
            return _function(_unchecked(value))
        case types.MethodType():
            return Node(b"method", (value.__self__, value.__func__))
        case types.CodeType():
            return describe_code(value)
        case type():
            return _class(value)
        case types.ModuleType():
            return _module(value)
        case functools.partial():
            return Node(b"partial", (value.func, value.args, value.keywords))
        case staticmethod() | classmethod():
            return Node(type(value).__name__.encode(), (value.__func__,))
        case property():
            return Node(b"property", (value.fget, value.fset, value.fdel))
        case functools.cached_property():
            return Node(b"cached property", (value.func,))
        case types.BuiltinFunctionType() | types.MethodWrapperType():
            return _builtin(value)
        case _ if isinstance(value, _SLOTS + _BUILTIN_METHODS):
            owner = value.__objclass__
            return leaf("method", _home(owner), value.__qualname__, library_of(_home(owner)))
        case _ if hasattr(type(value), "cache_info") and hasattr(value, "__wrapped__"):  # functools.lru_cache
            return Node(b"cached function", (value.__wrapped__,))
    return None


def _unchecked(function: types.FunctionType) -> types.FunctionType:
    """The function inside run-time annotation checks, which do not affect what it computes."""
    while _module_of(function).partition(".")[0] in _CHECKERS:
        inner = getattr(function, "__wrapped__", None)
        if not isinstance(inner, types.FunctionType):
            break
        function = inner
    return function


def _module_of(function: types.FunctionType) -> str:
    return function.__globals__.get("__name__") or ""  # a decorator may have changed `__module__`


def _function(function: types.FunctionType) -> Node:
    code, module, attributes = function.__code__, _module_of(function), dict(vars(function))
    wrapped = attributes.pop("__wrapped__", None)
    compiled = attributes.pop("_torchdynamo_orig_callable", None)
    if compiled is not None:  # a function under torch.compile computes what the function does
        return Node(b"compiled", (compiled,))
    captured = [_content(cell) for cell in function.__closure__ or ()]
    if library := library_of(module):
        local = "<" in code.co_qualname  # made by a call, so its defaults can be the user's
        given = (function.__defaults__, function.__kwdefaults__) if local else ()
        registry = getattr(function, "registry", None)  # of functools.singledispatch
        if isinstance(registry, Mapping):
            captured = [dict(registry)]
        label = ("library", module, code.co_qualname, library, len(captured))
        return Node(repr(label).encode(), [*captured, *given, wrapped])
    globals_read = reached(code, function.__globals__)
    label = ("function", len(captured), [name for name, _ in globals_read])
    given = (function.__defaults__, function.__kwdefaults__, attributes)
    return Node(repr(label).encode(), [code, *captured, *given, *(value for _, value in globals_read)])


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return types.CellType  # an empty cell: a variable not yet set


def _class(cls: type) -> Node | bytes:
    if library := library_of(_home(cls)):
        own = [base for base in cls.__mro__[1:] if not library_of(_home(base))]
        return Node(repr(("library class", _home(cls), cls.__qualname__, library)).encode(), own)
    members = {name: value for name, value in sorted(vars(cls).items()) if _decides(name, value)}
    label = ("class", cls.__qualname__, len(cls.__bases__), list(members))
    return Node(repr(label).encode(), [*cls.__bases__, type(cls), *members.values()])


def _home(cls: type) -> str:
    module = cls.__module__
    return module if isinstance(module, str) else ""  # some compiled metaclasses answer with a descriptor


def _decides(name: str, value: Any) -> bool:
    if name in _MACHINERY or isinstance(value, types.GetSetDescriptorType):
        return False
    if not (name.startswith("__") and name.endswith("__")):
        return True
    if name.startswith("__pydantic_") or name in _OF_PYDANTIC:
        return name in _OF_PYDANTIC
    return callable(value) or isinstance(value, (staticmethod, classmethod, property))


def _module(module: types.ModuleType) -> Node | bytes:
    if library := library_of(module.__name__):
        return leaf("module", module.__name__, library)
    pairs = [item for name, value in vars(module).items() if not name.startswith("__") for item in (name, value)]
    return Node(b"module", pairs, unordered=2)


def _builtin(value: Any) -> Node | bytes:
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        module = value.__module__ or ""
        return leaf("builtin", module, value.__qualname__, library_of(module) if module else None)
    return Node(repr(("builtin method", value.__qualname__)).encode(), (owner,))
