"""Progress display: bars in a terminal, plain lines if the output is a file."""

from ontogeny.terminal.progress import TerminalProgress as TerminalProgress
from ontogeny.terminal.progress import as_progress as as_progress
