"""Minibatches of chains, drawn with replacement. Each sample is a function of seed, chain, step and place."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ontogeny.core.addressed import Words
from ontogeny.core.seeds import derive

_AHEAD, _KEPT = 64, 2**14  # steps drawn at once, and samples of a chain kept for them


class Order:
    """The samples of each chain's minibatch at any step.

    Args:
        seed: root of the seed tree.
        num_chains: number of chains, each with its own order.
        stored: number of samples to choose from.
        batch_size: number of samples in a minibatch.
    """

    def __init__(self, seed: int, num_chains: int, stored: int, batch_size: int) -> None:
        self._key, self._num_chains = derive(seed, "order"), num_chains
        self._stored, self._batch_size = stored, batch_size
        self._words, self._ahead = Words(), max(1, min(_AHEAD, _KEPT // batch_size))
        self._first, self._kept = -1, torch.empty(0)

    def at(self, step: int) -> Int[Tensor, "chain batch"]:
        """The minibatches of this step, which is ≥ 0."""
        within = step % self._ahead
        if self._first != step - within:
            self._first = step - within
            chains = [self._samples(chain) for chain in range(self._num_chains)]
            self._kept = torch.from_numpy(np.stack(chains, axis=1))
        return self._kept[within]

    def _samples(self, chain: int) -> Int[np.ndarray, "step batch"]:
        words = self._words.at(self._key, chain, self._first, self._batch_size, steps=self._ahead)
        return ((words >> np.uint64(11)) * 2.0**-53 * self._stored).astype(np.int64)
