"""Two displays of tasks: moving bars in a terminal, and plain lines in a file."""

import atexit
import math
import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress

Clock = Callable[[], float]

# Plain lines: one at each quarter, and one after this many seconds without any.
_SILENCE = 10.0
# Quarters that follow faster than this are skipped, so that a one-second loop takes two lines.
_CROWDED = 1.0


def duration(seconds: float) -> str:
    """A time span as people write it: "40 s", "3 min", "2 h 5 min"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class Pace:
    """The progress of a task, the time elapsed and an estimate of the time left.

    The estimate assumes that the remaining work runs as fast as the work done since the start.
    """

    def __init__(self, task: str, total: int, done: int, clock: Clock) -> None:
        self.task, self.total, self.count, self.note = task, total, done, ""
        self.share = self._first = done / total if total else 1.0
        self._clock, self._begun, self._weighted = clock, clock(), False
        self._end: float | None = None

    def advance(self, amount: int, note: str) -> None:
        """Count units, which have equal cost unless `weigh` is called."""
        self.count, self.note = self.count + amount, note
        if not self._weighted and self.total:
            self._move_to(self.count / self.total)

    def weigh(self, share: float) -> None:
        """State the share of the work that is done. From here on units do not affect the time left."""
        self._weighted = True
        self._move_to(share)

    @property
    def gone(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._begun

    @property
    def left(self) -> float | None:
        """Estimated seconds left; None before anything is done."""
        return None if self._end is None else max(self._end - self._clock(), 0.0)

    @property
    def times(self) -> str:
        """Time elapsed and time left, as text."""
        left = "" if self.left is None or self.share >= 1 else f", {duration(self.left)} left"
        return f"{duration(self.gone)} gone{left}"

    def _move_to(self, share: float) -> None:
        self.share = share
        if share > self._first:
            self._end = self._clock() + self.gone * (1 - share) / (share - self._first)


class Display(Protocol):
    """Shows tasks that start, advance and end. One display can show any number of tasks at once."""

    def begin(self, pace: Pace) -> None: ...

    def move(self, pace: Pace) -> None: ...

    def end(self, pace: Pace) -> None: ...


class Bars:
    """One line per task, redrawn in place by rich."""

    def __init__(self, console: Console) -> None:
        self._bars = RichProgress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[pace].count}/{task.fields[pace].total}"),
            TextColumn("{task.fields[pace].note}", markup=False),
            TextColumn("{task.fields[pace].times}"),
            console=console,
        )
        self._drawn: dict[str, TaskID] = {}
        self._running: set[str] = set()

    def begin(self, pace: Pace) -> None:
        if not self._running:
            self._bars.start()
            # A caller's error may skip `end`; the terminal must get its cursor back anyway.
            atexit.register(self._bars.stop)
        if pace.task in self._drawn:  # a task of this name has ended; reuse its line
            self._bars.remove_task(self._drawn[pace.task])
        self._running.add(pace.task)
        self._drawn[pace.task] = self._bars.add_task(pace.task, total=pace.total, completed=pace.count, pace=pace)

    def move(self, pace: Pace) -> None:
        self._bars.update(self._drawn[pace.task], completed=pace.share * pace.total)

    def end(self, pace: Pace) -> None:
        self._running.remove(pace.task)
        if not self._running:
            self._bars.stop()
            atexit.unregister(self._bars.stop)


class Lines:
    """Plain lines for a file: at each quarter of a task, and at least every ten seconds while it advances."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._last: dict[str, tuple[float, int]] = {}

    def begin(self, pace: Pace) -> None:
        self._write(pace)

    def move(self, pace: Pace) -> None:
        when, quarter = self._last[pace.task]
        silent = self._clock() - when
        fuller = _quarter(pace) > quarter and pace.share < 1  # the last line comes from `end`
        if silent >= _SILENCE or (silent >= _CROWDED and fuller):
            self._write(pace)

    def end(self, pace: Pace) -> None:
        self._write(pace)
        self._last.pop(pace.task)

    def _write(self, pace: Pace) -> None:
        self._last[pace.task] = self._clock(), _quarter(pace)
        parts = [f"{pace.task:<12}", f"{pace.count} of {pace.total}", pace.note, f" {pace.times}"]
        line = "  ".join(part for part in parts if part)
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _quarter(pace: Pace) -> int:
    return math.floor(4 * pace.share)
