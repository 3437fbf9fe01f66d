"""Mistakes, the errors that they meet, and what the errors say to write instead, run.

A room lists its mistakes in `test_advice.py`, as source, so that advice which is code runs as the error words it:
`ADVICE` in `right` stands for it. `tests/architecture/test_advice.py` demands a mistake for each place in the package
that gives advice.
"""

import ast
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import ontogeny
from ontogeny.core.errors import InvalidArgument

SOURCE = Path(ontogeny.__file__).parent


@dataclass(frozen=True)
class Mistake:
    """A wrong call, and the right one that its error tells.

    Attributes:
        site: where the package makes the error: file, function, and the number of the error in that function from #2.
        wrong: an expression that meets the error.
        argument: that the error names.
        advice: of what the error says to write instead, the words that are followed.
        right: an expression that works; `ADVICE` in it is replaced by `advice`, and what is False or fails is no help.
    """

    site: str
    wrong: str
    argument: str
    advice: str
    right: str


def mistakes(*rows: tuple[str, str, str, str, str]) -> Any:
    """Parametrizes a test by `mistake`; rows are the five attributes of each."""
    found = [Mistake(*row) for row in rows]
    names = [f"{mistake.site}-{number}" for number, mistake in enumerate(found)]
    return pytest.mark.parametrize("mistake", found, ids=names)


def follow(mistake: Mistake, names: Mapping[str, Any]) -> None:
    """Make the mistake, check what the error says, and do what it says.

    Args:
        mistake: from the room's list.
        names: that its expressions use.
    """
    names = dict(names)
    with _places() as places, pytest.raises(InvalidArgument) as caught:
        eval(mistake.wrong, names)
    error = caught.value
    assert places.get(id(error)) == mistake.site
    assert error.argument == mistake.argument
    assert error.expected
    assert error.found
    assert mistake.advice in error.instead
    assert "\n" not in str(error)
    assert eval(mistake.right.replace("ADVICE", mistake.advice), names) is not False


@cache
def sites() -> dict[str, tuple[Path, range]]:
    """Every place in the package that makes an error with advice, by its name: its file and lines."""
    found: dict[str, tuple[Path, range]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for function, call in _advised(ast.parse(path.read_text(encoding="utf-8"))):
            name, number = f"{path.relative_to(SOURCE).as_posix()}:{function}", 2
            if name in found:
                while f"{name}#{number}" in found:
                    number += 1
                name = f"{name}#{number}"
            found[name] = path, range(call.lineno, (call.end_lineno or call.lineno) + 1)
    return found


def _advised(node: ast.AST, inside: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and any(keyword.arg == "instead" for keyword in child.keywords):
            yield ".".join(inside), child
        named = (ast.FunctionDef, ast.ClassDef)
        yield from _advised(child, (*inside, child.name) if isinstance(child, named) else inside)


@contextmanager
def _places() -> Generator[dict[int, str]]:
    """Of each error that is made meanwhile, by its identity, the site."""
    made: dict[int, str] = {}
    known = sites()
    original = InvalidArgument.__init__

    def noted(self: InvalidArgument, *args: Any, **keywords: Any) -> None:
        frame = sys._getframe(1)
        path = Path(frame.f_code.co_filename)
        made[id(self)] = next(
            (name for name, (file, lines) in known.items() if file == path and frame.f_lineno in lines), ""
        )
        original(self, *args, **keywords)

    with patch.object(InvalidArgument, "__init__", noted):
        yield made
