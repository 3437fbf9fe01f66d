"""Training on a task: a fresh batch at each step, which depends on seed and step alone."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.compmech import ProcessTask, process
from ontogeny.core.protocols import is_task
from ontogeny.core.seeds import derive
from ontogeny.training import TrainingConfig, train

CONFIG = TrainingConfig(
    num_steps=11, batch_size=4, learning_rate=0.05, checkpoints_log=3, checkpoints_linear=2, state_every=4, log_every=3
)


@dataclass(frozen=True)
class Line:
    """y = slope x + noise."""

    slope: float = 2.0

    def sample(self, num_samples: int, seed: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(num_samples, 1, generator=torch.Generator().manual_seed(seed))
        return x, self.slope * x


def make() -> nn.Module:
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(0.5)
        model.bias.fill_(0.1)
    return model


def seen(model: nn.Module, task: Any, config: TrainingConfig, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    batches: list[Any] = []

    def note(loss_fn: Any, model: nn.Module, batch: Any, size: int) -> Tensor:
        batches.append(batch)
        return og.losses.mse(model, batch)

    with monkeypatch.context() as patch:
        patch.setattr("ontogeny.training.networks.per_sample", note)
        train(model, task, og.losses.mse, config)
    return batches


def test_the_batch_at_a_step_is_a_function_of_seed_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = seen(make(), Line(), CONFIG, monkeypatch)
    assert len(batches) == 11
    for step, batch in enumerate(batches):
        for found, expected in zip(batch, Line().sample(4, derive(0, "batch", step)), strict=True):
            assert torch.equal(found, expected)
    other = seen(make(), Line(), CONFIG.model_copy(update={"seed": 1}), monkeypatch)
    assert not any(torch.equal(mine[0], theirs[0]) for mine in batches for theirs in other)


def test_a_task_is_learned() -> None:
    model = make()
    train(model, Line(), og.losses.mse, CONFIG.model_copy(update={"num_steps": 300}))
    assert abs(float(model.weight.detach()) - 2) < 0.05  # pyrefly: ignore[not-callable]


def test_a_run_on_a_task_that_stops_at_any_moment_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crash(BaseException):
        pass

    replace, moments = os.replace, [0]

    def run(folder: Path, last: float) -> nn.Module:
        def replace_until(source: Path, target: Path) -> None:
            moments[0] += 1
            if moments[0] > last:
                raise Crash
            replace(source, target)

        moments[0], model = 0, make()
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace_until)
            train(model, Line(), og.losses.mse, CONFIG, folder)
        return model

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pt"}

    whole = run(tmp_path / "whole", np.inf)
    for last in range(moments[0]):
        with pytest.raises(Crash):
            run(tmp_path / str(last), last)
        again = run(tmp_path / str(last), np.inf)
        assert torch.equal(again.weight, whole.weight)  # pyrefly: ignore[bad-argument-type]
        assert contents(tmp_path / str(last)) == contents(tmp_path / "whole")


def test_a_folder_with_a_run_on_another_task_is_refused(tmp_path: Path) -> None:
    train(make(), Line(), og.losses.mse, CONFIG, tmp_path)
    with pytest.raises(og.InvalidArgument, match="another run"):
        train(make(), Line(3.0), og.losses.mse, CONFIG, tmp_path)


def test_batches_of_arrays_and_dicts_are_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rows:
        def sample(self, num_samples: int, seed: int) -> dict[str, np.ndarray]:
            x = np.random.default_rng(seed).standard_normal((num_samples, 1)).astype(np.float32)
            return {"input": x, "labels": 2 * x}

    (batch, *_) = seen(make(), Rows(), CONFIG, monkeypatch)
    assert isinstance(batch["labels"], Tensor)


def test_a_process_is_a_task() -> None:
    task = ProcessTask(process("mess3"), 6)
    assert isinstance(task, og.Task)
    tokens = task.sample(20, seed=1)
    assert tokens.shape == (20, 6)
    assert torch.equal(tokens, task.sample(20, seed=1))
    assert not torch.equal(tokens, task.sample(20, seed=2))
    config = CONFIG.model_copy(update={"num_steps": 150, "batch_size": 64, "learning_rate": 0.1})
    model = nn.Embedding(3, 3)
    with torch.no_grad():
        model.weight.zero_()
    probe, before = task.sample(1000, seed=0), torch.get_rng_state()
    uniform = og.losses.next_token(model, probe).mean()
    train(model, task, og.losses.next_token, config)
    assert float((uniform - og.losses.next_token(model, probe).mean()).detach()) > 0.03
    assert torch.equal(torch.get_rng_state(), before)


def test_tables_and_classes_are_no_tasks() -> None:
    class Table:
        def __len__(self) -> int:
            return 3

        def sample(self, num_samples: int, seed: int) -> None: ...

    assert is_task(Line())
    assert not is_task(Table())
    assert not is_task(Line)


FEW: dict[str, Callable[[int], Any]] = {
    "fewer": lambda count: torch.zeros(count - 1, 1),
    "one": lambda _: torch.zeros(1, 1),
}


@pytest.mark.parametrize("which", FEW)
def test_a_task_that_draws_another_number_is_refused(which: str) -> None:
    class Short:
        def sample(self, num_samples: int, seed: int) -> Tensor:
            return FEW[which](num_samples)

    with pytest.raises(og.InvalidArgument, match="asked for, 4"):
        train(make(), Short(), lambda model, batch: model(batch)[:, 0], CONFIG)


@pytest.mark.parametrize("length", [0, -1])
def test_a_process_task_of_no_length_is_refused(length: int) -> None:
    with pytest.raises(og.InvalidArgument, match="length"):
        ProcessTask(process("mess3"), length)
