"""Stages of training one after another: one run of checkpoints, each stage with its own data, loss and settings."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.training import Stage, TrainingConfig, train

X = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
FIRST, SECOND = (X, X.sum(1, keepdim=True)), (X[:10], -X[:10, :1])
CONFIG = TrainingConfig(
    num_steps=7, batch_size=4, learning_rate=0.05, checkpoints_log=2, checkpoints_linear=0, state_every=3, log_every=2
)
SHORT = CONFIG.model_copy(update={"num_steps": 4, "optimizer": "sgd", "seed": 5, "warmup_steps": 2})


def half(model: nn.Module, batch: Any) -> Tensor:
    return og.losses.mse(model, batch) / 2


STAGES = [Stage("pretrain", FIRST, og.losses.mse, CONFIG), Stage("finetune", SECOND, half, SHORT)]


def make() -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(3, 1)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_steps_run_on_across_stages_and_the_run_names_them(tmp_path: Path) -> None:
    run = train(make(), STAGES, directory=tmp_path)
    assert run.steps == [0, 1, 7, 8, 11]
    assert run.stages == {"pretrain": 0, "finetune": 7}
    assert list(og.open_checkpoints(tmp_path).stages) == ["pretrain", "finetune"]
    assert og.open_checkpoints(tmp_path).stages == run.stages
    assert train(make(), STAGES).stages == run.stages
    assert train(make(), FIRST, og.losses.mse, CONFIG).stages == {"training": 0}


def test_each_stage_is_a_training_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is that of `train` on its own; the second begins with a new optimizer, from there."""
    model = make()
    run = train(model, STAGES)
    alone = make()
    first = train(alone, FIRST, og.losses.mse, CONFIG)
    for step in first.steps:
        assert same(run.load(step), first.load(step))
    seen: list[Tensor] = []

    def noting(model: nn.Module, batch: Any) -> Tensor:
        seen.append(batch[0])
        return half(model, batch)

    train(make(), [STAGES[0], Stage("finetune", SECOND, noting, SHORT)])
    optimizer = torch.optim.SGD(alone.parameters(), momentum=0.9)
    for step, x in enumerate(seen):
        optimizer.param_groups[0]["lr"] = 0.05 * min(1, (step + 1) / 2)
        loss = half(alone, (x, -x[:, :1])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert len(seen) == 4
    assert same(dict(model.state_dict()), dict(alone.state_dict()))


def test_two_stages_of_one_seed_see_their_samples_in_orders_of_their_own() -> None:
    seen: list[list[int]] = []

    def noting(model: nn.Module, batch: Any) -> Tensor:
        seen.append(batch[1].tolist())
        return model(batch[0])[:, 0]

    config = CONFIG.model_copy(update={"num_steps": 6})
    data = X, torch.arange(24)
    train(make(), [Stage("one", data, noting, config), Stage("two", data, noting, config)])
    orders = [[*itertools.chain(*seen[:6])], [*itertools.chain(*seen[6:])]]
    assert [sorted(order) for order in orders] == [list(range(24))] * 2
    assert orders[0] != orders[1]


def test_stages_that_stop_at_any_moment_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crash(BaseException):
        pass

    replace, moments = os.replace, [0]

    def run(folder: Path, last: float) -> dict[str, Tensor]:
        def replace_until(source: Path, target: Path) -> None:
            moments[0] += 1
            if moments[0] > last:
                raise Crash
            replace(source, target)

        moments[0], model = 0, make()
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace_until)
            train(model, STAGES, directory=folder)
        return dict(model.state_dict())

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pt"}

    whole = run(tmp_path / "whole", np.inf)
    assert moments[0] > 15
    for last in range(moments[0]):
        with pytest.raises(Crash):
            run(tmp_path / str(last), last)
        assert same(run(tmp_path / str(last), np.inf), whole)
        assert contents(tmp_path / str(last)) == contents(tmp_path / "whole")


OTHER: dict[str, Callable[[], list[Stage]]] = {
    "data": lambda: [STAGES[0], Stage("finetune", FIRST, half, SHORT)],
    "name": lambda: [STAGES[0], Stage("tuning", SECOND, half, SHORT)],
    "config": lambda: [STAGES[0], Stage("finetune", SECOND, half, CONFIG)],
    "order": lambda: STAGES[::-1],
}


@pytest.mark.parametrize("what", OTHER)
def test_a_folder_with_other_stages_is_refused(what: str, tmp_path: Path) -> None:
    train(make(), STAGES, directory=tmp_path)
    with pytest.raises(og.InvalidArgument, match="another run"):
        train(make(), OTHER[what](), directory=tmp_path)


def test_a_stage_that_diverges_is_named() -> None:
    def bad(model: nn.Module, batch: Any) -> Tensor:
        return half(model, batch) * torch.nan

    with pytest.warns(UserWarning, match="step 7 of stage 'finetune'"):
        run = train(make(), [STAGES[0], Stage("finetune", SECOND, bad, SHORT)])
    assert run.steps == [0, 1, 7]  # the last weights of the first stage are kept, whatever the second makes of them
    assert run.outcome
    assert (run.outcome.stage, run.outcome.step) == ("finetune", 7)


def test_every_stage_is_looked_at_before_the_first_step() -> None:
    before, model = dict(make().state_dict()), make()
    with pytest.raises(og.InvalidArgument, match="at least batch_size=11"):
        train(model, [STAGES[0], Stage("finetune", SECOND, half, SHORT.model_copy(update={"batch_size": 11}))])
    assert same(dict(model.state_dict()), before)
    with pytest.raises(og.InvalidArgument, match="a name of its own"):
        train(model, [STAGES[0], STAGES[0]])
