"""A hierarchy of items that a two-layer linear network learns from the top: exact training, with and without an item.

Items are the leaves of a binary tree. Item i is the i-th unit vector; its labels are the i-th column of T = S V, where
the rows of V are what splits the items at one node of the tree, and the singular value of a row is that of its level.
With W₂ W₁ = P and the loss |P - T|², gradient flow from small weights learns level after level (Saxe et al.,
1312.6120, 1810.10531).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.studies.linear_networks.layers import product

_INTERVAL = 0.2  # of s·time, over which a factor of the flow grows by no more than rounding allows
_FLAT = 1e-9  # eigenvalues that are 0


def tree(levels: int) -> tuple[Float[np.ndarray, "row item"], np.ndarray]:
    """Orthonormal rows for the 2^(levels - 1) leaves of a binary tree, and the level of each row; level 0 is common."""
    items = 2 ** (levels - 1)
    rows, of_level = [np.full(items, items**-0.5)], [0]
    for level in range(1, levels):
        width = items // 2 ** (level - 1)
        for start in range(0, items, width):
            row = np.zeros(items)
            row[start : start + width // 2], row[start + width // 2 : start + width] = 1.0, -1.0
            rows.append(row / width**0.5)
            of_level.append(level)
    return np.array(rows), np.array(of_level)


def parted_at(levels: int) -> np.ndarray:
    """For each pair of items the level at which they part, (item, item); 0 for an item and itself."""
    items = np.arange(2 ** (levels - 1))
    apart = items[:, None] ^ items[None, :]
    return np.where(apart > 0, levels - 1 - np.floor(np.log2(np.maximum(apart, 1))), 0).astype(int)


def labels(singular_values: Sequence[float]) -> Tensor:
    """T (label, item), with one singular value for each level."""
    rows, level = tree(len(singular_values))
    return torch.from_numpy(np.array(singular_values)[level][:, None] * rows).float()


def strengths(products: Tensor, singular_values: Sequence[float]) -> np.ndarray:
    """How much of each level is in products (…, label, item): 0 before it is learned, 1 after; (…, level)."""
    rows, level = tree(len(singular_values))
    along = torch.einsum("...ai,ai->...a", products.double(), torch.from_numpy(rows)).numpy()
    along = along / np.array(singular_values)[level]
    return np.stack([along[..., level == each].mean(axis=-1) for each in range(len(singular_values))], axis=-1)


@dataclass(frozen=True)
class Items:
    """A task whose every sample is all items with their labels and weights, 0 for the one that is left out."""

    singular_values: tuple[float, ...]
    without: int | None = None

    def sample(self, num_samples: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """All items, whatever the seed: `num_samples` must be their number."""
        target = labels(self.singular_values)
        weights = torch.ones(len(target))
        if self.without is not None:
            weights[self.without] = 0.0
        return torch.eye(len(target)), target.mT, weights


def weighted(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """|y - f(x)|² of each item, times its weight if there are weights."""
    x, y, *weight = batch
    error = (model(x) - y).square().sum(dim=-1)
    return error * weight[0] if weight else error


def item_losses(products: Tensor, target: Tensor) -> np.ndarray:
    """|y_j - P x_j|² of every item, (…, item)."""
    return (products.double() - target.double()).square().sum(dim=-2).numpy()


def flow(network: nn.Sequential, target: Tensor, times: Sequence[float]) -> Tensor:
    """P (time, label, item) under gradient flow of |P - T|², in closed form.

    With Q = (W₁ᵀ; W₂) and F = (0 Tᵀ; T 0), flow of balanced weights (W₁ W₁ᵀ = W₂ᵀ W₂) is Q' = 2FQ - QQᵀQ, so that

        Q(t) Q(t)ᵀ = e^(2Ft) Q₀ (I + 2 ∫₀ᵗ Q₀ᵀ e^(4Fs) Q₀ ds)⁻¹ Q₀ᵀ e^(2Ft).

    Small weights are nearly balanced, and stay as near. It is applied over short intervals one after another, as a
    factor of the inverse would lose its digits over long ones. An item without labels (a column of zeros in T) is close
    to one that is not trained on at all, whose P x_i stays near 0.

    Args:
        network: two linear layers at time 0.
        target: T.
        times: increasing; one step of gradient descent takes the learning rate.
    """
    first, second = (weight.detach().double() for weight in network.parameters())
    count = first.shape[1]
    factor = torch.cat([first.mT, second])
    both = torch.zeros(2 * [len(factor)], dtype=torch.float64)
    both[:count, count:], both[count:, :count] = target.double().mT, target.double()
    values, vectors = torch.linalg.eigh(both)
    longest, found, now = _INTERVAL / float(values.max()), list[Tensor](), 0.0
    for time in times:
        while time - now > 1e-12:
            step = min(longest, time - now)
            factor, now = _flowed(factor, values, vectors, step), now + step
        found.append(factor[count:] @ factor[:count].mT)
    return torch.stack(found)


def _flowed(factor: Tensor, values: Tensor, vectors: Tensor, time: float) -> Tensor:
    """Q after this time, up to a rotation of the hidden units."""
    along = vectors.mT @ factor
    flat = values.abs() < _FLAT
    grown = torch.where(flat, time, (torch.exp(4 * values * time) - 1) / (4 * torch.where(flat, 1.0, values)))
    inner = torch.eye(factor.shape[1], dtype=torch.float64) + 2 * along.mT @ (grown[:, None] * along)
    root = torch.linalg.cholesky(inner)
    outer = (torch.exp(2 * values * time)[:, None] * along).mT
    return vectors @ torch.linalg.solve_triangular(root, outer, upper=False).mT


def products(network: nn.Sequential, states: Sequence[dict[str, Tensor]]) -> Tensor:
    """P of each of these weights."""
    found = list[Tensor]()
    for state in states:
        network.load_state_dict(state)
        found.append(product(network).detach())
    return torch.stack(found)
