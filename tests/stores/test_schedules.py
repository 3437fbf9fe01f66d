"""Schedules of checkpoints in loops of others: the Trainer, Lightning and plain ones, killed and resumed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.stores import DirectoryCheckpoints

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries about themselves, while they train
SCHEDULE = og.CheckpointSchedule(num_log=5, num_linear=4)
NUM_STEPS = 16
STEPS = [0, 1, 2, 4, 8, 12, 16]


ROOT = Path(__file__).parents[2]
REALLY = "KILLED_BY_SIGKILL"  # set in the processes that are


class Killed(Exception):
    """In place of a kill."""


def die() -> None:
    if REALLY in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    raise Killed


def kept(folder: Path) -> dict[str, bytes]:
    """Every file but the times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "overhead.json"}


def plain(folder: Path, stop: int | None = None, start: int = 0, then: Any = None) -> None:
    """A loop that saves its state every third step, and is killed before the step `stop`."""
    torch.manual_seed(0)
    model, state = nn.Linear(2, 1), folder.with_suffix(".pt")
    if start:
        model.load_state_dict(torch.load(state))
    keep = SCHEDULE.keeper(folder, model, NUM_STEPS, start=start, then=then)
    for step in range(start, NUM_STEPS):
        keep(step)
        if step == stop:
            die()
        if step % 3 == 0:
            torch.save(model.state_dict(), state)
        with torch.no_grad():
            model.weight.mul_(0.9).add_(step)
    keep(NUM_STEPS)


def with_trainer(folder: Path, stop: int | None = None, start: int = 0, then: Any = None) -> None:
    tf = pytest.importorskip("transformers")

    class Kill(tf.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == stop:
                die()

    torch.manual_seed(0)
    small = {"vocab_size": 12, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
    model = tf.GPT2LMHeadModel(tf.GPT2Config(**small, bos_token_id=0, eos_token_id=0))
    generator = torch.Generator().manual_seed(1)
    rows = [{"input_ids": row, "labels": row} for row in torch.randint(12, (32, 8), generator=generator)]
    own = folder.with_suffix(".trainer")
    arguments = tf.TrainingArguments(
        str(own), max_steps=NUM_STEPS, save_steps=3, per_device_train_batch_size=4, use_cpu=True, report_to=[],
        disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    callbacks = [SCHEDULE.trainer_callback(folder, then=then), Kill()]
    trainer = tf.Trainer(model, arguments, train_dataset=rows, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=str(own / f"checkpoint-{start}") if start else None)


def with_lightning(folder: Path, stop: int | None = None, start: int = 0, then: Any = None) -> None:
    lightning = pytest.importorskip("lightning")
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Regression(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 1))

        def training_step(self, batch: Tensor, index: int) -> Tensor:
            if self.trainer.global_step == stop:
                die()
            torch.manual_seed(self.trainer.global_step)  # Lightning does not restore the state of dropout
            return self.net(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    torch.manual_seed(0)
    own = folder.with_suffix(".lightning")
    callbacks = [SCHEDULE.lightning_callback(folder, then=then), ModelCheckpoint(own, "{step}", save_top_k=-1)]
    options = {"logger": False, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=4, callbacks=callbacks, **options)
    rows: Any = list(torch.randn(16, 3, generator=torch.Generator().manual_seed(1)))
    data = torch.utils.data.DataLoader(rows, batch_size=4)
    trainer.fit(Regression(), data, ckpt_path=str(own / f"step={start}.ckpt") if start else None)


# each with the step at which it is killed, and the last state of its own that it goes on from
LOOPS = {"plain": (plain, 13, 12), "Trainer": (with_trainer, 10, 9), "Lightning": (with_lightning, 10, 8)}


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> tuple[Callable[..., None], int, int]:
    return LOOPS[request.param]


def test_a_killed_and_resumed_run_keeps_what_an_uninterrupted_one_keeps(loop: Any, tmp_path: Path) -> None:
    train, stop, start = loop
    train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "killed", stop=stop)
    check_resumed(train, stop, start, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Trainer", "Lightning"])
def test_so_does_a_run_whose_process_is_killed_by_the_system(name: str, tmp_path: Path) -> None:
    train, stop, start = LOOPS[name]
    train(tmp_path / "whole")
    code = (
        "from pathlib import Path; from tests.stores.test_schedules import LOOPS; "
        f"LOOPS[{name!r}][0](Path({str(tmp_path / 'killed')!r}), stop={stop})"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    died = subprocess.run(command, cwd=ROOT, env=os.environ | {REALLY: "1"}, capture_output=True, timeout=280)
    assert died.returncode == -signal.SIGKILL, died.stderr
    check_resumed(train, stop, start, tmp_path)


def check_resumed(train: Callable[..., None], stop: int, start: int, folder: Path) -> None:
    """A killed run that goes on ends with the files of the whole one."""
    assert og.open_checkpoints(folder / "killed").outcome is None
    assert og.open_checkpoints(folder / "killed").steps == [step for step in STEPS if step <= stop]
    train(folder / "killed", start=start)
    run = og.open_checkpoints(folder / "whole")
    assert run.steps == STEPS
    assert run.outcome == og.TrainingOutcome(diverged=False, step=NUM_STEPS)
    assert len({run.checksum(step) for step in STEPS}) == len(STEPS)
    assert kept(folder / "killed") == kept(folder / "whole")


def test_checkpoints_after_the_step_that_a_run_goes_on_from_are_removed(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        plain(tmp_path / "run", stop=9)
    assert og.open_checkpoints(tmp_path / "run").steps == [0, 1, 2, 4, 8]
    with pytest.raises(Killed):
        plain(tmp_path / "run", stop=7, start=6)
    assert og.open_checkpoints(tmp_path / "run").steps == [0, 1, 2, 4]


def test_a_finished_run_and_one_of_another_schedule_are_not_written_over(tmp_path: Path) -> None:
    plain(tmp_path / "run")
    before = kept(tmp_path / "run")
    with pytest.raises(InvalidArgument, match="finished after step 16"):
        plain(tmp_path / "run")
    with pytest.raises(InvalidArgument, match="another schedule"):
        SCHEDULE.keeper(tmp_path / "run", nn.Linear(2, 1), NUM_STEPS + 1, start=NUM_STEPS)
    assert kept(tmp_path / "run") == before
    (tmp_path / "run" / "schedule.json").write_text("[")
    with pytest.raises(CorruptFile, match=r"schedule\.json"):
        plain(tmp_path / "run", start=NUM_STEPS)


def test_lacking_checkpoints_are_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 checkpoints before step 2 were not kept"):
        SCHEDULE.keeper(tmp_path, nn.Linear(2, 1), NUM_STEPS, start=2)


def test_a_run_that_stops_early_keeps_its_last_weights_and_tells_its_time(tmp_path: Path) -> None:
    model, then = nn.Linear(2, 1), []
    keep = SCHEDULE.keeper(tmp_path, model, NUM_STEPS, then=lambda run: then.append(list(run.steps)))
    for step in range(4):
        keep(step)
    keep.end(3)
    keep.end(3)
    run = og.open_checkpoints(tmp_path)
    assert isinstance(run, DirectoryCheckpoints)
    assert run.steps == [0, 1, 2, 3]
    assert run.outcome == og.TrainingOutcome(diverged=False, step=3)
    assert then == [[0], [0, 1], [0, 1, 2]]
    told = json.loads((tmp_path / "overhead.json").read_text())
    assert 0 < told["saving_seconds"] + told["then_seconds"] < told["seconds"]
