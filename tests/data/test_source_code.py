"""What is left of a source file runs as before, and holds nothing that was written for people."""

import ast
import io
import tokenize
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontogeny.data.source_code import UNREADABLE, decode_source, split_source
from ontogeny.data.standard_library import stdlib_sources

TRICKY = [
    'url = "http://x/#anchor"  # the comment\n',
    "a = '''line # one\n\n\n# line two'''\n",
    "x = 3\nb = f\"{x:#x} # {x!r:>{x}}\" f'#'\n",
    'c = ("one"  # first\n     # between\n     "two # three")\n',
    'def f():\n    """Only a docstring."""\n',
    'def f(): "On one line"\n',
    'class C:\n    """Doc."""  # and a comment\n\n    "a string below it"\n\n    x = 1\n    "about x"\n',
    'if 1:\n    "not a docstring"\nelse:\n    ("in",) ; "two"; y = 1\n',
    'try:\n    "s"\nexcept ValueError:\n    "t"  # why\nfinally:\n    "u"\n',
    'match 1:\n    case 1:\n        "one"\n    case _:\n        r"raw # string"\n',
    '("in "  # a\n # b\n "parentheses")\n',
    '"""größe"""; größe = "ü # ß"  # ä\n',
    '"first"; """sec\nond"""; tail = """\n\n\nkept\n"""\n',
    "async def g():\n\t'''Tabs.'''\n\t# comment\n\treturn 1  # trailing\n",
    'long = 1 + \\\n    2  # after a continuation\n"string" \\\n\nlast = 1\n',
    "@property\n# between decorators\ndef p(self):\n    # nothing but a comment before\n    pass\n",
    "b'bytes are no docstring'\n",
    "\x0c# a form feed\n'''doc\n\x0c'''\n",
]


def essence(source: str) -> str:
    """The syntax tree without bare strings and without `pass`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, field, None), list):
                setattr(node, field, [statement for statement in block if not is_nothing(statement)])
    return ast.dump(tree)


def is_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return isinstance(statement.value.value, str)
    return isinstance(statement, ast.Pass)


def assert_stripped(source: str) -> None:
    code, docstrings = split_source(source)
    assert essence(code) == essence(source)
    tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    assert not [token for token in tokens if token.type == tokenize.COMMENT]
    again, nothing = split_source(code)
    assert (again, nothing) == (code, [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = [node for node in ast.walk(ast.parse(source)) if hasattr(node, "body") and hasattr(node, "lineno")]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    expected = [ast.get_docstring(node) for node in [ast.parse(source), *nodes] if isinstance(node, documented)]
    assert sorted(docstrings) == sorted(docstring for docstring in expected if docstring)


@pytest.mark.parametrize("source", TRICKY)
def test_tricky_source_keeps_its_meaning(source: str) -> None:
    assert_stripped(source)


@given(st.lists(st.tuples(st.sampled_from(TRICKY[:-1]), st.booleans()), min_size=1, max_size=5))
def test_tricky_source_in_any_order_and_depth_keeps_its_meaning(parts: list[tuple[str, bool]]) -> None:
    def indented(source: str) -> str:
        return "class Outer:\n  if 1:\n" + "".join(f"    {line}" for line in source.splitlines(keepends=True))

    assert_stripped("".join(indented(source) if nested else source for source, nested in parts))


@pytest.mark.slow
def test_a_sweep_over_the_standard_library() -> None:
    sources, _ = stdlib_sources()
    documents = sources["source"][::18]
    assert len(documents) >= 30
    for document in documents:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert_stripped(document.text)


def test_formatting_stays() -> None:
    source = '''#!/usr/bin/env python
"""Module."""

import os  # the system


# About f,
# at length.

def f(x):
    """Doc."""

    # first
    y = {"a":1,   'b' : x}

    # then

    return y   # done


class Empty:
    """Doc."""
'''
    expected = """import os


def f(x):
    y = {"a":1,   'b' : x}

    return y


class Empty:
    pass
"""
    code, docstrings = split_source(source)
    assert code == expected
    assert docstrings == ["Module.", "Doc.", "Doc."]


def test_a_file_of_docstring_and_comments_leaves_nothing() -> None:
    assert split_source('"""Doc."""\n# comment\n') == ("", ["Doc."])


def test_encodings_and_line_ends() -> None:
    assert decode_source("# coding: latin-1\r\nx = 'é'\r\n".encode("latin-1")) == "# coding: latin-1\nx = 'é'\n"
    assert decode_source(b"\xef\xbb\xbfx = 1\n") == "x = 1\n"


@pytest.mark.parametrize("raw", [b"# coding: no-such\n", b"x = '\xff'\n"])
def test_undecodable_source_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UNREADABLE):
        decode_source(raw)


@pytest.mark.parametrize("source", ["print 'two'\n", "def f(:\n", "x = '\0'\n", "(" * 5000 + ")" * 5000])
def test_unparsable_source_is_unreadable(source: str) -> None:
    with pytest.raises(UNREADABLE):
        split_source(source)
