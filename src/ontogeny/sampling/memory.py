"""How many samples to pass through a model at once, from the measured memory of the backward pass."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ontogeny.sampling.passes import Run
from ontogeny.sampling.recompute import stored

MEMORY = 128 * 2**20  # bytes that one pass may store for its backward pass; gradients take as much again
MOST = 2**17  # samples; larger passes gain nothing


def pass_size_of(run: Run, weights: Sequence[Tensor], stored: int, take: Callable[[Tensor], Any]) -> int:
    """The number of samples whose backward pass stores `MEMORY` bytes; at least one, at most `MOST`.

    Memory is counted from the tensors that autograd saves in a pass over two samples and in one over three. The weights
    do not grow with the batch and cancel in the difference. What layers compute again is counted as if it were stored.

    Args:
        run, weights: the pass, and the weights of one chain.
        stored: number of samples.
        take: gives a batch of some samples.
    """
    if stored < 3:
        return stored
    fewer, more = (_saved_bytes(run, weights, take(torch.arange(count)), count) for count in (2, 3))
    return max(1, min(MOST, MEMORY // max(more - fewer, 1)))


def _saved_bytes(run: Run, weights: Sequence[Tensor], batch: Any, count: int) -> int:
    """Bytes of the distinct storages that autograd saves in a pass over the first samples."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Any:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with stored(run.model), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        graph = run.graph(weights, batch, count)  # kept alive, so that no storage is reused meanwhile
    del graph
    return sum(kept.values())
