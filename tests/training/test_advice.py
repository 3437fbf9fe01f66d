"""What errors of this room say to write instead."""

import copy
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
train, loss_fn, config = og.train, og.losses.cross_entropy, og.TrainingConfig(num_steps=2, batch_size=4)
stages = [og.Stage(name, data, loss_fn, config)]


def model() -> nn.Module:
    return nn.Linear(3, 2)


def on(task: Any) -> Any:
    return og.train(nn.Embedding(3, 3), task, og.losses.next_token, config)


def trained(folder: str, num_steps: int = 2) -> Any:
    torch.manual_seed(0)
    config = og.TrainingConfig(num_steps=num_steps, batch_size=4)
    return og.train(nn.Linear(3, 2), data, og.losses.cross_entropy, config, FOLDER / folder)


class Blobs:
    """A task: points with labels."""

    def sample(self, num_samples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(2, (num_samples,), generator=generator)
        return torch.randn(num_samples, 3, generator=generator) + labels[:, None], labels


tasks = [Blobs(), Blobs()]


def together(models: list[nn.Module]) -> Any:
    return og.train_instances(models, data, loss_fn, config)


class Scaled(nn.Linear):
    """With a scale that is no parameter."""

    def __init__(self, scale: float) -> None:
        super().__init__(3, 2)
        self.scale = scale

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self.scale * super().forward(input)


def scaled() -> list[nn.Module]:
    return [Scaled(1.0), Scaled(2.0)]


def dropped() -> list[nn.Module]:
    return [nn.Sequential(model(), nn.Dropout(0.5)) for _ in range(2)]


CHECKS = "training/instance_checks.py:"
ALONE = "[train(model, data, loss_fn, config) for model in models]"


# fmt: off
MISTAKES = (
    (CHECKS + "check_instances", "together(scaled())", "models", ALONE, "(lambda models: ADVICE)(scaled())"),
    (CHECKS + "_check_architectures", "together([model()] * 2)", "models",
     "[copy.deepcopy(model) for _ in range(count)]", "together((lambda model, count: ADVICE)(model(), 2))"),
    (CHECKS + "_check_architectures#2", "together([model(), nn.Linear(3, 3)])", "models", ALONE,
     "(lambda models: ADVICE)([model(), nn.Linear(3, 3)])"),
    (CHECKS + "_losses_together", "together(dropped())", "models", ALONE, "(lambda models: ADVICE)(dropped())"),
    ("training/batches.py:_checked", "on(cm.process('mess3'))", "data", "cm.ProcessTask(process, length)",
     "on(ADVICE)"),
    ("training/stages.py:as_stages", "og.train(model(), data)", "loss_fn", "train(model, data, loss_fn, config)",
     "og.train(model(), data, loss_fn, config)"),
    ("training/stages.py:as_stages", "og.train(model(), data, loss_fn)", "config",
     "train(model, [Stage(name, data, loss_fn, config)])",
     "og.train(model(), [og.Stage(name, data, loss_fn, config)])"),
    ("training/stages.py:_check", "og.train(model(), stages, loss_fn)", "loss_fn", "train(model, stages)",
     "og.train(model(), stages)"),
    ("training/runs.py:train", "og.train(model(), tasks, loss_fn, config)", "data",
     "train_instances(models, tasks, loss_fn, config)",
     "(lambda models, train_instances: ADVICE)([model() for _ in tasks], og.train_instances)"),
    ("training/records.py:State.read", "(trained('run'), trained('run', 3))", "directory", "another folder",
     "trained('other', 3)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    follow(mistake, globals())
