"""Our own worker for the cost of a step, which takes its turn among the peers: SGLD at a fixed step, paired draws."""

import time
from typing import Any

import torch
import worker

from ontogeny import SGLD, LocalPosterior, losses, sample

_posteriors: dict[str, LocalPosterior] = {}


def speed(task: Any) -> worker.Answer:
    """Seconds of the steps of all chains, each recording a draw; losses at w* are cached before, as in a long run."""
    if task["model"] not in _posteriors:
        model, data, _ = worker.speed_model(task["model"])
        loss_fn = losses.cross_entropy if task["model"] == "mlp" else losses.next_token
        given = data if len(data) > 1 else data[0]
        posterior = LocalPosterior(model, given, loss_fn, nbeta=30.0, localization=100.0, batch_size=task["batch"])
        posterior.center_losses(torch.arange(posterior.samples.stored))
        _posteriors[task["model"]] = posterior
    begun = time.perf_counter()
    sample(_posteriors[task["model"]], SGLD(1e-6), num_chains=task["chains"], num_draws=task["steps"], num_warmup=0)
    return {"seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    worker.serve({"speed": speed, "floor": worker.floor})
