"""What compiled code does and which names it reads, independent of where its source is."""

import dis
import importlib
import importlib.util
import types
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from ontogeny.core.digests import Node
from ontogeny.core.origins import library_of

# What the compiler writes into a class body about its source.
_OF_THE_TEXT = ("__doc__", "__firstlineno__", "__static_attributes__")
_PADDING = ("CACHE", "EXTENDED_ARG", "NOP")
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_JUMPS = {*dis.hasjrel, *dis.hasjabs}
_NAMED = {*dis.hasname, *dis.haslocal, *dis.hasfree, *dis.hascompare}
_HAS_DOCSTRING = 0x4000000  # a flag of Python 3.13


def describe_code(code: types.CodeType) -> Node:
    """The instructions in order, with their constants and names, but without line, path, docstring or own name."""
    instructions = _instructions(code)
    offsets = [instruction.offset for instruction in instructions]
    steps, constants = [], []
    for instruction in instructions:
        if instruction.opcode in dis.hasconst:
            operand = "constant"
            constants.append(instruction.argval)
        elif instruction.opcode in _JUMPS:
            operand = bisect_left(offsets, instruction.argval)  # counted in instructions, without padding
        elif instruction.opcode in _NAMED:
            operand = instruction.argrepr
        else:
            operand = instruction.arg
        steps.append((instruction.opname, operand))
    bytecode: Any = dis.Bytecode(code)
    handlers = [
        (*(bisect_left(offsets, offset) for offset in (entry.start, entry.end, entry.target)), entry.depth, entry.lasti)
        for entry in bytecode.exception_entries
    ]
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_HAS_DOCSTRING)
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    label = ("code", counts, parameters, code.co_freevars, code.co_cellvars, handlers, steps)
    return Node(repr(label).encode(), constants)


def reached(code: types.CodeType, namespace: dict[str, Any]) -> list[tuple[str, Any]]:
    """The globals that `code` reads, by name, and what it imports when it runs.

    For a module of the user's these are the attributes that the code names, or the whole module if it names none.
    Builtins and undefined names are covered by the code itself, which contains them.
    """
    codes = list(_nested(code))
    attributes = {name for part in codes for name in part.co_names}
    found: dict[str, Any] = {}
    for part in codes:
        instructions = _instructions(part)
        for index, instruction in enumerate(instructions):
            name = instruction.argval
            if instruction.opname == "IMPORT_NAME":
                level = instructions[index - 2].argval  # number of dots before the name
                found |= _imported("." * level + name, namespace.get("__package__") or "")
            elif instruction.opname in _GLOBALS and name in namespace and not name.startswith("__"):
                found[name] = namespace[name]
    pairs: dict[str, Any] = {}
    for name, value in found.items():
        pairs |= _members(name, value, attributes, set()) if isinstance(value, types.ModuleType) else {name: value}
    return sorted(pairs.items())


def _instructions(code: types.CodeType) -> list[dis.Instruction]:
    kept: list[dis.Instruction] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_NAME" and instruction.argval in _OF_THE_TEXT:
            kept.pop()  # the constant that is stored
        elif instruction.opname not in _PADDING:
            kept.append(instruction)
    return kept


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """`code`, and the code of the functions, classes and comprehensions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _imported(name: str, package: str) -> dict[str, Any]:
    """The user's module imported by a statement inside a function; libraries are in the code by name."""
    try:
        absolute = importlib.util.resolve_name(name, package)
        return {} if library_of(absolute) else {absolute: importlib.import_module(absolute)}
    except ImportError:
        return {}  # absent, as far as the code is concerned


def _members(name: str, module: types.ModuleType, attributes: set[str], seen: set[int]) -> dict[str, Any]:
    if library_of(module.__name__):
        return {name: module}
    seen.add(id(module))
    found: dict[str, Any] = {}
    for attribute in sorted(attributes):
        value = getattr(module, attribute, None) if not attribute.startswith("__") else None
        if isinstance(value, types.ModuleType):
            if id(value) not in seen:
                found |= _members(f"{name}.{attribute}", value, attributes, seen)
        elif hasattr(module, attribute):
            found[f"{name}.{attribute}"] = value
    return found or {name: module}
