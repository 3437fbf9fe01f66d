"""Finite Markov chains: recurrent classes, long-run averages and spectra that rounding does not blur."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int
from scipy.sparse.csgraph import connected_components


class Classes(NamedTuple):
    """The strongly connected classes of a chain: `label` of every state, and which classes are never left."""

    label: Int[np.ndarray, " state"]
    recurrent: list[Int[np.ndarray, " member"]]
    transient: Int[np.ndarray, " transient"]


def classes(matrix: Float[np.ndarray, "state state"]) -> Classes:
    """Strongly connected classes of the non-zero entries; a recurrent one has no way out, and is listed by its states.

    The recurrent classes are in the order of their first states.
    """
    count, label = connected_components(matrix != 0, connection="strong")
    leaves = np.zeros(count, bool)
    rows, columns = np.nonzero(matrix)
    leaves[label[rows[label[rows] != label[columns]]]] = True
    recurrent = [np.flatnonzero(label == c) for c in range(count) if not leaves[c]]
    return Classes(label, sorted(recurrent, key=lambda states: int(states[0])), np.flatnonzero(leaves[label]))


def limit(matrix: Float[np.ndarray, "state state"]) -> Float[np.ndarray, "state state"]:
    """P = limₙ (1/n) Σₖ₍ₖ₌₀₎ⁿ⁻¹ Wᵏ of a stochastic matrix W, also where W is periodic or reducible.

    Row i holds the chances of absorption from i in each recurrent class, times the stationary law there; transient
    columns are exactly 0.
    """
    found = classes(matrix)
    size = len(matrix)
    stationary = np.zeros((len(found.recurrent), size))
    absorbed = np.zeros((size, len(found.recurrent)))
    for k, states in enumerate(found.recurrent):
        stationary[k, states] = _stationary_law(matrix[np.ix_(states, states)])
        absorbed[states, k] = 1
    if len(found.transient):
        inside = matrix[np.ix_(found.transient, found.transient)]
        arriving = matrix[found.transient] @ absorbed
        absorbed[found.transient] = np.linalg.solve(np.eye(len(inside)) - inside, arriving)
    return absorbed @ stationary


def _stationary_law(matrix: Float[np.ndarray, "state state"]) -> Float[np.ndarray, " state"]:
    """π = πW, Σπ = 1 of an irreducible chain: one column of I - W is redundant and gives way to the sum."""
    system = np.eye(len(matrix)) - matrix
    system[:, -1] = 1
    return np.linalg.solve(system.T, np.eye(len(matrix))[-1])


def eigenvalues(matrix: Float[np.ndarray, "state state"]) -> Complex[np.ndarray, " state"]:
    """Eigenvalues class by class, largest modulus first.

    Ordered by its classes the matrix is block triangular, so that its eigenvalues are those of the blocks. A state
    that is never seen again gives an exact 0, where a solver of the whole matrix would give the k-th root of the
    rounding error for a Jordan block of size k.
    """
    label = classes(matrix).label
    blocks = [np.flatnonzero(label == c) for c in range(label.max(initial=-1) + 1)]
    values = [np.linalg.eigvals(matrix[np.ix_(states, states)]) for states in blocks]
    found = np.concatenate([np.zeros(0, complex), *values]).astype(complex)
    return found[np.lexsort((found.imag.round(12), -found.real.round(12), -np.abs(found).round(12)))]
