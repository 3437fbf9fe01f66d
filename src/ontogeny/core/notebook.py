"""Tables that notebooks show in place of a value's text."""

import html
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """An HTML table in the notebook's own style. All text is escaped.

    Args:
        head: names of the columns; none for a table of facts, whose first column then names them.
        rows: cells.
        caption: what stands above.
    """
    titles = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    top = f"<thead><tr>{titles}</tr></thead>" if head else ""
    first = "td" if head else "th"
    body = "".join(_row([str(cell) for cell in row], first) for row in rows)
    said = f"<p><strong>{html.escape(caption)}</strong></p>" if caption else ""
    return f"{said}<table>{top}<tbody>{body}</tbody></table>"


def _row(cells: Sequence[str], first: str) -> str:
    tags = [first] + ["td"] * (len(cells) - 1)
    inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for tag, cell in zip(tags, cells, strict=True))
    return f"<tr>{inner}</tr>"
