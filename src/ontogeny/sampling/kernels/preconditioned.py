"""Langevin dynamics with a frozen preconditioner: diagonal, or diagonal plus low rank."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.kernels.protocol import Potential, State, check_each_positive, check_positive


@dataclass(frozen=True)
class PreconditionedSGLD:
    """w ← w - (ε/2) G ∇U_B(w) + √ε G^½ ξ with a constant G = R Rᵀ, R = D^½ (1 + V (d - 1) Vᵀ).

    A constant G leaves the posterior as it is and changes only how fast each direction is crossed; ideally G is the
    inverse curvature of U. With G^-1 = nβH + γ, every direction of a quadratic has the same time constant, 2/ε.

    Args:
        step_size: ε > 0.
        diagonal: the diagonal of D, one positive number per weight.
        directions: V, orthonormal columns (parameters, rank), in the coordinates D^-½ w; with `factors`.
        factors: d > 0, by how much each direction of V is stretched.

    Raises:
        InvalidArgument: for numbers that are not positive, directions without factors, or columns not orthonormal.
    """

    step_size: float
    diagonal: Float[Tensor, " parameters"] = field(repr=False, compare=False)
    directions: Float[Tensor, "parameters rank"] | None = field(default=None, repr=False, compare=False)
    factors: Float[Tensor, " rank"] | None = field(default=None, repr=False, compare=False)
    exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size)
        check_each_positive(diagonal=self.diagonal)
        if (self.directions is None) != (self.factors is None):
            found = "only one of them"
            raise InvalidArgument("directions, factors", expected="both or none", found=found, instead="factors=...")
        if self.directions is not None and self.factors is not None:
            check_each_positive(factors=self.factors)
            gram = self.directions.T @ self.directions
            off = float((gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).abs().max())
            if off > 1e-3:
                raise InvalidArgument(
                    "directions",
                    expected="orthonormal columns",
                    found=f"VᵀV off the identity by {off:.2g}",
                    instead="torch.linalg.qr(directions).Q",
                )

    def start(self, state: State, noise: Noise) -> dict[str, Tensor]:
        return {}

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        state.positions.add_(self._root(self._transposed_root(state.gradients)), alpha=-self.step_size / 2)
        state.positions.add_(self._root(noise.normal(state.gradients)), alpha=self.step_size**0.5)
        state.evaluated = False

    def inflation(self, state: State, loss_gradients: Tensor, noise: Tensor | None) -> Float[Tensor, " chain"]:
        product = state.reductions.dot(self._transposed_root(state.gradients), self._transposed_root(loss_gradients))
        return self.step_size / 8 * product

    def heat(self, state: State, noise: Tensor, other: Tensor) -> Float[Tensor, " chain"]:
        return (
            self.step_size
            / 4
            * state.reductions.mean_product(self._transposed_root(noise), self._transposed_root(other))
        )

    def _root(self, vectors: Float[Tensor, "chain parameters"]) -> Float[Tensor, "chain parameters"]:
        return self._stretch(vectors) * self.diagonal.sqrt()

    def _transposed_root(self, vectors: Float[Tensor, "chain parameters"]) -> Float[Tensor, "chain parameters"]:
        return self._stretch(vectors * self.diagonal.sqrt())

    def _stretch(self, vectors: Float[Tensor, "chain parameters"]) -> Float[Tensor, "chain parameters"]:
        if self.directions is None or self.factors is None:
            return vectors
        return vectors + ((vectors @ self.directions) * (self.factors - 1)) @ self.directions.T
