"""Laws, rows and fixed vectors to the precision of the numbers that they are given in."""

import numpy as np
from jaxtyping import Float

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument

ROUNDING = 1e-9  # how far a sum may be from 1: six digits more than anyone types, six fewer than float64 holds


def as_law(name: str, given: object, size: int) -> Float[np.ndarray, " outcome"]:
    """Probabilities that sum to 1 to the precision of their type, and then in double precision."""
    law = vector(name, given, size)
    law = law / near_one(float(law.sum()), tolerance(given))
    if (law < 0).any() or abs(law.sum() - 1) > ROUNDING:
        raise InvalidArgument(name, expected=f"a law: {size} numbers ≥ 0 that sum to 1", found=arguments.show(law))
    return law


def tolerance(given: object) -> float:
    """How far from 1 a sum of numbers of this type may be: of less than double precision, four times its rounding."""
    return max(ROUNDING, 4 * arguments.rounding(given))


def near_one(total: float, tolerance: float) -> float:
    """The sum to divide by: 1 unless the type is a coarse one whose rounding explains the difference."""
    return total if tolerance > ROUNDING and abs(total - 1) <= tolerance else 1.0


def with_rows_of_one(matrices: Float[np.ndarray, "token state state"], tolerance: float) -> np.ndarray:
    """Matrices of an HMM; rows that sum to 1 within a tolerance above that of double precision, divided by the sum."""
    sums = matrices.sum(axis=(0, 2))
    if (np.abs(sums - 1) > tolerance).any():
        state = int(np.abs(sums - 1).argmax())
        raise InvalidArgument(
            "transition_matrices",
            expected="rows of Σₓ T[x] that sum to 1",
            found=f"a sum of {sums[state]} in row {state}, of what state {state} does",
            instead="T / T.sum(axis=(0, 2))[:, None] if T holds weights." if sums.all() else "",
        )
    return matrices / sums[:, None] if tolerance > ROUNDING else matrices


def nearest_fixed(net: np.ndarray, vector: np.ndarray, tolerance: float) -> np.ndarray:
    """The solution of w = T w that a vector of coarse numbers is the rounding of; the vector where it is too far."""
    space = null_space(net - np.eye(len(net)))
    near = space @ (space.T @ vector)
    return near if np.abs(near - vector).max() <= tolerance * np.abs(vector).max() else vector


def vector(name: str, given: object, size: int) -> Float[np.ndarray, " state"]:
    """So many finite numbers."""
    expected = f"{size} real numbers"
    vector = arguments.real_array(name, given, expected)
    if vector.shape != (size,):
        raise InvalidArgument(name, expected=expected, found=f"shape {vector.shape}")
    return vector


def null_space(matrix: Float[np.ndarray, "state state"]) -> Float[np.ndarray, "state dimension"]:
    """Orthonormal columns that span what the matrix takes to 0."""
    _, values, rows = np.linalg.svd(matrix)
    return rows[values <= ROUNDING * max(1.0, values[0])].T
