"""One thread and one fixed set of examples, so that a test gives the same answer wherever it runs."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that tests start

import pytest
import torch
from hypothesis import HealthCheck, settings

from ontogeny.execution import Serial

torch.set_num_threads(1)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OFFLINE = ["--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9", "--disable-background-networking"]

settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def jobs_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run in the process of the test, since pytest itself runs one test a core: the numbers are the same."""
    monkeypatch.setattr("ontogeny.measurement.jobs.default_executor", lambda num_jobs: Serial())


@pytest.fixture
def in_browser(tmp_path: Path) -> Callable[..., str]:
    """Opens a page in a browser window of some size, without a network, and returns what became of its HTML.

    With a path, a picture of the window is saved there.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium here")

    def opened(path: Path, width: int, height: int = 1000, picture: Path | None = None) -> str:
        command = [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *OFFLINE),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},{height}"),
            *("--virtual-time-budget=20000", *([f"--screenshot={picture}"] if picture else [])),
            *("--dump-dom", path.as_uri()),
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=180).stdout

    return opened
