"""Rendering a page as one HTML file that contains its data, figures, style and scripts, and opens offline."""

import json
import os
import re
import secrets
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports.attention import attention_view
from ontogeny.reports.blocks import (
    Block,
    Cell,
    Choice,
    Column,
    Entry,
    Figure,
    Table,
    Tag,
    Text,
    TokenView,
    named_blocks,
)
from ontogeny.reports.page import Page
from ontogeny.reports.style import FONT, TEMPLATE
from ontogeny.reports.wording import number

_ADDRESSED = re.compile(r'((?:href|src)="https?)://')
_MARKS = re.compile(
    r"\\(?P<literal>[\\*\[\]])"
    r"|\*\*(?P<bold>(?:\\.|[^\\])+?)\*\*"
    r"|\[(?P<words>(?:\\.|[^\\\[\]])+)\]\((?P<to>#[\w-]+|https?://[^\s()<>\"]+)\)",
    re.DOTALL,
)


def write_page(path: str | Path, page: Page) -> Path:
    """Write the page as one self-contained HTML file and return its path.

    The file is replaced atomically: a reader sees the complete old file or the complete new one.

    Args:
        path: of the file; parent folders are created.
        page: what to show.
    """
    path = Path(path)
    place = Path(os.path.realpath(path))  # a link stays a link
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    html = render(page)
    try:
        temporary.write_text(html, encoding="utf-8")
        os.replace(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)
    return path


@cache
def _environment() -> Environment:
    """Cached, because it keeps compiled templates."""
    made = Environment(
        loader=PackageLoader("ontogeny.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters |= {"marked": marked, "cell": _cell}
    return made


def render(page: Page) -> str:
    """The HTML of a page."""
    assets = files("ontogeny.reports") / "templates"
    names = ("page.css", "controls.js", "figures.js", "saving.js", "tokens.js")
    panels = [
        {"panel": panel, "blocks": [_block(block, name) for name, block in named_blocks(panel)]}
        for panel in page.panels
        if panel.blocks
    ]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            panels=panels,
            ids={panel["panel"].id for panel in panels},
            kinds={block["kind"] for panel in panels for block in panel["blocks"]},
            plotly=Markup(plotly_script()),
            assets={name: Markup((assets / name).read_text(encoding="utf-8")) for name in names},
        )
    )


def marked(text: Text) -> Markup:
    """Prose in HTML: tags, `**bold**` and links as `Text` says, everything else escaped."""
    if isinstance(text, Tag):
        quiet = " quiet" if text.quiet else ""
        return Markup('<span class="tag {}{}">{}</span>').format(text.tone, quiet, text.text)
    if not isinstance(text, str):
        return Markup("").join(marked(piece) for piece in text)
    pieces, at = [], 0
    for found in _MARKS.finditer(text):
        pieces.append(escape(text[at : found.start()]))
        at = found.end()
        if found["literal"] is not None:
            pieces.append(escape(found["literal"]))
        elif found["bold"] is not None:
            pieces.append(Markup("<b>{}</b>").format(marked(found["bold"])))
        else:
            pieces.append(Markup('<a href="{}">{}</a>').format(found["to"], marked(found["words"])))
    return Markup("").join([*pieces, escape(text[at:])])


@cache
def plotly_script() -> str:
    r"""plotly.js without links that read like addresses the page fetches: in a string of JavaScript `\/` is `/`.

    They are map credits, which no figure here uses.
    """
    return _ADDRESSED.sub(r"\1:\\/\\/", get_plotlyjs())


def _block(block: Block, name: str) -> dict[str, Any]:
    """A block for the template: itself, its kind, and its prepared content."""
    found: dict[str, Any] = {"kind": type(block).__name__.lower(), "block": block, "name": name}
    if isinstance(block, Figure):
        return found | {"of": "", "opened": "first", "data": _json([_labelled("", block.figure, block.height)])}
    if isinstance(block, Choice):
        choices = [_labelled(label, figure, block.height) for label, figure in block.figures.items()]
        return found | {"kind": "figure", "of": block.of, "opened": block.opened, "data": _json(choices)}
    if isinstance(block, TokenView):
        return found | {"data": _json(attention_view(block.snippet))}
    if isinstance(block, Table):
        rows = [{"anchor": _anchor(row), "cells": row} for row in block.rows]
        return found | {"columns": _columns(block), "rows": rows}
    return found


def _labelled(label: str, figure: go.Figure, height: int) -> dict[str, Any]:
    """A figure as JSON, in the style of the page."""
    if figure.layout.template.layout.font.family != FONT:
        shown = figure.layout.showlegend
        figure = go.Figure(figure).update_layout(template=TEMPLATE, height=figure.layout.height or height)
        figure.update_layout(showlegend=len(figure.data) > 1 if shown is None else shown)
    return {"label": label, "figure": json.loads(figure.to_json())}


def _columns(table: Table) -> list[Column]:
    """The columns; the kind of bare titles follows from their cells."""
    for row in table.rows:
        if len(row) != len(table.columns):
            expected = f"{len(table.columns)} cells in every row, one a column"
            raise InvalidArgument("rows", expected=expected, found=f"{len(row)} in {row!r}")
    columns = []
    for i, column in enumerate(table.columns):
        if isinstance(column, str):
            numeric = bool(table.rows) and all(isinstance(row[i], int | float) for row in table.rows)
            column = Column(column, "number" if numeric else "text", head=i == 0)
        columns.append(column)
    return columns


def _anchor(row: Sequence[Cell]) -> str:
    return next((cell.anchor for cell in row if isinstance(cell, Entry) and cell.anchor), "")


def _cell(cell: Cell) -> Markup:
    """The content of a table cell."""
    if isinstance(cell, Entry):
        lines = [Markup('<span class="detail">{}</span>').format(line) for line in cell.details]
        lines += [Markup('<span class="source">{}</span>').format(cell.source)] if cell.source else []
        dot = Markup('<span class="dot" style="color: {}" aria-hidden="true">●</span> ').format(cell.dot)
        return (dot if cell.dot else Markup("")) + Markup(" ").join([_cell(cell.text), *lines])
    if isinstance(cell, Tag):
        return marked(cell)
    if isinstance(cell, int):
        return escape(f"{cell:,}".replace("-", "−"))
    return escape(cell if isinstance(cell, str) else number(cell))


def _json(value: object) -> Markup:
    """JSON that is safe inside a script element, whatever strings it contains."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
