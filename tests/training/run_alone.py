"""A small training run, to be killed: python run_alone.py FOLDER DROPOUT TIMES.

Starts the run so many times, one after another, each in a process of its own, and tells the number of each and how it
ended. The processes are forked, so that the libraries are loaded once.
"""

import os
import sys
from pathlib import Path

import torch
from torch import nn

from ontogeny.core import losses
from ontogeny.training import TrainingConfig, train

CONFIG = TrainingConfig(
    num_steps=300,
    batch_size=8,
    learning_rate=3e-3,
    clip_norm=1.0,
    schedule="cosine",
    warmup_steps=50,
    checkpoints_log=20,
    checkpoints_linear=30,
    state_every=9,
    log_every=1,
)


def main(folder: Path, dropout: float) -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 6, generator=generator)
    labels = torch.randint(3, (50,), generator=generator)
    model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(dropout), nn.Linear(12, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    train(model, (inputs, labels), losses.cross_entropy, CONFIG, folder)


def tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for _ in range(int(sys.argv[3])):
        child = os.fork()
        if not child:
            main(Path(sys.argv[1]), float(sys.argv[2]))
            os._exit(0)
        tell(child)
        tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
