"""Worker of canonical-interp: `LLCEstimator`, all chains in one vmapped pass."""

import logging
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import worker
from canonical_interp.slt import LLCEstimator
from torch import Tensor, nn

logging.disable(logging.WARNING)


def accuracy(task: Any) -> worker.Answer:
    """Estimates at each number of draws, read off the trace of one run without burn-in.

    The network is frozen, or the pass over all samples that it begins with would keep every batch's graph in memory.
    """
    model, x, y = worker.deep_linear(task["case"])
    baseline = worker.full_loss(model, x, y)
    model.requires_grad_(False)
    data = worker.loader(worker.Rows(x, y), task["batch"])
    return worker.ladder(_run(model, data, _squared_error, task, compiled=False), baseline, task)


def speed(task: Any) -> worker.Answer:
    """Seconds of the steps of all chains, on few batches of data, for it begins with a pass over all of them."""
    model, data, _ = worker.speed_model(task["model"])
    few = tuple(part[: 4 * task["batch"]] for part in data)
    criterion = F.cross_entropy
    if task["model"] == "transformer":
        few, criterion = (few[0], few[0]), _next_token
    source = worker.loader(worker.Rows(*few), task["batch"])
    settings = task | {"step_size": 1e-6, "nbeta": 30.0, "localization": 100.0, "seed": 0}
    begun = time.perf_counter()
    _run(model, source, criterion, settings, compiled=task["compiled"])
    return {"seconds": time.perf_counter() - begun}


def _squared_error(found: Tensor, y: Tensor) -> Tensor:
    return (found - y).square().sum(1).mean()


def _next_token(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def _run(model: nn.Module, source: Any, criterion: Callable[..., Tensor], task: Any, compiled: bool) -> Any:
    estimator = LLCEstimator(
        draws=task["steps"],
        chains=task["chains"],
        burnin_steps=0,
        steps_bw_draws=1,
        learning_rate=task["step_size"],
        localization=task["localization"],
        nbeta=task["nbeta"],
    )
    estimator.estimate_llc(
        model, source, criterion, devices="cpu", seed=task["seed"], compile=compiled, show_progress=False
    )
    return estimator.get_metrics()["losses"].detach().numpy()


if __name__ == "__main__":
    torch.set_grad_enabled(True)
    worker.serve({"accuracy": accuracy, "speed": speed, "floor": worker.floor})
