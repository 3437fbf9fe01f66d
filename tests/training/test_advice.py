"""What errors of this room say to write instead."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.advice import Mistake, follow, mistakes
from torch import nn

import ontogeny as og
from ontogeny import compmech as cm

FOLDER = Path()  # of the mistake at hand
data = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2


process, length, name = cm.process("mess3"), 4, "first"
loss_fn, config = og.losses.cross_entropy, og.TrainingConfig(num_steps=2, batch_size=4)
stages = [og.Stage(name, data, loss_fn, config)]


def model() -> nn.Module:
    return nn.Linear(3, 2)


def on(task: Any) -> Any:
    return og.train(nn.Embedding(3, 3), task, og.losses.next_token, config)


def trained(folder: str, num_steps: int = 2) -> Any:
    torch.manual_seed(0)
    config = og.TrainingConfig(num_steps=num_steps, batch_size=4)
    return og.train(nn.Linear(3, 2), data, og.losses.cross_entropy, config, FOLDER / folder)


# fmt: off
MISTAKES = (
    ("training/batches.py:_checked", "on(cm.process('mess3'))", "data", "cm.ProcessTask(process, length)",
     "on(ADVICE)"),
    ("training/stages.py:as_stages", "og.train(model(), data)", "loss_fn", "train(model, data, loss_fn, config)",
     "og.train(model(), data, loss_fn, config)"),
    ("training/stages.py:as_stages", "og.train(model(), data, loss_fn)", "config",
     "train(model, [Stage(name, data, loss_fn, config)])",
     "og.train(model(), [og.Stage(name, data, loss_fn, config)])"),
    ("training/stages.py:_check", "og.train(model(), stages, loss_fn)", "loss_fn", "train(model, stages)",
     "og.train(model(), stages)"),
    ("training/records.py:State.read", "(trained('run'), trained('run', 3))", "directory", "another folder",
     "trained('other', 3)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    follow(mistake, globals())
