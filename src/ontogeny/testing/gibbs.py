"""Exact draws for deep linear networks, layer by layer: given all other layers a layer is Gaussian.

No step size, no acceptance, and a sweep moves every layer as far as its posterior reaches, along the directions that
leave the product unchanged too: gradient samplers need thousands of steps for that where nβ is large.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ontogeny.testing.linear_networks import MatrixProductPotential


def gibbs_energies(
    potential: MatrixProductPotential,
    center: Sequence[Tensor],
    localization: float,
    *,
    num_chains: int = 4,
    num_draws: int = 400,
    seed: int = 0,
) -> Float[np.ndarray, "chain draw"]:
    """nβ (L(w) - L(w*)) under exp(-nβ (L - L*) - (γ/2)|w - w*|²), each draw averaged over its layers' conditionals.

    With A the layers above W, B those below and D = A W B - T, the potential of `MatrixProductPotential` has precision
    2nβ (AᵀA) ⊗ (B S Bᵀ) + γ in W: diagonal in the eigenvectors of the two factors. What is returned for a sweep is
    the mean over layers of E[nβ (L - L*) | all other layers], which has the same mean as the energies and little of
    their spread. A third as many sweeps again come first and are dropped.

    Args:
        potential: over all data, in float64.
        center: w*, one matrix (fan_out, fan_in) a layer.
        localization: γ > 0.
        num_chains, num_draws: chains, and sweeps of each after the warm-up.
        seed: of all draws.
    """
    state = _State(potential, center, localization, num_chains, seed)
    energies = [state.sweep() for _ in range(num_draws + num_draws // 3)]
    return torch.stack(energies[-num_draws:], dim=1).numpy()


class _State:
    """The layers of all chains, (chain, fan_out, fan_in) each."""

    def __init__(
        self, potential: MatrixProductPotential, center: Sequence[Tensor], localization: float, chains: int, seed: int
    ) -> None:
        self.potential, self.localization = potential, localization
        self.center = [weight.double() for weight in center]
        self.weights = [weight.repeat(chains, 1, 1) for weight in self.center]
        self.source = torch.Generator().manual_seed(seed)

    def sweep(self) -> Float[Tensor, " chain"]:
        """Draw every layer in turn; the mean over layers of the energy expected before its draw."""
        return torch.stack([self._draw(layer) for layer in range(len(self.weights))]).mean(dim=0)

    def _draw(self, layer: int) -> Tensor:
        nbeta, weight = self.potential.nbeta, self.weights[layer]
        above = _product(self.weights[layer + 1 :], weight.shape[1])
        below = _product(self.weights[:layer], self.potential.widths[0])
        slope = above.mT @ (self.potential.target @ self.potential.second + self.potential.cross) @ below.mT
        left, left_basis = torch.linalg.eigh(above.mT @ above)
        right, right_basis = torch.linalg.eigh(below @ self.potential.second @ below.mT)
        curvature = 2 * nbeta * left[..., :, None] * right[..., None, :]
        precision = curvature + self.localization
        pull = left_basis.mT @ (2 * nbeta * slope + self.localization * self.center[layer]) @ right_basis
        mean, spread = pull / precision, precision.rsqrt()
        noise = torch.randn(weight.shape, generator=self.source, dtype=torch.float64)
        self.weights[layer] = (left_basis @ mean @ right_basis.mT).expand_as(weight)
        positions = torch.cat([part.flatten(1) for part in self.weights], dim=1)
        expected = self.potential(positions)[0] + 0.5 * (curvature / precision).sum(dim=(-2, -1))
        self.weights[layer] = left_basis @ (mean + spread * noise) @ right_basis.mT
        return expected


def _product(weights: list[Tensor], size: int) -> Tensor:
    product = torch.eye(size, dtype=torch.float64)
    for weight in weights:
        product = weight @ product
    return product
