"""One hash of every input of a computation: the key of a cached artefact."""

import copyreg
import dataclasses
import enum
import io
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from ontogeny.core.definitions import describe_definition
from ontogeny.core.digests import Node, Uncovered, combined, graph_digest, leaf
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.library_values import describe_library_value
from ontogeny.core.origins import library_of


def fingerprint(*values: Any) -> str:
    """Hexadecimal SHA-256 of `values`: equal inputs give equal keys in any process on any machine.

    Covers numbers, strings, containers, tensors, arrays, tables, map-style datasets (by their items), modules (class,
    weights, settings; not hooks), pydantic models, dataclasses, and anything else that pickle can reduce. For the
    user's functions and classes it covers the compiled code and everything the code reaches: globals, helpers,
    constants, base classes, captured variables, defaults. Comments, docstrings, line numbers and paths do not count.
    Libraries count by name and version, and ontogeny's own code by `ontogeny.__version__`.

    What code finds only at run time is not covered: names looked up by string, files it reads, attributes it sets on
        modules. Compiled code differs between versions of Python, and with it the keys of the user's functions.

    Raises:
        InvalidArgument: for an object without stable content, such as an open file or an iterator.
    """
    try:
        return graph_digest(values, _Describer().describe).hex()
    except Uncovered as uncovered:
        trail = [_name(value) for value in uncovered.trail if isinstance(value, (type, types.FunctionType))]
        raise InvalidArgument(
            "fingerprint",
            expected="values with stable content",
            found=uncovered.found + (f", reached by {' → '.join(trail)}" if trail else ""),
            instead="tensors, plain containers, dataclasses or functions, "
            "with open files, locks and iterators made inside the function that uses them",
        ) from uncovered


class _Describer:
    def __init__(self) -> None:
        self.datasets: set[int] = set()  # whose items are being read

    def describe(self, value: Any) -> bytes | Node:
        kind = type(value)
        if kind in _ATOMS:
            return combined(f"{kind.__name__}:".encode() + _text(value))
        if kind in (list, tuple) and set(map(type, value)) <= _SHORT:  # lists of numbers at once
            return leaf(kind.__name__, *map(_short, value))
        if kind in _CONTAINERS:
            return _container(kind.__name__.encode(), value)
        if kind is Node:  # part of another node
            return value
        if kind is weakref.ReferenceType:  # as recurrent modules have to their own weights, which are counted elsewhere
            return leaf("weak reference")
        for describe in (describe_library_value, describe_definition):
            if (described := describe(value)) is not None:
                return described
        match value:
            case enum.Enum():
                return Node(b"member", (kind, value.name, value.value))
            case PurePath():
                return leaf("path", kind.__name__, str(value))
            case bytearray() | memoryview():
                return combined(b"buffer:" + bytes(value))
            case set() | frozenset() | list() | tuple() | Mapping():
                return Node(b"subclass", (kind, _container(b"content", value)))
            case io.IOBase():
                raise Uncovered("an open file")
            case Iterator():
                raise Uncovered(f"an iterator of type {_name(kind)}, which reading it would exhaust")
        if (content := getattr(kind, "__fingerprint__", None)) is not None:  # a class of ours that defines what counts
            return Node(b"content", (kind, *content(value)))
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return Node(b"dataclass", (kind, fields))
        if hasattr(kind, "__getitem__") and hasattr(kind, "__len__"):
            items = self._items(value)
            if items is not None:
                return combined(b"items " + _name(kind).encode(), items)
        return _taken_apart(value)

    def _items(self, dataset: Any) -> list[bytes] | None:
        """Digests of a map-style dataset's items, with one in memory at a time; None for anything else."""
        if id(dataset) in self.datasets:
            raise Uncovered(f"a dataset of type {_name(type(dataset))} whose items hold the dataset")
        self.datasets.add(id(dataset))
        try:
            return [graph_digest(dataset[index], self.describe) for index in range(len(dataset))]
        except (KeyError, IndexError, TypeError):
            return None
        finally:
            self.datasets.remove(id(dataset))


_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
_SHORT = {type(None), bool, int, float, str}
_LARGE = 10**4000  # `repr` refuses longer numbers
_CONTAINERS = (list, tuple, dict, set, frozenset)


def _text(value: Any) -> bytes:
    match value:
        case bytes():
            return value
        case str():
            return value.encode("utf-8", "surrogatepass")
        case int():
            return hex(value).encode()
        case _:
            return repr(value).encode()


def _short(value: Any) -> Any:
    return value if type(value) is not int or -_LARGE < value < _LARGE else hex(value).encode()


def _container(label: bytes, value: Any) -> Node:
    if isinstance(value, Mapping):
        return Node(label, [part for item in value.items() for part in item], unordered=2)
    return Node(label, list(value), unordered=1 if isinstance(value, (set, frozenset)) else 0)


def _taken_apart(value: Any) -> Node:
    """The call and the state from which pickle would rebuild `value`."""
    kind = type(value)
    reduce = copyreg.dispatch_table.get(kind)
    try:
        parts: Any = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception as error:  # any error of an object asked for its content
        if isinstance(value, Iterable):
            return Node(b"iterable", (kind, list(value)))
        raise Uncovered(f"an object of type {_name(kind)}") from error
    if kind is object:
        raise Uncovered("an object of type object")
    if isinstance(parts, str):  # a name in the object's module
        module = getattr(value, "__module__", None) or kind.__module__
        return Node(b"global", (module, parts, library_of(module)))
    make, arguments, state, items, pairs = (*parts, *[None] * 5)[:5]
    listed, mapped = list(items or ()), [part for pair in pairs or () for part in pair]
    return Node(b"object", (make, arguments, state, listed, Node(b"pairs", mapped, unordered=2)))


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}".removeprefix("builtins.")
