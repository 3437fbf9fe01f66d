"""The protocol of kernels, and what they receive: the state of some chains and their potential."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.sampling.kernels.noise import Noise
from ontogeny.sampling.layout import Layout

# From this size on, a product of two vectors is summed as it is computed; for shorter ones storing it is faster.
_SHORT = 2**14


class Reductions:
    """All sums over the weights of each chain, wherever those weights are stored.

    Args:
        layout: where they are.
    """

    def __init__(self, layout: Layout) -> None:
        self.size, self._layout = layout.total, layout

    def dot(
        self, first: Float[Tensor, "chain parameters"], second: Float[Tensor, "#chain parameters"]
    ) -> Float[Tensor, " chain"]:
        """Inner products chain by chain, or of each chain with the single vector `second`."""
        if first.shape[1] < _SHORT:
            return self._layout.summed(torch.linalg.vecdot(first, second))
        return self._layout.summed(torch.einsum("cp,cp->c", first, second))

    def norm(self, vectors: Float[Tensor, "chain parameters"]) -> Float[Tensor, " chain"]:
        return self.dot(vectors, vectors).sqrt()

    def mean_product(
        self, first: Float[Tensor, "chain parameters"], second: Float[Tensor, "chain parameters"]
    ) -> Float[Tensor, " chain"]:
        return self.dot(first, second) / self.size


@dataclass
class State:
    """Some chains, one per row.

    Attributes:
        positions: w.
        gradients: ∇U at `positions` when a step begins; the kernel may use it up as a buffer.
        losses: L_B(w) - L_B(w*) at `positions` on the samples B of the present step (or L_B(w), if nothing needs the
            difference).
        reductions: sums over the weights of each chain.
        memory: what the kernel itself stores for each chain, created by its `start`.
        evaluated: whether `gradients` and `losses` belong to the present `positions`. A kernel whose step ends with an
            evaluation leaves it true, which saves the loop one evaluation.
    """

    positions: Float[Tensor, "chain parameters"]
    gradients: Float[Tensor, "chain parameters"]
    losses: Float[Tensor, " chain"]
    reductions: "Reductions"
    memory: dict[str, Tensor] = field(default_factory=dict)
    evaluated: bool = False


@runtime_checkable
class Potential(Protocol):
    """U(w) = nβ L_B(w) + (γ/2)|w - w*|² on the samples B of the present step."""

    def __call__(
        self, positions: Float[Tensor, "chain parameters"], out: Float[Tensor, "chain parameters"]
    ) -> Float[Tensor, " chain"]:
        """Write ∇U into `out`; return L_B(w) - L_B(w*)."""
        ...

    def energies(
        self, positions: Float[Tensor, "chain parameters"], losses: Float[Tensor, " chain"]
    ) -> Float[Tensor, " chain"]:
        """U(w) - U(w*) of positions whose losses are known."""
        ...


@runtime_checkable
class Kernel(Protocol):
    """A frozen dataclass of settings with these methods.

    Attributes:
        exact: whether the kernel is valid only with gradients on all samples, which it then keeps between steps.
    """

    exact: ClassVar[bool]

    @property
    def step_size(self) -> float: ...

    def start(self, state: State, noise: Noise) -> dict[str, Tensor]:
        """The kernel's own state of each chain, from its position alone: tensors whose first axis is the chain."""
        ...

    def step(self, state: State, potential: Potential, noise: Noise) -> None:
        """One update of every chain in place, from `state.gradients` at `state.positions`."""
        ...

    def inflation(
        self,
        state: State,
        loss_gradients: Float[Tensor, "chain parameters"],
        noise: Float[Tensor, "chain parameters"] | None,
    ) -> Float[Tensor, " chain"]:
        """What finite steps and minibatches add to nβ(E[L] - L(w*)) for a quadratic loss, evaluated before a step.

        Args:
            state: the chains, their gradients evaluated.
            loss_gradients: nβ∇L, the part of `state.gradients` that comes from the loss.
            noise: a draw of the minibatch error of `state.gradients`; None if it was not measured.

        Returns:
            0 for an exact kernel, NaN if the kernel cannot tell.
        """
        ...

    def heat(
        self, state: State, noise: Float[Tensor, "chain parameters"], other: Float[Tensor, "chain parameters"]
    ) -> Float[Tensor, " chain"]:
        """Variance injected by the minibatch, relative to the noise that the kernel injects.

        It is a quadratic form of the minibatch error, given here as the bilinear form of `noise` and `other`.
        """
        ...


def check_positive(**settings: float) -> None:
    """Raise `InvalidArgument` unless every one is a finite number > 0."""
    for name, value in settings.items():
        if not 0 < arguments.number_or_nan(name, value) < math.inf:
            instead = "step_size=1e-4" if name == "step_size" else "numbers > 0"
            raise InvalidArgument(name, expected="a finite number > 0", found=arguments.show(value), instead=instead)


def check_each_positive(**settings: Tensor) -> None:
    """Raise `InvalidArgument` unless each is a tensor of finite numbers > 0, one per weight or direction."""
    for name, values in settings.items():
        whole = isinstance(values, Tensor) and values.ndim == 1 and values.is_floating_point() and len(values)
        if not whole or not bool(((values > 0) & values.isfinite()).all()):
            found = f"{float(values.min())} among them" if whole else arguments.show(values)
            raise InvalidArgument(
                name, expected="a tensor of finite numbers > 0", found=found, instead=f"{name}=torch.ones(...)"
            )
