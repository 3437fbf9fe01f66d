"""Stochastic gradient Langevin dynamics (Welling & Teh 2011), in the form of the learning-coefficient literature."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core.errors import InvalidArgument


@dataclass(frozen=True)
class SGLD:
    """w ← w - (ε/2) ∇U_B(w) + √ε ξ, ξ ~ N(0, 1), with U = nβ L + (γ/2)|w - w*|².

    On a quadratic with curvature c = nβh + γ the stationary variance is 1/(c (1 - εc/4)): the estimate is inflated by
    1/(1 - εc/4) and
    diverges at εc = 4. A minibatch gradient of covariance S heats the chain further, by ε(nβ)²S/4 relative to the
    injected noise.

    Args:
        step_size: ε > 0.

    Raises:
        InvalidArgument: unless ε is a finite number > 0.
    """

    step_size: float

    def __post_init__(self) -> None:
        if not 0 < self.step_size < math.inf:
            raise InvalidArgument(
                "step_size", expected="a finite number > 0", found=str(self.step_size), instead="step_size=1e-4"
            )

    def step(
        self,
        positions: Float[Tensor, "chain parameters"],
        gradients: Float[Tensor, "chain parameters"],
        noise: list[torch.Generator],
    ) -> None:
        """One update of every chain in place; `gradients` holds ∇U_B(w) and is used up as the buffer of the noise."""
        positions.add_(gradients, alpha=-self.step_size / 2)
        for row, generator in zip(gradients, noise, strict=True):
            row.normal_(generator=generator)
        positions.add_(gradients, alpha=self.step_size**0.5)
