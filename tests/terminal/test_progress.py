"""Progress in a terminal and in a file: the time left, few lines, and a terminal left as it was."""

import io
import re
import subprocess
import sys

import pytest
from rich.console import Console

from ontogeny.core.protocols import Progress, Silent, WeightedProgress, reporting
from ontogeny.terminal import TerminalProgress, as_progress
from ontogeny.terminal.display import Pace, duration

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(num_steps: int, seconds: float, share: float | None = None) -> list[str]:
    """The lines that a task of so many steps writes to a file."""
    clock, file = Clock(), io.StringIO()
    progress = TerminalProgress(Console(file=file, width=40), clock)
    progress.start("measuring", num_steps)
    for step in range(num_steps):
        clock.now += seconds / num_steps
        progress.advance("measuring", note=f"step {step} [bold]")
        if share is not None:
            progress.weigh("measuring", share)
    progress.finish("measuring")
    return file.getvalue().splitlines()


def test_a_file_gets_plain_lines_with_the_time_left() -> None:
    lines = run(num_steps=30, seconds=300.0)
    assert "measuring     12 of 30  step 11 [bold]   2 min gone, 3 min left" in lines
    assert not any("\x1b" in line or "━" in line for line in lines)
    assert lines[0] == "measuring     0 of 30   0 s gone"
    assert lines[-1] == "measuring     30 of 30  step 29 [bold]   5 min gone"


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.5, 2, 2), (8.0, 5, 5), (100.0, 11, 16)])
def test_lines_in_a_file_are_few(seconds: float, least: int, most: int) -> None:
    """Two for a short loop, one a quarter for a longer one, and one every ten seconds beside them."""
    assert least <= len(run(num_steps=10_000, seconds=seconds)) <= most


def test_the_time_left_is_that_of_the_work_and_not_of_the_units() -> None:
    clock = Clock()
    pace = Pace("jobs", 10, 0, clock)
    clock.now = 60.0
    pace.advance(5, "")
    assert pace.left == pytest.approx(60.0)
    pace.weigh(0.1)
    assert pace.left == pytest.approx(540.0)
    pace.advance(1, "")  # units are of no account from here on
    assert (pace.count, pace.share) == (6, 0.1)


def test_what_was_done_before_the_start_says_nothing_about_the_pace() -> None:
    clock = Clock()
    pace = Pace("jobs", 100, 80, clock)
    clock.now = 10.0
    pace.advance(10, "")
    assert pace.left == pytest.approx(10.0)
    clock.now = 14.0
    assert pace.left == pytest.approx(6.0)


def test_durations_are_short_words() -> None:
    assert [duration(seconds) for seconds in (0.2, 59.6, 180.0, 7500.0)] == ["0 s", "60 s", "3 min", "2 h 5 min"]


def test_a_terminal_gets_a_bar_and_its_cursor_back_after_an_interrupt() -> None:
    file = io.StringIO()
    progress = TerminalProgress(Console(file=file, force_terminal=True, width=80))

    def interrupted() -> None:
        with reporting(progress, "sampling", 10) as reporter:
            reporter.advance("sampling", note="[note]")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "━" in file.getvalue()
    assert "1/10 [note]" in re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", file.getvalue())
    assert file.getvalue().rfind(SHOW) > file.getvalue().rfind(HIDE) >= 0


def test_a_bar_that_an_error_passed_by_is_ended_with_the_process() -> None:
    script = """
from rich.console import Console
from ontogeny.terminal import TerminalProgress
progress = TerminalProgress(Console(force_terminal=True))
progress.start("sampling", 10)
raise ValueError("wrong")
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "ValueError: wrong" in result.stdout + result.stderr
    assert result.stdout.rfind(SHOW) > result.stdout.rfind(HIDE) >= 0


@pytest.mark.parametrize("terminal", [True, False])
def test_tasks_may_be_nested_and_begun_again(terminal: bool) -> None:
    file = io.StringIO()
    progress = TerminalProgress(Console(file=file, force_terminal=terminal, width=80))
    with reporting(progress, "measuring", 2):
        for _ in range(2):
            with reporting(progress, "sampling", 5):
                progress.start("sampling", 7)
                progress.advance("sampling", 7)
            progress.advance("measuring")
    with reporting(progress, "empty", 0):
        pass
    *_, last = file.getvalue().split("measuring")
    assert last.count("sampling") <= 1, "a task that begins again takes its old line"


def test_what_callers_pass_as_progress() -> None:
    assert isinstance(as_progress(True), WeightedProgress)
    assert isinstance(as_progress(False), Silent)
    own: Progress = Silent()
    assert as_progress(own) is own
