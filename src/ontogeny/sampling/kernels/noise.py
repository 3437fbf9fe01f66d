"""The random numbers of chains: of each its own, the same however chains are batched."""

import torch
from jaxtyping import Float
from torch import Tensor


class Noise:
    """One generator a chain: what a chain draws does not depend on which others are stepped with it."""

    def __init__(self, generators: list[torch.Generator]) -> None:
        self._generators = generators

    def chains(self, numbers: list[int]) -> "Noise":
        """Of these chains alone."""
        return Noise([self._generators[number] for number in numbers])

    def normal(self, out: Float[Tensor, "chain size"]) -> Float[Tensor, "chain size"]:
        """Fill `out` with standard normals."""
        for row, generator in zip(out, self._generators, strict=True):
            row.normal_(generator=generator)
        return out

    def uniform(self) -> Float[Tensor, " chain"]:
        """One number in [0, 1) a chain."""
        return torch.cat([torch.rand(1, generator=each, device=each.device) for each in self._generators])
