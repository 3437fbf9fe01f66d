"""What theory says: dimensionalities of geometries, and exact losses of two features in one dimension."""

from functools import cache

import numpy as np
from scipy.optimize import minimize

GEOMETRIES = {
    "tetrahedron": 3 / 4,
    "triangle": 2 / 3,
    "opposite pair": 1 / 2,
    "pentagon": 2 / 5,
    "square antiprism": 3 / 8,
}
KINDS = ("first feature alone", "second feature alone", "both, opposite")
_POINTS = 40  # of Gauss-Legendre in each direction
_SMALL = 0.3  # of the longer weight: below it, a feature counts as given up


def kind_of(weights: np.ndarray) -> int:
    """Which of `KINDS` two weights are."""
    lengths = np.abs(weights)
    given_up = lengths < _SMALL * lengths.max()
    return 1 if given_up[0] else 0 if given_up[1] else 2


@cache
def exact_losses(density: float, importance: float) -> tuple[float, ...]:
    """The least population loss of each of `KINDS`, by quadrature over x and a search over weights and biases.

    x_i is on with probability p, by itself, and then U[0, 1]. For W = (a, b) the outputs are ReLU(a (a x₁ + b x₂) + c₁)
    and ReLU(b (a x₁ + b x₂) + c₂).
    """
    starts = {0: (1.0, 0.0, 0.0, density / 2), 1: (0.0, 1.0, density / 2, 0.0), 2: (1.0, -1.0, 0.0, 0.0)}
    free = {0: (0, 2, 3), 1: (1, 2, 3), 2: (0, 1, 2, 3)}
    found = []
    for kind, start in starts.items():
        at = list(free[kind])

        def loss(values: np.ndarray, start: tuple[float, ...] = start, at: list[int] = at) -> float:
            full = np.array(start)
            full[at] = values
            return population_loss(full, density, importance)

        best = minimize(loss, np.array(start)[at], method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
        found.append(float(best.fun))
    return tuple(found)


def population_loss(values: np.ndarray, density: float, importance: float) -> float:
    """E[(x₁ - x̂₁)² + I (x₂ - x̂₂)²] at weights (a, b) and biases (c₁, c₂)."""
    a, b, *bias = values
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    nodes, weights = (nodes + 1) / 2, weights / 2
    # 0 with probability 1 - p, and the nodes with p
    x, mass = np.append(0.0, nodes), np.append(1 - density, density * weights)
    first, second = x[:, None], x[None, :]
    hidden = a * first + b * second
    errors = (first - np.maximum(a * hidden + bias[0], 0)) ** 2
    errors = errors + importance * (second - np.maximum(b * hidden + bias[1], 0)) ** 2
    return float(mass @ errors @ mass)
