"""The pictures of the concept pages, from a measured run: python docs/pictures.py. Takes two minutes."""

from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import ontogeny as og
from ontogeny.measurement import choice_of
from ontogeny.reports import fig_choice, fig_loss_and_llc, fig_traces, save_for_paper

IMAGES = Path(__file__).parent / "images"
digits = load_digits()
pooled = torch.tensor(digits.images / 16, dtype=torch.float32).reshape(-1, 4, 2, 4, 2).mean((2, 4)).flatten(1)
data = pooled[:600], torch.tensor(digits.target[:600])


def network() -> nn.Module:
    """The network before training: 16 averaged pixels to ten digits."""
    return nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 10))


def main() -> None:
    """Train, measure with chosen nβ and γ, draw."""
    torch.manual_seed(0)
    training = og.TrainingConfig(num_steps=1000, learning_rate=5e-3, checkpoints_log=14, checkpoints_linear=0)
    run = og.train(network(), data, og.losses.cross_entropy, training)
    sampler = og.Calibrated(error=0.05, budget=60_000)
    serial = og.execution.Serial()
    trajectory = og.measure(run, network, data, og.losses.cross_entropy, sampler=sampler, executor=serial)
    choice, last = choice_of(trajectory), trajectory["step"].values[-1]
    assert choice is not None
    pictures = {
        "curve": fig_loss_and_llc(trajectory),
        "choice": fig_choice(choice),
        "traces": fig_traces(trajectory, last),
    }
    for trace in pictures["traces"].data:  # a third of the points is as much as print shows
        trace.update(x=trace.x[::3], y=trace.y[::3])
    for name, figure in pictures.items():
        save_for_paper(figure, IMAGES / f"concept-{name}.svg", width=6.5)


if __name__ == "__main__":
    main()
