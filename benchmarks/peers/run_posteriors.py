"""Worker of posteriors: its SGLD transform, with the posterior, the chains and the estimate that it leaves to its user.

Its step is w + lr ∇log p + √(2 lr) ξ: its lr is half the ε of the learning-coefficient papers.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import posteriors
import torch
import worker
from torch import Tensor, nn
from torch.func import functional_call


def accuracy(task: Any) -> worker.Answer:
    """Estimates at each number of draws, read off the trace of one run."""
    model, x, y = worker.deep_linear(task["case"])
    baseline = worker.full_loss(model, x, y)
    source = worker.loader(worker.Rows(x, y), task["batch"])
    losses = _run(model, lambda: _epochs(source), lambda model, batch: worker.squared_error(model, batch).mean(), task)
    return worker.ladder(losses, baseline, task)


def speed(task: Any) -> worker.Answer:
    """Seconds of the steps of all chains."""
    model, data, mean_loss = worker.speed_model(task["model"])
    settings = task | {"step_size": 1e-6, "nbeta": 30.0, "localization": 100.0, "seed": 0}
    begun = time.perf_counter()
    _run(model, lambda: worker.batches(data, task["batch"]), mean_loss, settings)
    return {"seconds": time.perf_counter() - begun}


def _epochs(source: Any) -> Iterator[Any]:
    while True:
        yield from source


class _Loss(nn.Module):
    """The loss as a module's forward pass, so that a function of the module meets swapped weights."""

    def __init__(self, model: nn.Module, mean_loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.mean_loss = model, mean_loss

    def forward(self, batch: Any) -> Tensor:
        return self.mean_loss(self.model, batch)


def _run(model: nn.Module, source: Callable[[], Iterator[Any]], mean_loss: Any, task: Any) -> np.ndarray:
    torch.manual_seed(task["seed"])
    module = _Loss(model, mean_loss)
    center = {name: value.detach().clone() for name, value in module.named_parameters()}

    def log_posterior(weights: dict[str, Tensor], batch: Any) -> tuple[Tensor, Tensor]:
        loss = functional_call(module, weights, (batch,))
        away = sum((weights[name] - center[name]).square().sum() for name in center)
        return -task["nbeta"] * loss - 0.5 * task["localization"] * away, loss.detach()

    transform = posteriors.sgmcmc.sgld.build(log_posterior, lr=task["step_size"] / 2)
    losses = np.empty((task["chains"], task["steps"]))
    for chain in range(task["chains"]):
        state, batches = transform.init({name: value.clone() for name, value in center.items()}), source()
        for step in range(task["steps"]):
            state, loss = transform.update(state, next(batches), inplace=True)
            losses[chain, step] = float(loss)
    return losses


if __name__ == "__main__":
    worker.serve({"accuracy": accuracy, "speed": speed, "floor": worker.floor})
