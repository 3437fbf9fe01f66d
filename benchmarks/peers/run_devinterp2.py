"""Worker of devinterp 2.0.1: `llc` with its SGLD. It knows token sequences only, so other data go in as row numbers.

Its own `llc_mean` averages the burn-in in; here the estimate is read off its loss trace with the burn-in left out.
"""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import worker
from devinterp.slt.llc import llc
from torch import Tensor, nn


class Sequences(torch.utils.data.Dataset):
    """Token sequences under the name it looks for; plain tensors, which are quicker than a table on disk."""

    def __init__(self, tokens: Tensor) -> None:
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[index]}


def accuracy(task: Any) -> worker.Answer:
    """Estimates at each number of draws, read off the trace of one run."""
    model, x, y = worker.deep_linear(task["case"])
    baseline = worker.full_loss(model, x, y)

    def loss(model: nn.Module, rows: Tensor) -> Tensor:
        chosen = rows[:, 0]
        return worker.squared_error(model, (x[chosen], y[chosen]))[:, None]

    return worker.ladder(_run(model, _row_numbers(len(x)), loss, task), baseline, task)


def speed(task: Any) -> worker.Answer:
    """Seconds of the steps of all chains."""
    model, data, _ = worker.speed_model(task["model"])
    settings = task | {"step_size": 1e-6, "nbeta": 30.0, "localization": 100.0, "seed": 0}
    begun = time.perf_counter()
    if task["model"] == "mlp":

        def loss(model: nn.Module, rows: Tensor) -> Tensor:
            chosen = rows[:, 0]
            return F.cross_entropy(model(data[0][chosen]), data[1][chosen], reduction="none")[:, None]

        _run(model, _row_numbers(len(data[0])), loss, settings)
    else:
        _run(model, Sequences(data[0]), None, settings)
    return {"seconds": time.perf_counter() - begun}


def _row_numbers(size: int) -> Sequences:
    return Sequences(torch.arange(size)[:, None].expand(-1, 2).contiguous())


def _run(model: nn.Module, data: Sequences, loss: Callable[..., Tensor] | None, task: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        found = llc(
            model,
            data,
            {},
            lr=task["step_size"],
            n_beta=task["nbeta"],
            loss_fn=loss,
            num_chains=task["chains"],
            num_draws=task["steps"],
            batch_size=task["batch"],
            num_init_loss_batches=1,
            init_seed=1000 * task["seed"],
            localization=task["localization"],
            match_sampling_input_ids_across_chains=False,
            device="cpu",
            output_path=Path(folder) / "samples.zarr",
        )
        return found["loss_trace"].values


if __name__ == "__main__":
    worker.serve({"accuracy": accuracy, "speed": speed, "floor": worker.floor})
