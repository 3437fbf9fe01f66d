"""The random numbers of chains. Each is a function of its address, however chains, parameters and steps are batched."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, UInt64
from scipy.special import ndtri
from torch import Tensor

from ontogeny.core.addressed import Words
from ontogeny.core.seeds import derive
from ontogeny.sampling.layout import Piece

BLOCK = 2**20  # numbers of a parameter drawn at one address
# Steps of small networks are drawn ahead: addressing each small parameter costs more than drawing it.
_AHEAD, _KEPT = 64, 2**16  # most steps drawn ahead, and most numbers of a chain kept for them
_A_WORD = 8  # normals of a word of 64 bits
_IN_CACHE = 2**15  # pairs at once, so that they and their indices stay in cache
_QUANTILES = 2**16
# The odd multiplier with the least covariance and joint moments among those whose lattice is nearly the most even.
_MULTIPLIER = 28977


class Noise:
    """Normal and uniform numbers for some chains, as functions of (seed, chain, parameter, step, block) alone.

    A parameter is identified by its name and the count of its free numbers. A component therefore draws the same
    numbers for it as the whole network does. Block b holds the numbers from b · 2^20 on, and can be drawn without the
    others. A step may draw several times; each draw is different.

    On a CPU normals are drawn in pairs from 65,536 equally likely points. Both coordinates run over the quantiles at (k
    + 1/2) / 65,536, scaled to variance 1; the second follows the order of a rank-1 lattice. One normal is within
    1.1·10⁻⁵ of the normal distribution function, of kurtosis 2.9992, at most 4.33 in size; a pair has covariance
    6·10⁻⁶, and E x²y² = 0.9998. It takes a quarter of the time of PyTorch's generator. Double precision uses the same
    points. Other devices use PyTorch's generator, seeded by the address, and so draw different numbers from a CPU.

    Args:
        seed: root of the seed tree.
        sizes: parameter -> count of its free numbers, or the piece of them that is drawn here, in the order of a row.
        chains: chain numbers, one per row.
        device: where they live.
    """

    def __init__(
        self, seed: int, sizes: Mapping[str, Piece | int], chains: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        self._key, self._chains, self._device = derive(seed, "noise"), list(chains), torch.device(device)
        pieces = Piece.of(sizes)
        self._blocks = list(_blocks(seed, pieces))
        self._words, self._generator = Words(), torch.Generator(self._device)
        ahead = min(_AHEAD, _KEPT // max(sum(piece.size for piece in pieces.values()), 1))
        self._ahead = max(ahead, 1) if self._device.type == "cpu" else 1
        self._kept: dict[int, tuple[int, Tensor]] = {}  # draw -> its normals of the steps ahead, and the first of them
        self.at(-1)

    def at(self, step: int) -> "Noise":
        """Move to the numbers of this step; -1 is before the first."""
        self._step, self._draw = step + 1, -1
        return self

    def normal(self, out: Float[Tensor, "chain size"]) -> Float[Tensor, "chain size"]:
        """Fill `out` with standard normals."""
        self._draw += 1
        if self._ahead == 1:
            self._fill(out[None], self._step)
            return out
        within = self._step % self._ahead
        first, kept = self._kept.get(self._draw, (-1, out))
        if first != self._step - within:
            first, kept = self._step - within, out.new_empty(self._ahead, *out.shape)
            self._fill(kept, first)
            self._kept[self._draw] = first, kept
        return out.copy_(kept[within])

    def uniform(self) -> Float[Tensor, " chain"]:
        """One number in [0, 1) per chain."""
        self._draw += 1
        words = [self._words.at(self._key, chain, self._step, 1, draw=self._draw)[0] for chain in self._chains]
        short = (np.concatenate(words) >> np.uint64(40)).astype(np.float32)  # 24 bits, so that none rounds to 1
        return torch.from_numpy(short * np.float32(2**-24)).to(self._device)

    def _fill(self, out: Float[Tensor, "step chain size"], step: int) -> None:
        """Normals of consecutive steps: any number of steps on a CPU, one elsewhere."""
        if self._device.type == "cpu":
            rows = out.numpy()
            for row, chain in enumerate(self._chains):
                for columns, key, block, inside, length in self._blocks:
                    address = {"steps": len(out), "draw": self._draw, "block": block}
                    words = self._words.at(key, chain, step, -(-length // _A_WORD), **address)
                    if inside == slice(0, length):
                        fill_by_pairs(rows[:, row, columns], words)
                    else:
                        fill_by_pairs(whole := np.empty((len(out), length), rows.dtype), words)
                        rows[:, row, columns] = whole[:, inside]
        else:
            for row, chain in zip(out[0], self._chains, strict=True):
                for columns, key, block, inside, length in self._blocks:
                    source = self._generator.manual_seed(derive(key, chain, step, self._draw, block))
                    if inside == slice(0, length):
                        row[columns].normal_(generator=source)
                    else:
                        row[columns] = row.new_empty(length).normal_(generator=source)[inside]


def _blocks(seed: int, pieces: Mapping[str, Piece]) -> Iterator[tuple[slice, int, int, slice, int]]:
    """The blocks of each parameter: place in a row, the parameter's key, number, the part drawn here, and length."""
    start = 0
    for name, piece in pieces.items():
        stop = piece.first + piece.size
        for block in range(piece.first // BLOCK, -(-stop // BLOCK) if piece.size else 0):
            begin, length = block * BLOCK, min(BLOCK, piece.total - block * BLOCK)
            inside = slice(max(piece.first - begin, 0), min(stop - begin, length))
            columns = slice(start + begin + inside.start - piece.first, start + begin + inside.stop - piece.first)
            yield columns, derive(seed, "noise", name), block, inside, length
        start += piece.size


def fill_by_pairs(out: Float[np.ndarray, "step size"], words: UInt64[np.ndarray, "step length"]) -> None:
    """Turn each step's random words into normals, two from each 16 bits."""
    points, bits = _pairs(out.dtype), words.view(np.uint16)
    even = out.shape[1] // 2 * 2
    pairs = out[:, :even].view(points.dtype)
    for first in range(0, even // 2, _IN_CACHE):
        part = pairs[:, first : first + _IN_CACHE]
        np.take(points, bits[:, first : first + part.shape[1]], out=part, mode="wrap")
    if even < out.shape[1]:
        out[:, even] = points.real[bits[:, even // 2]]


@cache
def _pairs(dtype: np.dtype) -> np.ndarray:
    """The points of the plane as complex numbers. Each coordinate takes every quantile once."""
    ranks = np.arange(_QUANTILES)
    quantiles = ndtri((ranks + 0.5) / _QUANTILES)
    quantiles /= quantiles.std()
    order = (2 * ranks + 1) * _MULTIPLIER % (2 * _QUANTILES) // 2  # of odd numbers, so that it is odd about the middle
    return (quantiles + 1j * quantiles[order]).astype(np.result_type(dtype, np.complex64))
