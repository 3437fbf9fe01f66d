"""What every worker script shares: requests and answers as lines of JSON, the networks, their data and the floor.

A worker runs under the interpreter of one peer, next to nothing but torch and numpy; it imports nothing of this project
but this file, which lies in its folder.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Answer = dict[str, Any]


def serve(handlers: dict[str, Callable[[Any], Answer]]) -> None:
    """Answer each line of stdin, `{"do": name, ...}`, with one line; whatever else is printed goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        task = json.loads(line)
        torch.set_num_threads(task.get("threads", 1))
        begun = time.perf_counter()
        try:
            answer = handlers[task["do"]](task)
        except Exception as error:  # what stopped the peer is told to whoever asked
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        answer = {"seconds": time.perf_counter() - begun} | answer
        out.write(json.dumps(answer) + "\n")
        out.flush()


class Rows(torch.utils.data.Dataset):
    """Tensors whose rows are fetched a batch at a time, so that no time goes into collating single samples."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, ...]:
        chosen = torch.tensor(indices)
        return tuple(tensor[chosen] for tensor in self.tensors)


def loader(rows: Rows, batch_size: int) -> torch.utils.data.DataLoader:
    """Batches without replacement in a new order each epoch: the full ones of torch's own loader, taken whole."""
    return torch.utils.data.DataLoader(rows, batch_size, shuffle=True, drop_last=True, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


_loaded: dict[str, tuple[nn.Module, Tensor, Tensor]] = {}


def deep_linear(path: str) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, x and y of a case's file; the last one read is kept."""
    if path not in _loaded:
        _loaded.clear()
        case = torch.load(path, weights_only=True)
        model = nn.Sequential(*[nn.Linear(w.shape[1], w.shape[0], bias=False) for w in case["weights"]])
        with torch.no_grad():
            for parameter, weight in zip(model.parameters(), case["weights"], strict=True):
                parameter.copy_(weight)
        _loaded[path] = model, case["x"], case["y"]
    return _loaded[path]


def squared_error(model: nn.Module, batch: Any) -> Tensor:
    """|model(x) - y|² of each sample."""
    x, y = batch
    return (model(x) - y).square().sum(1)


def full_loss(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The mean loss over all samples, to float64: the kindest baseline an estimate can have."""
    with torch.no_grad():
        parts = zip(x.split(65536), y.split(65536), strict=True)
        return sum(float(squared_error(model, part).double().sum()) for part in parts) / len(x)


def ladder(losses: np.ndarray, baseline: float, task: Any) -> Answer:
    """nβ (mean loss - baseline) at each number of draws N of the task: the draws are the last N of the first 2N steps.

    `losses` is (chain, step) from the very first step; the trace is kept at `task["trace"]`.
    """
    if task.get("trace"):
        np.savez_compressed(task["trace"], losses=losses.astype(np.float32), baseline=baseline)
    losses = losses.astype(np.float64)
    estimates = [
        float(task["nbeta"] * (losses[:, draws : 2 * draws].mean() - baseline))
        for draws in task["draws"]
        if 2 * draws <= losses.shape[1]
    ]
    return {"estimates": [value if np.isfinite(value) else None for value in estimates]}


def speed_model(name: str) -> tuple[nn.Module, tuple[Tensor, ...], Callable[[nn.Module, Any], Tensor]]:
    """The model, data and mean loss of a speed case: the `mlp`, or the attention-only `transformer`."""
    generator = torch.Generator().manual_seed(0)
    if name == "mlp":
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
        data = torch.randn(4096, 32, generator=generator), torch.randint(10, (4096,), generator=generator)
        return model, data, lambda model, batch: F.cross_entropy(model(batch[0]), batch[1])
    tokens = torch.randint(5000, (512, 128), generator=generator)
    return AttentionOnly(), (tokens,), _next_token


def _next_token(model: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0])[:, :-1].flatten(0, 1), batch[0][:, 1:].flatten())


class AttentionOnly(nn.Module):
    """Two attention-only layers of eight heads, d = 256, vocabulary 5000, context 128: 3.1 million weights.

    The attention is written out: torch's fused one has no second derivative, which one of the peers asks for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(5000, 256), nn.Parameter(0.02 * torch.randn(128, 256))
        self.norms = nn.ModuleList(nn.LayerNorm(256) for _ in range(3))
        self.mixes = nn.ModuleList(nn.Linear(256, 768, bias=False) for _ in range(2))
        self.outs = nn.ModuleList(nn.Linear(256, 256, bias=False) for _ in range(2))
        self.unembed = nn.Linear(256, 5000, bias=False)
        self.register_buffer("mask", torch.full((128, 128), -torch.inf).triu(1))

    def forward(self, tokens: Tensor) -> Tensor:
        stream = self.embed(tokens) + self.position
        for norm, mix, out in zip(self.norms, self.mixes, self.outs, strict=False):
            query, key, value = mix(norm(stream)).unflatten(-1, (3, 8, 32)).permute(2, 0, 3, 1, 4)
            scores = query @ key.transpose(-1, -2) / 32**0.5 + self.mask
            mixed = scores.softmax(dim=-1) @ value
            stream = stream + out(mixed.transpose(1, 2).flatten(2))
        return self.unembed(self.norms[2](stream))


def batches(data: tuple[Tensor, ...], batch_size: int, seed: int = 1) -> Iterator[tuple[Tensor, ...]]:
    """Endless batches drawn with replacement, the cheapest way there is."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        chosen = torch.randint(len(data[0]), (batch_size,), generator=generator)
        yield tuple(part[chosen] for part in data)


def floor(task: Any) -> Answer:
    """Seconds of the eager forward and backward pass alone, once a chain and step, with the peer's model and batch."""
    model, data, mean_loss = speed_model(task["model"])
    source = batches(data, task["batch"])
    begun = time.perf_counter()
    for _ in range(task["steps"] * task["chains"]):
        model.zero_grad()
        mean_loss(model, next(source)).backward()
    return {"seconds": time.perf_counter() - begun}
