"""Steps of fine-tuning that undo a change."""

import torch
from torch import nn

from ontogeny.measurement.undoing import steps_until


def far(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return (model.get_parameter("weight")[0, 0] - batch[:, 0]).square()


def test_steps_are_counted_on_a_copy() -> None:
    model, data = nn.Linear(1, 1, bias=False), torch.ones(4, 1)
    nn.init.zeros_(model.weight)

    def undone(tuned: nn.Module) -> bool:
        return tuned.get_parameter("weight").item() >= 0.5

    sizes = {"batch_size": 2, "seed": 1}
    # a step of Adam on one number of steady sign is its learning rate
    assert steps_until(model, data, far, undone, steps=20, learning_rate=0.1, **sizes) in (5, 6)
    assert steps_until(model, data, far, undone, steps=20, learning_rate=0.1, every=4, **sizes) == 8
    assert steps_until(model, data, far, undone, steps=20, learning_rate=0.01, **sizes) is None
    assert model.weight.item() == 0
    assert model.weight.grad is None
