"""How far loops have come, shown to people in a terminal, or as plain lines where the output is a file."""

from ontogeny.terminal.progress import TerminalProgress as TerminalProgress
from ontogeny.terminal.progress import as_progress as as_progress
