"""The default `Progress`: bars in a terminal, plain lines if the output is a file."""

import time

import rich
from rich.console import Console

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress, Silent
from ontogeny.terminal.display import Bars, Clock, Display, Lines, Pace


class TerminalProgress:
    """A `WeightedProgress` that shows the time elapsed and the time left of every task.

    In a terminal or a notebook each task is a bar. If the output is a file, such as the log of a batch job, it is a
    plain line at each quarter and every ten seconds, for example `measuring     12 of 30  step 400 L0H1   2 min gone, 3
    min left`.

    Args:
        console: where to write; default rich's, which writes to standard output.
        clock: seconds from any origin.
    """

    def __init__(self, console: Console | None = None, clock: Clock = time.monotonic) -> None:
        console = console or rich.get_console()
        animated = console.is_interactive or console.is_jupyter
        self._display: Display = Bars(console) if animated else Lines(console, clock)
        self._clock = clock
        self._paces: dict[str, Pace] = {}

    def start(self, task: str, total: int, done: int = 0) -> None:
        if task in self._paces:
            self.finish(task)
        self._paces[task] = Pace(task, total, done, self._clock)
        self._display.begin(self._paces[task])

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        self._paces[task].advance(amount, note)
        self._display.move(self._paces[task])

    def weigh(self, task: str, share: float) -> None:
        self._paces[task].weigh(share)
        self._display.move(self._paces[task])

    def finish(self, task: str) -> None:
        self._display.end(self._paces.pop(task))


def as_progress(progress: Progress | bool) -> Progress:
    """Interpret a caller's `progress`: True is a bar in the terminal, False is silence."""
    if progress is True:
        return TerminalProgress()
    if progress is False:
        return Silent()
    if not isinstance(progress, Progress):
        raise InvalidArgument("progress", expected="True, False or a Progress", found=repr(progress), instead="True")
    return progress
