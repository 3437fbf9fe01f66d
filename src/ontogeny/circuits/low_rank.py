"""Matrices that are products of a tall and a wide one, read without being formed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ontogeny.core.errors import InvalidArgument

Places = int | Sequence[int] | Tensor


@dataclass(frozen=True)
class LowRank:
    """The matrix `left @ right`, of rank r at most. Rows are inputs: x M is what the map makes of x.

    Nothing but `dense` and `singular_values` takes memory beyond (m + n) r and what is asked for: a circuit from
    vocabulary to vocabulary is read by its rows, columns, norm, trace and eigenvalues.

    Attributes:
        left: (m, r).
        right: (r, n).
        note: what the matrix is not, such as a score between positions under rotary embeddings; empty if nothing.
    """

    left: Float[Tensor, "row rank"]
    right: Float[Tensor, "rank column"]
    note: str = field(default="", compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[1]

    @property
    def T(self) -> "LowRank":
        return LowRank(self.right.mT, self.left.mT, self.note)

    def __matmul__(self, other: "LowRank") -> "LowRank":
        """The product, through the smaller of the two ranks."""
        between = self.right @ other.left
        note = " ".join(dict.fromkeys(each.note for each in (self, other) if each.note))
        if between.shape[0] <= between.shape[1]:
            return LowRank(self.left, between @ other.right, note)
        return LowRank(self.left @ between, other.right, note)

    def dense(self) -> Float[Tensor, "row column"]:
        """All of it."""
        return self.left @ self.right

    def rows(self, places: Places) -> Float[Tensor, "*some column"]:
        """Rows by number, `(column,)` for one."""
        return self.left[places] @ self.right

    def columns(self, places: Places) -> Float[Tensor, "row *some"]:
        """Columns by number, `(row,)` for one."""
        return self.left @ self.right[:, places]

    def mean_row(self) -> Float[Tensor, " column"]:
        """The mean of all rows."""
        return self.left.mean(0) @ self.right

    def mean_column(self) -> Float[Tensor, " row"]:
        """The mean of all columns."""
        return self.left @ self.right.mean(1)

    def norm(self) -> float:
        """Frobenius norm."""
        return float(torch.linalg.matrix_norm(self._core()))

    def singular_values(self) -> Float[Tensor, " few"]:
        """From the largest; those beyond the smallest of m, n and r are zero and left out."""
        return torch.linalg.svdvals(self._core())

    def trace(self) -> float:
        """Sum of the diagonal, which is the sum of the eigenvalues.

        Raises:
            InvalidArgument: for a matrix that is not square.
        """
        self._square()
        return float((self.left * self.right.mT).sum())

    def eigenvalues(self) -> Complex[Tensor, " few"]:
        """The r eigenvalues that may differ from zero, by size; they are those of `right @ left`, (r, r).

        Raises:
            InvalidArgument: for a matrix that is not square.
        """
        self._square()
        found = torch.linalg.eigvals(self.right @ self.left if self.left.shape[1] < self.shape[0] else self.dense())
        return found[found.abs().argsort(descending=True)]

    def positive_share(self) -> float:
        """Σλ / Σ|λ| in [-1, 1]: 1 where all eigenvalues are positive, as of a map that keeps its input's direction.

        Elhage et al. 2021, the copying score of an OV circuit. NaN for a matrix of zeros.
        """
        found = self.eigenvalues()
        return float(found.real.sum() / found.abs().sum())

    def _core(self) -> Float[Tensor, "few some"]:
        """A small matrix with the same singular values."""
        upper = torch.linalg.qr(self.left, mode="r").R
        lower = torch.linalg.qr(self.right.mT, mode="r").R
        return upper @ lower.mT

    def _square(self) -> None:
        if self.shape[0] != self.shape[1]:
            raise InvalidArgument("matrix", expected="as many rows as columns", found=str(self.shape))
