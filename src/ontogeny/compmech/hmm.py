"""Hidden Markov processes and their generalisation, by matrices labelled with the token that they emit."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor

from ontogeny.compmech import chains, filtering, sampling
from ontogeny.core.errors import InvalidArgument

_ROUNDING = 1e-9  # how far a sum may be from 1: six digits more than anyone types, six fewer than float64 holds
_CHECKED_WORDS = 4096


@dataclass(frozen=True, eq=False, init=False)
class GHMM:
    """A generalised hidden Markov process: Pr(x₁…x_L) = η₀ T[x₁]…T[x_L] w, with T[x] of any sign.

    Args:
        transition_matrices: T[x], shape (token, state, state). Their sum T must have the eigenvalue 1, simple and of
            largest modulus, unless `initial` and `final` are given.
        initial: η₀, shape (state,), with η₀ w = 1. Default: π = πT, with which the process is stationary.
        final: w = T w, shape (state,). Default: the right eigenvector, its largest entry 1.

    Attributes: the three arguments, as read-only float64; `stationary`, the long-run average of the state, shape
    (state,); `num_tokens`, `num_states`, `net_matrix` (T = Σₓ T[x]), `is_stationary`, `is_signed`.

    Raises:
        InvalidArgument: for wrong shapes, numbers that are not finite, an eigenvalue other than 1, or words of
            negative probability. Nothing is renormalised.

    When not to trust it: whether *all* words have probability ≥ 0 cannot be decided in general. Words are checked to
    the length at which there are 4096; a later one of negative probability raises where it is met.

    Source: Upper, Theory and algorithms for hidden Markov models and generalized hidden Markov models (1997).
    """

    transition_matrices: Float[np.ndarray, "token state state"]
    initial: Float[np.ndarray, " state"]
    final: Float[np.ndarray, " state"]

    def __init__(
        self, transition_matrices: ArrayLike, initial: ArrayLike | None = None, final: ArrayLike | None = None
    ) -> None:
        matrices = _labelled_matrices(transition_matrices)
        net = matrices.sum(axis=0)
        right = _vector("final", final, len(net)) if final is not None else _principal_vector(net)
        if not np.allclose(net @ right, right, rtol=0, atol=_ROUNDING * max(1, float(np.abs(right).max()))):
            raise InvalidArgument("final", expected="w = T w", found=f"T w - w = {net @ right - right}")
        if initial is None:
            left = _principal_vector(net.T)
            if abs(left @ right) < _ROUNDING:
                raise InvalidArgument("final", expected="π w ≠ 0", found="π w = 0: the eigenvalue 1 is defective")
            start = left / (left @ right)
        else:
            start = _vector("initial", initial, len(net))
        if abs(start @ right - 1) > _ROUNDING:
            raise InvalidArgument("initial", expected="η₀ w = 1", found=f"{start @ right}")
        _freeze(self, matrices, start, right)
        filtering.check_short_words(self, _CHECKED_WORDS)

    @property
    def num_tokens(self) -> int:
        return self.transition_matrices.shape[0]

    @property
    def num_states(self) -> int:
        return self.transition_matrices.shape[1]

    @cached_property
    def net_matrix(self) -> Float[np.ndarray, "state state"]:
        return self.transition_matrices.sum(axis=0)

    @cached_property
    def readout(self) -> Float[np.ndarray, "state token"]:
        """Column x is T[x] w, so that the next-token law of a belief η is η `readout`."""
        return (self.transition_matrices @ self.final).T

    @cached_property
    def side_by_side(self) -> Float[np.ndarray, "state token_state"]:
        """T[0] | T[1] | …: a belief η times it has η T[x] for all tokens, one after the other."""
        return self.transition_matrices.transpose(1, 0, 2).reshape(self.num_states, -1)

    @cached_property
    def is_signed(self) -> bool:
        """Whether a matrix has an entry below 0."""
        return bool((self.transition_matrices < 0).any())

    @cached_property
    def stationary(self) -> Float[np.ndarray, " state"]:
        left, right = (
            _null_space((self.net_matrix - np.eye(self.num_states)).T),
            _null_space(self.net_matrix - np.eye(self.num_states)),
        )
        return self.initial @ right @ np.linalg.solve(left.T @ right, left.T)

    @property
    def is_stationary(self) -> bool:
        """Whether η₀ = η₀ T."""
        return bool(np.allclose(self.initial @ self.net_matrix, self.initial, rtol=0, atol=_ROUNDING))

    def sample(
        self, num_sequences: int, length: int, seed: int = 0, device: str | torch.device = "cpu"
    ) -> Int[Tensor, "sequence position"]:
        """Draw token sequences from the initial state; `ontogeny.compmech.sampling.sample`."""
        return sampling.sample(self, num_sequences, length, seed=seed, device=device)

    def beliefs(self, tokens: ArrayLike | Tensor) -> Float[np.ndarray, "sequence position state"]:
        """Exact beliefs along token sequences; `ontogeny.compmech.filtering.beliefs`."""
        return filtering.beliefs(self, tokens)


@dataclass(frozen=True, eq=False, init=False)
class HMM(GHMM):
    """A hidden Markov process: T[x][i, j] = Pr(emit x, go to j | in i), beliefs are laws of the hidden state.

    Args:
        transition_matrices: shape (token, state, state); entries ≥ 0, and every row of Σₓ T[x] sums to 1.
        initial: law of the first hidden state, shape (state,). Default: the stationary law, which must be unique. A
            process with several recurrent classes has none, and its components must be weighted: by `initial`, or by
            `ontogeny.compmech.union`.

    Attributes: as of `GHMM`, with w = 1.

    Raises:
        InvalidArgument: for wrong shapes, negative entries, rows that do not sum to 1 (within 1e-9), or several
            recurrent classes without `initial`. Nothing is renormalised.
    """

    def __init__(self, transition_matrices: ArrayLike, initial: ArrayLike | None = None) -> None:
        matrices = _labelled_matrices(transition_matrices)
        net = matrices.sum(axis=0)
        if (matrices < 0).any():
            x, i, j = np.argwhere(matrices < 0)[0]
            raise InvalidArgument(
                "transition_matrices",
                expected="entries of at least 0",
                found=f"T[{x}][{i}, {j}] = {matrices[x, i, j]}",
                instead="cm.GHMM(T) for a generalised process with signed entries.",
            )
        sums = net.sum(axis=1)
        if (np.abs(sums - 1) > _ROUNDING).any():
            row = int(np.abs(sums - 1).argmax())
            raise InvalidArgument(
                "transition_matrices", expected="rows of Σₓ T[x] that sum to 1", found=f"{sums[row]} in row {row}"
            )
        if initial is None:
            if (count := len(chains.classes(net).recurrent)) != 1:
                raise InvalidArgument(
                    "initial",
                    expected="weights of the components, since the process is reducible",
                    found=f"none, and {count} recurrent classes",
                    instead="cm.union([...], weights=[...]), or initial= the law of the first hidden state.",
                )
            start = chains.limit(net)[0]
        else:
            start = _vector("initial", initial, len(net))
            if (start < 0).any() or abs(start.sum() - 1) > _ROUNDING:
                raise InvalidArgument("initial", expected="a law: entries ≥ 0 that sum to 1", found=f"{start}")
        _freeze(self, matrices, start, np.ones(len(net)))

    @cached_property
    def stationary(self) -> Float[np.ndarray, " state"]:
        return self.initial @ chains.limit(self.net_matrix)

    @property
    def is_unifilar(self) -> bool:
        """Whether state and token together determine the next state."""
        return bool(((self.transition_matrices > 0).sum(axis=2) <= 1).all())


def _freeze(process: GHMM, matrices: np.ndarray, initial: np.ndarray, final: np.ndarray) -> None:
    for name, array in (("transition_matrices", matrices), ("initial", initial), ("final", final)):
        array.flags.writeable = False
        object.__setattr__(process, name, array)


def _labelled_matrices(given: ArrayLike) -> Float[np.ndarray, "token state state"]:
    matrices = np.array(given, dtype=np.float64)  # a copy: the caller's array stays writeable, and ours stays as it is
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or 0 in matrices.shape:
        raise InvalidArgument(
            "transition_matrices", expected="shape (tokens, states, states)", found=f"shape {matrices.shape}"
        )
    if not np.isfinite(matrices).all():
        raise InvalidArgument("transition_matrices", expected="finite numbers", found="NaN or infinity")
    return matrices


def _vector(name: str, given: ArrayLike, size: int) -> Float[np.ndarray, " state"]:
    vector = np.array(given, dtype=np.float64)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise InvalidArgument(name, expected=f"{size} finite numbers, one a state", found=f"{vector}")
    return vector


def _principal_vector(matrix: Float[np.ndarray, "state state"]) -> Float[np.ndarray, " state"]:
    """The right eigenvector at 1, its entry of largest modulus 1."""
    modulus = float(np.abs(np.linalg.eigvals(matrix)).max())
    space = _null_space(matrix - np.eye(len(matrix)))
    if abs(modulus - 1) > 1e-6 or space.shape[1] != 1:
        raise InvalidArgument(
            "transition_matrices",
            expected="a sum T of largest eigenvalue 1, with one eigenvector",
            found=f"largest modulus {modulus}, {space.shape[1]} eigenvectors at 1",
            instead="T / λ for a largest eigenvalue λ; cm.union([...], weights=[...]) for several components.",
        )
    return space[:, 0] / space[np.abs(space[:, 0]).argmax(), 0]


def _null_space(matrix: Float[np.ndarray, "state state"]) -> Float[np.ndarray, "state dimension"]:
    _, values, rows = np.linalg.svd(matrix)
    return rows[values <= _ROUNDING * max(1.0, values[0])].T
