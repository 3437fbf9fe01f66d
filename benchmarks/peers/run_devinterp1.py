"""Worker of devinterp 1.3.2: `estimate_learning_coeff_with_summary` with its own SGLD."""

import time
from typing import Any

import torch
import worker
from devinterp.optim.sgld import SGLD
from devinterp.slt.sampler import estimate_learning_coeff_with_summary


def accuracy(task: Any) -> worker.Answer:
    """Estimates at each number of draws; one run without burn-in records the whole trace, and each N is read off it."""
    model, x, y = worker.deep_linear(task["case"])
    baseline = worker.full_loss(model, x, y)
    loss = lambda model, batch: worker.squared_error(model, batch).mean()  # noqa: E731
    try:
        losses = _run(model, worker.loader(worker.Rows(x, y), task["batch"]), loss, baseline, task)
    except RuntimeError as error:
        if "NaN" not in str(error):
            raise
        return {"failed": str(error)}  # a chain that blew up, which is an answer: the step size is too large
    return worker.ladder(losses, baseline, task)


def speed(task: Any) -> worker.Answer:
    """Seconds of the steps of all chains."""
    model, data, mean_loss = worker.speed_model(task["model"])
    source = worker.loader(worker.Rows(*data), task["batch"])
    settings = task | {"step_size": 1e-6, "nbeta": 30.0, "localization": 100.0, "seed": 0}
    begun = time.perf_counter()
    _run(model, source, mean_loss, 1.0, settings)
    return {"seconds": time.perf_counter() - begun}


def _run(model: Any, source: Any, loss: Any, baseline: float, task: Any) -> Any:
    optimizer = {"lr": task["step_size"], "nbeta": task["nbeta"], "localization": task["localization"]}
    found = estimate_learning_coeff_with_summary(
        model,
        source,
        evaluate=loss,
        sampling_method=SGLD,
        optimizer_kwargs=optimizer,
        num_draws=task["steps"],
        num_chains=task["chains"],
        num_burnin_steps=0,
        init_loss=baseline,
        seed=task["seed"],
        device=torch.device("cpu"),
        verbose=False,
    )
    return found["loss/trace"]


if __name__ == "__main__":
    worker.serve({"accuracy": accuracy, "speed": speed, "floor": worker.floor})
