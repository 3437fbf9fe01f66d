"""Where the free coordinates are stored: all in one process, or divided over several. All sums over them are here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Piece:
    """The free numbers of a parameter that are stored in this process: `size` of `total`, from number `first` on."""

    total: int
    first: int
    size: int

    @classmethod
    def of(cls, sizes: Mapping[str, "Piece | int"]) -> dict[str, "Piece"]:
        """Pieces of parameters, of which those given by their count are here as a whole."""
        return {name: Piece(each, 0, each) if isinstance(each, int) else each for name, each in sizes.items()}


class Layout:
    """All free coordinates in this process, as one flat vector.

    Args:
        pieces: parameter -> its free numbers in this process, in the order of the vector.
    """

    def __init__(self, pieces: Mapping[str, Piece]) -> None:
        self.pieces = dict(pieces)
        self.sizes = [piece.size for piece in self.pieces.values()]
        self.total = sum(piece.total for piece in self.pieces.values())

    def summed(self, sums: Tensor) -> Tensor:
        """Sums over the coordinates of all processes, from those over the coordinates of each."""
        return sums

    def whole(self, vector: Float[Tensor, " here"]) -> Float[Tensor, " parameters"]:
        """The vector of all processes."""
        return vector

    def here(self, vector: Float[Tensor, " parameters"]) -> Float[Tensor, " here"]:
        """The part of a vector of all coordinates that is stored in this process."""
        return vector

    def least(self, number: int) -> int:
        """The least number of any process."""
        return number

    def dot(self, one: Float[Tensor, " here"], other: Float[Tensor, " here"]) -> Float[Tensor, ""]:
        return self.summed(one @ other)

    def norm(self, vector: Float[Tensor, " here"]) -> Float[Tensor, ""]:
        return vector.norm()

    def mean(self, vector: Float[Tensor, " here"]) -> Float[Tensor, ""]:
        return vector.mean()

    def part_means(self, vector: Float[Tensor, " here"]) -> Float[Tensor, " here"]:
        """The mean over each parameter's free coordinates, at each of them."""
        return torch.cat([part.mean().expand(len(part)) for part in vector.split(self.sizes)])

    def all(self, flags: Tensor) -> bool:
        """Whether all are true in all processes."""
        return bool(flags.all())


class Divided(Layout):
    """Free coordinates divided over the processes of a group: each parameter in pieces, in the order of the processes.

    Args:
        pieces: see `Layout`.
        group: the processes.
    """

    def __init__(self, pieces: Mapping[str, Piece], group: Any) -> None:
        super().__init__(pieces)
        self._group, self._count = group, dist.get_world_size(group)
        found: list[Any] = [None] * self._count
        dist.all_gather_object(found, self.sizes, group=group)
        self._sizes: list[list[int]] = found  # of each process and parameter

    def summed(self, sums: Tensor) -> Tensor:
        found = sums.clone()
        dist.all_reduce(found, group=self._group)
        return found

    def whole(self, vector: Tensor) -> Tensor:
        most = max(map(sum, self._sizes))
        padded = torch.nn.functional.pad(vector, (0, most - len(vector)))
        found = [torch.empty_like(padded) for _ in range(self._count)]
        dist.all_gather(found, padded, group=self._group)
        parts = [each[: sum(sizes)].split(sizes) for each, sizes in zip(found, self._sizes, strict=True)]
        return torch.cat([part for pieces in zip(*parts, strict=True) for part in pieces])

    def here(self, vector: Tensor) -> Tensor:
        totals = [piece.total for piece in self.pieces.values()]
        parts = zip(vector.split(totals), self.pieces.values(), strict=True)
        return torch.cat([part[piece.first : piece.first + piece.size] for part, piece in parts])

    def least(self, number: int) -> int:
        found = torch.tensor(number)
        dist.all_reduce(found, dist.ReduceOp.MIN, group=self._group)
        return int(found)

    def norm(self, vector: Tensor) -> Tensor:
        return self.summed(vector.square().sum()).sqrt()

    def mean(self, vector: Tensor) -> Tensor:
        return self.summed(vector.sum()) / self.total

    def part_means(self, vector: Tensor) -> Tensor:
        sums = self.summed(torch.stack([part.sum() for part in vector.split(self.sizes)]))
        parts = zip(sums, self.pieces.values(), strict=True)
        return torch.cat([(each / piece.total).expand(piece.size) for each, piece in parts])

    def all(self, flags: Tensor) -> bool:
        return self.least(int(flags.all())) == 1


def divided_rows(rows: int, count: int, number: int) -> slice:
    """The rows of process `number` of `count`: as many as any other's, or one more."""
    return slice(rows * number // count, rows * (number + 1) // count)
