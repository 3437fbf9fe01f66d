"""A page: its title, its verdict and its panels."""

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports.blocks import Choice, Figure, Panel, Sentence, addresses

OWN_IDS = ("content", "theme", "command", "copy", "reproduce")  # that the template gives to its own elements
_ADDRESS = re.compile(r"[A-Za-z][\w-]*")


@dataclass(frozen=True)
class Page:
    """The content of a page.

    Args:
        title: heading of the page.
        verdict: what a reader should know first; each sentence links to its panel.
        facts: what was run, by name: model, data, seeds, versions.
        panels: from top to bottom; those without blocks are omitted.
        command: the command that makes this page again.
        summary: what happened, in one sentence below the title.

    Raises:
        InvalidArgument: for panel ids or figure names that are not valid addresses or occur twice.
    """

    title: str
    verdict: Sequence[Sentence] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    panels: Sequence[Panel] = ()
    command: str = ""
    summary: str = ""

    def _repr_html_(self) -> str:
        """The whole page in a frame, as it will look when it is written."""
        from ontogeny.reports.rendering import render

        frame = '<iframe style="width:100%;height:48em;border:1px solid #8888" srcdoc="{}"></iframe>'
        return frame.format(html.escape(render(self), quote=True))

    def __post_init__(self) -> None:
        _require_addresses(addresses(self.panels))
        blocks = [(panel.id, block) for panel in self.panels for block in panel.blocks]
        for panel, block in blocks:
            if isinstance(block, Choice) and not block.figures:
                expected = "at least one figure to choose"
                raise InvalidArgument("figures", expected=expected, found=f"none, in the panel {panel!r}")
            if isinstance(block, Figure | Choice) and not block.alt.strip():
                expected = "a description of the figure, for those who cannot see it"
                raise InvalidArgument("alt", expected=expected, found=f"none, in the panel {panel!r}")


def insert_after(panels: Sequence[Panel], after: str, new: Sequence[Panel]) -> list[Panel]:
    """Insert panels after the one with this id, which may be one omitted for lack of blocks."""
    ids = [panel.id for panel in panels]
    if after not in ids:
        raise InvalidArgument("after", expected=f"the id of one of the panels ({', '.join(ids)})", found=repr(after))
    at = ids.index(after) + 1
    return [*panels[:at], *new, *panels[at:]]


def _require_addresses(ids: Sequence[str]) -> None:
    """Refuse names that cannot follow `#` in an address, occur twice, or belong to the page itself."""
    invalid = [name for name in ids if not _ADDRESS.fullmatch(name)]
    if invalid:
        expected = "ids and names of letters, digits, - and _ that begin with a letter"
        raise InvalidArgument("panels", expected=expected, found=", ".join(map(repr, invalid)))
    twice = [name for name, times in Counter([*OWN_IDS, *ids]).items() if times > 1]
    if twice:
        expected = f"ids and names that differ from each other and from the page's own ({', '.join(OWN_IDS)})"
        raise InvalidArgument("panels", expected=expected, found=f"{', '.join(map(repr, twice))} more than once")
