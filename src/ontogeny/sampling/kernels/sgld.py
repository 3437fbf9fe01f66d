"""Stochastic gradient Langevin dynamics (Welling & Teh 2011), in the form of the learning-coefficient literature."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.kernels.protocol import Potential, State, check_positive


@dataclass(frozen=True)
class SGLD:
    """w ← w - (ε/2) ∇U_B(w) + √ε ξ, ξ ~ N(0, 1), with U = nβ L + (γ/2)|w - w*|².

    On a quadratic with curvature c = nβh + γ the stationary variance is 1/(c (1 - εc/4)): the estimate is inflated by
    1/(1 - εc/4) and diverges at εc = 4. A minibatch gradient of covariance S heats the chain further, by ε(nβ)²S/4
    relative to the injected noise. `inflation` gives both together, as (ε/8) E[nβ∇L_B · ∇U_B]. On a quadratic this is
    exact, because it follows from the stationarity of |w - w*|².

    Args:
        step_size: ε > 0.

    Raises:
        InvalidArgument: unless ε is a finite number > 0.
    """

    step_size: float
    exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size)

    def start(self, state: State, noise: Noise) -> dict[str, Tensor]:
        return {}

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        state.positions.add_(state.gradients, alpha=-self.step_size / 2)
        state.positions.add_(noise.normal(state.gradients), alpha=self.step_size**0.5)
        state.evaluated = False

    def inflation(self, state: State, loss_gradients: Tensor, noise: Tensor | None) -> Float[Tensor, " chain"]:
        return self.step_size / 8 * state.reductions.dot(state.gradients, loss_gradients)

    def heat(self, state: State, noise: Tensor, other: Tensor) -> Float[Tensor, " chain"]:
        return self.step_size / 4 * state.reductions.mean_product(noise, other)
