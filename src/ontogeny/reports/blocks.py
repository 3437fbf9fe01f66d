"""The elements of a page: panels of blocks, as frozen values that know nothing of studies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, NamedTuple

import plotly.graph_objects as go
import xarray as xr

Tone = Literal["plain", "good", "caution", "poor", "blue", "green"]


@dataclass(frozen=True)
class Tag:
    """A word or two on a coloured background: an outcome, a status, or a colour key of a figure.

    Args:
        text: shown literally, without markup.
        tone: the meaning of the colour.
        quiet: whether a `good` tag in a long table has no background, so that the others stand out.
    """

    text: str
    tone: Tone = "plain"
    quiet: bool = False


# The markup of prose is `**bold**` and `[words](#panel)` or `[words](https://…)`; everything else is shown literally.
# Words from data pass through `literal`, so that they contain no markup. No string ever becomes HTML.
Text = str | Tag | Sequence[str | Tag]


@dataclass(frozen=True)
class Heading:
    """A heading inside a panel."""

    text: str


@dataclass(frozen=True)
class Prose:
    """Sentences, one paragraph.

    Args:
        text: a string in the markup of `Text`, or strings and tags that follow each other.
        role: `caption` explains the block above it; `note` says what the reader must know about these data; `lead`
            opens a panel.
    """

    text: Text
    role: Literal["caption", "note", "lead"] = "note"


@dataclass(frozen=True)
class Figure:
    """A figure with its description and caption. The page offers it as an image, and its data as CSV.

    Args:
        figure: any plotly figure; it is shown in the style of the page.
        alt: what the figure shows, for those who cannot see it.
        caption: what to look for, below the figure.
        name: of the files that are saved from it, unique on its page; by default that of its panel, numbered.
        height: pixels reserved until it is drawn, and its height if the figure sets none.
    """

    figure: go.Figure
    alt: str
    caption: Text = ""
    name: str = ""
    height: int = 320


@dataclass(frozen=True)
class Choice:
    """Several figures in one place; the reader chooses one.

    Args:
        figures: button label -> figure. A single figure is shown without buttons.
        alt, caption, name, height: as for `Figure`.
        of: what is chosen, before the buttons.
        opened: which one is shown first.
    """

    figures: Mapping[str, go.Figure]
    alt: str
    caption: Text = ""
    name: str = ""
    height: int = 320
    of: str = "Checkpoint"
    opened: Literal["first", "last"] = "last"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: its heading.
        kind: `number` is right-aligned, `value` does not wrap, `small` is a remark, `wide` contains sentences.
        head: whether its cells name the rows.
    """

    title: str
    kind: Literal["text", "number", "value", "small", "wide"] = "text"
    head: bool = False


@dataclass(frozen=True)
class Entry:
    """A table cell with more than a word.

    Args:
        text: its first line.
        details: smaller lines below it.
        source: a last line, fainter.
        anchor: the address of this row on the page.
        dot: colour of a dot before it, as `#rrggbb`.
    """

    text: str | Tag
    details: Sequence[str] = ()
    source: str = ""
    anchor: str = ""
    dot: str = ""


Cell = str | float | Tag | Entry


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    Args:
        columns: a bare title is a column of text, or of numbers if all its cells are numbers. The first column names
            the rows.
        rows: one cell per column; fractions are shown to three significant digits.
        caption: below the table.
        label: a description of the table, for those who cannot see it.
        tall: whether it scrolls in its own window.
    """

    columns: Sequence[str | Column]
    rows: Sequence[Sequence[Cell]]
    caption: Text = ""
    label: str = ""
    tall: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values side by side.

    Args:
        values: by name.
        symbols: name -> symbol; facts with a symbol get their own boxes, in large type.
        notes: name -> remark below its value.
    """

    values: Mapping[str, str]
    symbols: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenView:
    """Attention over the tokens of a snippet. The reader moves through it with the pointer or the arrow keys.

    Args:
        snippet: `attention` (component, query, key) with weights from 0 to 1, `token_loss` (query) where recorded,
            coordinates `component` and `token` (query).
        caption: below the view.
    """

    snippet: xr.Dataset
    caption: Text = ""


Block = Figure | Choice | Table | Prose | Heading | Facts | TokenView


@dataclass(frozen=True)
class Panel:
    """A section of a page. A panel without blocks is omitted.

    Args:
        id: its address on the page (`#id`): a letter, then letters, digits, `-` or `_`.
        title: its heading.
        blocks: what it shows, from top to bottom.
        short: its name in the table of contents, if the title is too long.
    """

    id: str
    title: str
    blocks: Sequence[Block]
    short: str = ""


class Sentence(NamedTuple):
    """A sentence of the verdict, its grade, and the panel that it refers to."""

    grade: Literal["good", "caution", "poor", "plain"]
    figure: str
    text: str
    panel: str


def named_blocks(panel: Panel) -> list[tuple[str, Block]]:
    """The blocks of a panel, with names for figures: the panel's own name, numbered from the second on."""
    numbers, named = count(1), []
    for block in panel.blocks:
        name = getattr(block, "name", "")
        if isinstance(block, Figure | Choice | TokenView) and not name:
            number = next(numbers)
            name = panel.id if number == 1 else f"{panel.id}-{number}"
        named.append((name, block))
    return named


def addresses(panels: Sequence[Panel]) -> list[str]:
    """Every id of the elements of these panels on a page."""
    blocks = [block for panel in panels for block in named_blocks(panel)]
    rows = [row for _, block in blocks if isinstance(block, Table) for row in block.rows]
    return [
        *(panel.id for panel in panels),
        *(f"data-{name}" for name, _ in blocks if name),
        *(cell.anchor for row in rows for cell in row if isinstance(cell, Entry) and cell.anchor),
    ]
