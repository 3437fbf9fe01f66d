"""A run measured while it trains: the same training, the same numbers, and no more time than it may take."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ontogeny as og
from ontogeny.core.errors import InvalidArgument

SCHEDULE = og.CheckpointSchedule(num_log=4, num_linear=0)
INPUTS = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS.sum(1) > 0).long()


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 2))


def train(folder: Path, then: Any = None, pause: float = 0.0) -> None:
    """Thirty steps with dropout from torch's global random state."""
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    keep = SCHEDULE.keeper(folder, model, 30, then=then)
    for step in range(30):
        keep(step)
        time.sleep(pause)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(INPUTS), LABELS).backward()
        optimizer.step()
    keep(30)


def meanwhile(store: Path, **options: Any) -> og.MeasureMeanwhile:
    return og.MeasureMeanwhile(make_model, (INPUTS, LABELS), og.losses.cross_entropy, store=store, **options)


SAMPLER = og.Fixed(num_chains=2, num_draws=20, num_warmup=5)


def test_training_is_the_same_and_the_rest_is_measured_later(tmp_path: Path) -> None:
    train(tmp_path / "alone")
    options: dict[str, Any] = {"nbeta": 30.0, "localization": 1.0, "sampler": SAMPLER}
    beside = meanwhile(tmp_path / "store", share=1e9, **options)
    train(tmp_path / "measured", then=beside)
    run, alone = og.open_checkpoints(tmp_path / "measured"), og.open_checkpoints(tmp_path / "alone")
    assert [run.checksum(step) for step in run.steps] == [alone.checksum(step) for step in alone.steps]
    assert beside.waiting == []
    assert beside.measured == run.steps
    jobs = sorted((tmp_path / "store").rglob("*.json"))
    later = og.measure(run, make_model, (INPUTS, LABELS), og.losses.cross_entropy, store=tmp_path / "store", **options)
    assert sorted((tmp_path / "store").rglob("*.json")) == jobs
    assert beside.trajectory is not None
    assert beside.trajectory["llc"].equals(later["llc"])


def test_measuring_takes_no_more_than_its_share(tmp_path: Path) -> None:
    beside = meanwhile(tmp_path / "store", share=0.2)
    began = time.perf_counter()
    train(tmp_path / "run", then=beside, pause=0.01)
    training = time.perf_counter() - began - beside.seconds
    assert beside.measured
    assert beside.seconds <= 0.2 * training + beside.longest
    none = meanwhile(tmp_path / "none", share=1e-9)
    train(tmp_path / "other", then=none)
    assert len(none.measured) <= 1
    assert none.measured + none.waiting == og.open_checkpoints(tmp_path / "other").steps


def test_wrong_arguments_are_refused_before_training(tmp_path: Path) -> None:
    for name, options in {"share": {"share": 0}, "steps": {"steps": [1]}, "components": {"components": ["0"]}}.items():
        with pytest.raises(InvalidArgument, match=f"`{name}`"):
            meanwhile(tmp_path, **options)
