"""One thread and one fixed set of examples, so that a test gives the same answer wherever it runs."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that tests start

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fixed")
