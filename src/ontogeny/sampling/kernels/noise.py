"""The random numbers of chains: of each its own, the same however chains are batched and however many threads draw."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.seeds import generator

# Weights with a generator of their own on a CPU, where a generator is slower than the memory it fills and runs in one
# thread: long rows are drawn by several. On a GPU one generator fills a row.
_PIECE = 1 << 18


class Noise:
    """The generators of some chains.

    Args:
        streams: of each chain its generators, the first for rows up to 2¹⁸ weights long, the next for what follows.
    """

    def __init__(self, streams: list[list[torch.Generator]]) -> None:
        self._streams = streams

    @classmethod
    def of(cls, seed: int, num_chains: int, size: int, device: torch.device) -> "Noise":
        """Noise of `size` weights for each chain of a run, children of `seed` named by the chain and the piece."""
        more = range(1, math.ceil(size / _PIECE) if device.type == "cpu" else 1)
        streams = []
        for chain in range(num_chains):
            first = generator(seed, "noise", chain, device=device)
            streams.append([first, *(generator(seed, "noise", chain, piece, device=device) for piece in more)])
        return cls(streams)

    def chains(self, numbers: list[int]) -> "Noise":
        """Of these chains alone."""
        return Noise([self._streams[number] for number in numbers])

    def normal(self, out: Float[Tensor, "chain size"]) -> Float[Tensor, "chain size"]:
        """Fill `out` with standard normals."""
        pieces = [
            (piece, stream[number])
            for row, stream in zip(out, self._streams, strict=True)
            for number, piece in enumerate(row.split(_PIECE) if len(stream) > 1 else (row,))
        ]
        threads = torch.get_num_threads()
        if len(pieces) > len(out) and threads > 1:
            list(_pool(threads).map(_fill, pieces))
        else:
            for piece in pieces:
                _fill(piece)
        return out

    def uniform(self) -> Float[Tensor, " chain"]:
        """One number in [0, 1) a chain."""
        return torch.cat([torch.rand(1, generator=each, device=each.device) for each, *_ in self._streams])


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="ontogeny-noise")


def _fill(piece: tuple[Tensor, torch.Generator]) -> None:
    tensor, source = piece
    tensor.normal_(generator=source)
