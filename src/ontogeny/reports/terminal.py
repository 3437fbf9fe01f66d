"""Progress bars in the terminal, with the time left."""

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class TerminalProgress:
    """A `Progress` drawn by rich: one line a task, with the time gone and the time left."""

    def __init__(self) -> None:
        self._bars = RichProgress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._tasks: dict[str, TaskID] = {}

    def start(self, task: str, total: int, done: int = 0) -> None:
        if not self._tasks:
            self._bars.start()
        if task in self._tasks:
            self._bars.remove_task(self._tasks[task])
        self._tasks[task] = self._bars.add_task(task, total=total, completed=done, note="")

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        self._bars.update(self._tasks[task], advance=amount, note=note)

    def finish(self, task: str) -> None:
        self._tasks.pop(task)
        if not self._tasks:
            self._bars.stop()
