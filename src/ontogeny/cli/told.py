"""What a command tells: lines for people, or with --json one object for programs."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ontogeny.core.protocols import Progress


class Told:
    """The output of one command.

    Args:
        as_json: whether standard output is one JSON object. Everything meant for people then goes to standard error.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def line(self, text: object) -> None:
        """One line for people."""
        typer.echo(str(text), err=self.as_json)

    def table(self, table: Any) -> None:
        """A table of rich, for people only."""
        if not self.as_json:
            from rich.console import Console

            Console().print(table)

    def result(self, **fields: Any) -> None:
        """The result for programs. Numbers that are not finite are null, since JSON has no others."""
        if self.as_json:
            typer.echo(json.dumps(_plain(fields), ensure_ascii=False, allow_nan=False))

    def progress(self) -> "Progress | bool":
        """Where a call reports its progress."""
        if not self.as_json:
            return True
        from rich.console import Console

        from ontogeny.terminal import TerminalProgress

        return TerminalProgress(Console(stderr=True))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
