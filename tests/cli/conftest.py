"""The command, run in this process."""

import sys
from collections.abc import Callable

import pytest

from ontogeny.cli import main

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ontogeny(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Its exit code, output and errors."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ontogeny", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            sys.exit(main())
        code = end.value.code
        assert isinstance(code, int | None)
        told = capsys.readouterr()
        return code or 0, told.out, told.err

    return run
