"""What theory says: dimensionalities of geometries, and exact losses of two features in one dimension, three in two."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize

GEOMETRIES = {
    "tetrahedron": 3 / 4,
    "triangle": 2 / 3,
    "opposite pair": 1 / 2,
    "pentagon": 2 / 5,
    "square antiprism": 3 / 8,
}
KINDS = ("last feature given up", "last feature in a dimension of its own", "last feature in superposition")
_POINTS = 40  # of Gauss-Legendre in each direction, for two features
_FEWER = 8  # for three, which is exact to a few parts in a thousand
_SMALL = 0.3  # of the longest column: below it, a feature counts as given up, and an overlap as none


def kind_of(weights: Float[np.ndarray, "hidden features"]) -> int:
    """Which of `KINDS` columns are: by the last one's length, and by that of the others' projections on it."""
    lengths = np.linalg.norm(weights, axis=0)
    small = _SMALL * lengths.max()
    if lengths[-1] < small:
        return 0
    overlap = np.linalg.norm(weights[:, -1] @ weights[:, :-1]) / lengths[-1]
    return 1 if overlap < small else 2


def exact_losses(features: int, density: float, importance: float) -> tuple[float, ...]:
    """The least population loss of each of `KINDS`: of two features in one dimension, or of three in two.

    x_i is on with probability p, by itself, and then U[0, 1]. Importances are 1 but for the last feature's.

    Returns:
        By kind. Where the best of one kind goes over into another, that at its edge.
    """
    return _of_two(density, importance) if features == 2 else _of_three(density, importance)


def _of_three(density: float, importance: float) -> tuple[float, ...]:
    """Of three features: a dimension each for two, or one dimension for two, or all three together.

    Given up, the third costs its variance, and the others nothing. In a dimension of its own it costs nothing, and the
    others are two of equal importance in one dimension. In superposition it shares a dimension with one other, or the
    plane with both, which is searched by gradients from a triangle.
    """
    variance = density / 3 - density**2 / 4
    together, kind = _triangle(density, importance)
    shared = _of_two(density, importance)[2]
    return importance * variance, min(_of_two(density, 1.0)), min(shared, together) if kind == 2 else shared


@cache
def _triangle(density: float, importance: float) -> tuple[float, int]:
    """The minimum that descent from a regular triangle leads to: its exact loss and its kind."""
    nodes, masses = (torch.from_numpy(each) for each in _quadrature(density, _FEWER))
    x, mass = torch.cartesian_prod(nodes, nodes, nodes), torch.cartesian_prod(masses, masses, masses).prod(dim=1)
    scale = torch.tensor([1.0, 1.0, importance], dtype=torch.float64)
    angles = 2 * np.pi * np.arange(3) / 3
    start = np.concatenate([np.cos(angles), np.sin(angles), np.zeros(3)])

    def loss_and_slope(values: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(values).requires_grad_()
        weight, bias = point[:6].view(2, 3), point[6:]
        errors = (x - torch.relu(x @ weight.T @ weight + bias)).square() @ scale
        loss = mass @ errors
        return loss.item(), torch.autograd.grad(loss, point)[0].numpy()

    found = minimize(loss_and_slope, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return float(found.fun), kind_of(found.x[:6].reshape(2, 3))


@cache
def _of_two(density: float, importance: float) -> tuple[float, ...]:
    """Of two features, by quadrature over x and a search over weights and biases.

    For W = (a, b) the outputs are ReLU(a (a x₁ + b x₂) + c₁) and ReLU(b (a x₁ + b x₂) + c₂).
    """
    starts = {0: (1.0, 0.0, 0.0, density / 2), 1: (0.0, 1.0, density / 2, 0.0), 2: (1.0, -1.0, 0.0, 0.0)}
    free = {0: (0, 2, 3), 1: (1, 2, 3), 2: (0, 1, 2, 3)}
    found = []
    for kind, start in starts.items():
        at = list(free[kind])

        def loss(values: np.ndarray, kind: int = kind, start: tuple[float, ...] = start, at: list[int] = at) -> float:
            full = np.array(start)
            full[at] = values
            if kind_of(full[None, :2]) != kind:
                return np.inf  # so that losses near a boundary are near one another, and elsewhere are not
            return population_loss(full, density, importance)

        best = minimize(loss, np.array(start)[at], method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
        found.append(float(best.fun))
    return tuple(found)


def population_loss(values: np.ndarray, density: float, importance: float) -> float:
    """E[(x₁ - x̂₁)² + I (x₂ - x̂₂)²] at weights (a, b) and biases (c₁, c₂)."""
    a, b, *bias = values
    x, mass = _quadrature(density, _POINTS)
    first, second = x[:, None], x[None, :]
    hidden = a * first + b * second
    errors = (first - np.maximum(a * hidden + bias[0], 0)) ** 2
    errors = errors + importance * (second - np.maximum(b * hidden + bias[1], 0)) ** 2
    return float(mass @ errors @ mass)


def _quadrature(density: float, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and masses of one feature: 0 with probability 1 - p, and Gauss-Legendre nodes of [0, 1] with p."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return np.append(0.0, (nodes + 1) / 2), np.append(1 - density, density * weights / 2)
