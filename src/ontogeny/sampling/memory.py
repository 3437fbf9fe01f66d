"""How many samples go through a model at once: measured from what its backward pass keeps of each."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ontogeny.core.samples import Samples
from ontogeny.sampling.passes import OneByOne

MEMORY = 128 * 2**20  # bytes that what is kept for the backward pass of one pass may take; gradients by it take as much
MOST = 2**17  # samples: beyond, a pass gains nothing


def pass_size_of(run: OneByOne, weights: Sequence[Tensor], samples: Samples) -> int:
    """The samples of a pass whose backward pass keeps `MEMORY` bytes; at least one, at most `MOST`.

    What is kept is counted on a pass over two samples and one over three, by the tensors that autograd saves, so that
    the weights themselves, which do not grow with the batch, drop out.
    """
    if samples.stored < 3:
        return samples.stored
    fewer, more = (_saved_bytes(run, weights, samples, count) for count in (2, 3))
    return max(1, min(MOST, MEMORY // max(more - fewer, 1)))


def _saved_bytes(run: OneByOne, weights: Sequence[Tensor], samples: Samples, count: int) -> int:
    """Bytes of distinct storages that autograd saves in a pass over the first samples."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Any:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = samples.take(torch.arange(count), weights[0].device if weights else "cpu")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        graph = run.differentiable(weights, batch, count)  # held until all is counted, so that no storage is used twice
    del graph
    return sum(kept.values())
