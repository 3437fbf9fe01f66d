"""The small run that several files measure."""

from collections.abc import Iterator

import pytest
import torch
from sklearn.datasets import load_digits
from tests.measurement.counted import CALLS, FAILS_AT, STEPS, Data, make_model

from ontogeny.core import losses
from ontogeny.stores import Checkpoints, MemoryCheckpoints
from ontogeny.training import TrainingConfig, train


@pytest.fixture(scope="module")
def data() -> Data:
    digits = load_digits()
    return torch.tensor(digits.data[:80] / 16, dtype=torch.float32), torch.tensor(digits.target[:80])


@pytest.fixture(scope="module")
def run(data: Data) -> Checkpoints:
    torch.manual_seed(0)
    config = TrainingConfig(num_steps=30, batch_size=16, learning_rate=1e-2, checkpoints_log=4, checkpoints_linear=0)
    checkpoints = train(make_model(), data, losses.cross_entropy, config)
    return MemoryCheckpoints({step: checkpoints.load(step) for step in STEPS})


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    yield
    CALLS.update(loss=0, behaviour=0)
    FAILS_AT.update(behaviour=-1)
