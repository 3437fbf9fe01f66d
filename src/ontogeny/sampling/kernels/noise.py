"""The random numbers of chains: of each its own, the same however chains are batched."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor

# From here on PyTorch's normals, drawn one by one, would take a tenth of a step on a CPU.
_LONG = 2**20
_BLOCK = 2**16  # normals at once, so that they and their bits stay in cache


class Noise:
    """One generator a chain: what a chain draws does not depend on which others are stepped with it.

    Normals are PyTorch's, but for rows of 2^20 and more in single precision on a CPU. Those are made of the 65,536
    quantiles at (k + 1/2) / 65,536, scaled to variance 1, each as likely: within 1.1·10⁻⁵ of the normal distribution
    function, of kurtosis 2.9992, at most 4.33 in size, and drawn in half of the time.
    """

    def __init__(self, generators: list[torch.Generator]) -> None:
        self._generators = generators

    def chains(self, numbers: list[int]) -> "Noise":
        """Of these chains alone."""
        return Noise([self._generators[number] for number in numbers])

    def normal(self, out: Float[Tensor, "chain size"]) -> Float[Tensor, "chain size"]:
        """Fill `out` with standard normals."""
        for row, generator in zip(out, self._generators, strict=True):
            if len(row) >= _LONG and row.device.type == "cpu" and row.dtype == torch.float32:
                _fill_by_quantiles(row.numpy(), generator)
            else:
                row.normal_(generator=generator)
        return out

    def uniform(self) -> Float[Tensor, " chain"]:
        """One number in [0, 1) a chain."""
        return torch.cat([torch.rand(1, generator=each, device=each.device) for each in self._generators])


def _fill_by_quantiles(row: np.ndarray, generator: torch.Generator) -> None:
    """Each number by 16 bits of a fast generator, which the chain's own seeds."""
    bits = np.random.SFC64(int(torch.randint(2**62, (), generator=generator)))
    for first in range(0, len(row), _BLOCK):
        block = row[first : first + _BLOCK]
        drawn = bits.random_raw(-(-len(block) // 4)).view(np.uint16)[: len(block)]
        np.take(_quantiles(), drawn, out=block, mode="wrap")


@cache
def _quantiles() -> np.ndarray:
    quantiles = ndtri((np.arange(2**16) + 0.5) / 2**16)
    return (quantiles / quantiles.std()).astype(np.float32)
