"""Python source taken apart: the code that runs, and the docstrings that people read."""

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator

UNREADABLE = (SyntaxError, ValueError, tokenize.TokenError, RecursionError)
"""What reading a file that is not Python source of this interpreter's version raises."""


def decode_source(raw: bytes) -> str:
    """Text of a source file by its declared encoding, line ends as newlines. Raises one of `UNREADABLE`."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    return io.TextIOWrapper(io.BytesIO(raw), encoding).read()


def split_source(source: str) -> tuple[str, list[str]]:
    """The code of one module without docstrings and comments, and its docstrings.

    Lines keep their formatting. Removed are comments and every statement that is a bare string, for a string that
    stands below a docstring would become one. A body that held nothing else becomes `pass`. Blank lines on both sides
    of something removed are not added up.

    Args:
        source: text of a Python module, newlines as line ends.

    Returns:
        The code (empty if nothing runs), which parses to the same syntax tree up to bare strings and `pass`; and the
        docstrings of the module, its classes and its functions in the order of the text, indentation removed.

    Raises:
        One of `UNREADABLE` if this interpreter cannot parse the source.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's strings are not the reader's business
        tree = ast.parse(source)
    lines: list[str | None] = [*source.split("\n")]
    _remove_comments(source, lines)
    strings, docstrings = [], []
    for owner, block in _blocks(tree):
        bare = [statement for statement in block if _is_bare_string(statement)]
        lone = len(bare) == len(block) and owner is not tree
        strings += [(statement, lone and statement is bare[0]) for statement in bare]
        if bare[:1] == block[:1] and isinstance(
            owner, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            docstrings.append((owner, ast.get_docstring(owner)))
    # From the end of the text to its start, so that lines and columns before the removed string stay what they were.
    for statement, needs_pass in sorted(strings, key=lambda item: _position(item[0]), reverse=True):
        _remove_string(statement, lines, needs_pass)
    docstrings.sort(key=lambda item: _position(item[0]))
    return _joined(lines), [docstring for _, docstring in docstrings if docstring]


def _blocks(tree: ast.Module) -> Iterator[tuple[ast.AST, list[ast.stmt]]]:
    """Every list of statements with the node that owns it; expressions are not entered."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        for field in ("body", "orelse", "finalbody"):
            if block := getattr(node, field, None):
                yield node, block
                pending += block
        pending += [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]


def _is_bare_string(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _position(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _remove_comments(source: str, lines: list[str | None]) -> None:
    """Cut comments off their lines; a line that held nothing else becomes None."""
    if "#" not in source:  # tokenising takes longer than all the rest
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            code = (lines[row - 1] or "")[:column].rstrip()
            lines[row - 1] = code or None


def _remove_string(statement: ast.stmt, lines: list[str | None], needs_pass: bool) -> None:
    """Replace a statement's lines by None, or by `pass` where the syntax or its neighbours on the line need one."""
    first, last = statement.lineno - 1, (statement.end_lineno or statement.lineno) - 1
    # The syntax tree counts columns in bytes of UTF-8.
    before = (lines[first] or "").encode()[: statement.col_offset].decode()
    after = (lines[last] or "").encode()[statement.end_col_offset :].decode()
    alone = not before.strip() and not after.strip()
    lines[first : last + 1] = [None if alone and not needs_pass else f"{before}pass{after}"]


def _joined(lines: list[str | None]) -> str:
    """The lines that are left; around a removed one stand as many blank lines as the larger side had."""
    kept: list[str] = []
    spare = 0
    for line in lines:
        if line is None:
            blanks = 0
            while blanks < len(kept) and not kept[-1 - blanks].strip():
                blanks += 1
            below_header = blanks == len(kept) or (blanks == 0 and kept[-1].endswith(":"))
            spare = len(lines) if below_header else blanks
        elif spare and not line.strip():
            spare -= 1
        else:
            spare = 0
            kept.append(line)
    code = "\n".join(kept).strip("\n")
    return f"{code}\n" if code.strip() else ""
