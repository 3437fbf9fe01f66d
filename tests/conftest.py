"""One thread and one fixed set of examples, so that a test gives the same answer wherever it runs."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that tests start

import pytest
import torch
from hypothesis import HealthCheck, settings

from ontogeny.execution import Serial

torch.set_num_threads(1)

settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def jobs_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run in the process of the test, since pytest itself runs one test a core: the numbers are the same."""
    monkeypatch.setattr("ontogeny.measurement.jobs.default_executor", lambda num_jobs: Serial())
