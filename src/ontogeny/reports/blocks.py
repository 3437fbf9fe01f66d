"""What a page is made of: panels of blocks, each a frozen value that knows no study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, NamedTuple

import plotly.graph_objects as go
import xarray as xr

Tone = Literal["plain", "good", "caution", "poor", "blue", "green"]


@dataclass(frozen=True)
class Tag:
    """A word or two on a coloured ground: an outcome, a status, a key to the colours of a figure.

    Args:
        text: shown as it is, without markup.
        tone: what the colour says.
        quiet: whether a `good` tag in a long table has no ground, so that the others stand out.
    """

    text: str
    tone: Tone = "plain"
    quiet: bool = False


# Prose is written in `**bold**` and `[words](#panel)` or `[words](https://…)`; all else is shown as it stands. Words
# that come from data go through `literal`, so that they hold no markup. No string ever becomes HTML.
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
        role: `caption` explains what stands above it; `note` says what the reader has to know of these data; `lead`
            opens a panel.
    """

    text: Text
    role: Literal["caption", "note", "lead"] = "note"


@dataclass(frozen=True)
class Figure:
    """A figure with its description and its caption. The page offers it as a picture and its data as CSV.

    Args:
        figure: any figure of plotly; it is shown in the style of the page.
        alt: what the figure shows, for those who cannot see it.
        caption: what to look for, below the figure.
        name: of the files that are saved from it, unique on its page; by default that of its panel, numbered.
        height: pixels kept free for it until it is drawn, and its own if it says none.
    """

    figure: go.Figure
    alt: str
    caption: Text = ""
    name: str = ""
    height: int = 320


@dataclass(frozen=True)
class Choice:
    """Several figures in one place, of which the reader chooses one.

    Args:
        figures: by the label of their button. A single one is shown without buttons.
        alt, caption, name, height: as of a `Figure`.
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
        kind: `number` stands to the right, `value` is not broken, `small` is a remark, `wide` holds sentences.
        head: whether its cells name the rows.
    """

    title: str
    kind: Literal["text", "number", "value", "small", "wide"] = "text"
    head: bool = False


@dataclass(frozen=True)
class Entry:
    """A cell of more than a word.

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
        columns: a title alone is a column of text, or of numbers if all its cells are numbers; the first one names
            the rows.
        rows: one cell a column; fractions are written to three significant digits.
        caption: below the table.
        label: what the table holds, for those who cannot see it.
        tall: whether it scrolls in a window of its own.
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
        symbols: of a name, its symbol; facts that have one stand in boxes of their own, in large type.
        notes: a remark below the value of that name.
    """

    values: Mapping[str, str]
    symbols: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenView:
    """Attention over the tokens of a snippet, which the reader walks through with the pointer or the arrow keys.

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
    """A section of a page. Without blocks it is left out.

    Args:
        id: its address on the page (`#id`): a letter, then letters, digits, `-` or `_`.
        title: its heading.
        blocks: what it shows, from top to bottom.
        short: its name in the list of contents, if the title is too long for it.
    """

    id: str
    title: str
    blocks: Sequence[Block]
    short: str = ""


class Sentence(NamedTuple):
    """A sentence of the verdict, how good its news are, and the panel that it is about."""

    grade: Literal["good", "caution", "poor", "plain"]
    figure: str
    text: str
    panel: str


def named_blocks(panel: Panel) -> list[tuple[str, Block]]:
    """The blocks of a panel with the names of those that have one: the panel's own, numbered from the second on."""
    numbers, named = count(1), []
    for block in panel.blocks:
        name = getattr(block, "name", "")
        if isinstance(block, Figure | Choice | TokenView) and not name:
            number = next(numbers)
            name = panel.id if number == 1 else f"{panel.id}-{number}"
        named.append((name, block))
    return named


def addresses(panels: Sequence[Panel]) -> list[str]:
    """Every id that the elements of these panels have on a page."""
    blocks = [block for panel in panels for block in named_blocks(panel)]
    rows = [row for _, block in blocks if isinstance(block, Table) for row in block.rows]
    return [
        *(panel.id for panel in panels),
        *(f"data-{name}" for name, _ in blocks if name),
        *(cell.anchor for row in rows for cell in row if isinstance(cell, Entry) and cell.anchor),
    ]
