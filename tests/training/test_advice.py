"""What errors of this room say to write instead."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.advice import Mistake, follow, mistakes
from torch import nn

import ontogeny as og

FOLDER = Path()  # of the mistake at hand
data = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2


def trained(folder: str, num_steps: int = 2) -> Any:
    torch.manual_seed(0)
    config = og.TrainingConfig(num_steps=num_steps, batch_size=4)
    return og.train(nn.Linear(3, 2), data, og.losses.cross_entropy, config, FOLDER / folder)


# fmt: off
MISTAKES = (
    ("training/loop.py:_State.restore", "(trained('run'), trained('run', 3))", "directory", "another folder",
     "trained('other', 3)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    follow(mistake, globals())
