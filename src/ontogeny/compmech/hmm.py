"""Hidden Markov processes and their generalisation, by matrices labelled with the token that they emit."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ontogeny.compmech import chains, filtering, precision, sampling
from ontogeny.compmech.precision import ROUNDING
from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument

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
            negative probability. Nothing is renormalised, except that what is given in less than double precision is
            taken for the process that it is the rounding of: T is divided by its largest eigenvalue, and η₀ by η₀ w,
            where they are 1 within four times the rounding of the type.

    When not to trust it: whether *all* words have probability ≥ 0 cannot be decided in general. Words are checked to
    the length at which there are 4096; a later one of negative probability raises where it is met.

    Source: Upper, Theory and algorithms for hidden Markov models and generalized hidden Markov models (1997).
    """

    transition_matrices: Float[np.ndarray, "token state state"]
    initial: Float[np.ndarray, " state"]
    final: Float[np.ndarray, " state"]

    def __init__(
        self, transition_matrices: Numbers, initial: Numbers | None = None, final: Numbers | None = None
    ) -> None:
        matrices = _labelled_matrices(transition_matrices)
        coarse = precision.tolerance(transition_matrices)
        if coarse > ROUNDING:
            largest = float(np.abs(np.linalg.eigvals(matrices.sum(axis=0))).max())
            matrices = matrices / precision.near_one(largest, coarse)
        net = matrices.sum(axis=0)
        right = precision.vector("final", final, len(net)) if final is not None else _principal_vector(net)
        coarse = max(coarse, precision.tolerance(initial), precision.tolerance(final))
        if final is not None and coarse > ROUNDING:
            right = precision.nearest_fixed(net, right, coarse)
        if not np.allclose(net @ right, right, rtol=0, atol=ROUNDING * max(1, float(np.abs(right).max()))):
            raise InvalidArgument(
                "final",
                expected="w = T w",
                found=f"a difference of up to {np.abs(net @ right - right).max()}",
                instead="cm.GHMM(T) for a process of one component; cm.union of the components for one of several.",
            )
        if initial is None:
            left = _principal_vector(net.T)
            if abs(left @ right) < ROUNDING:
                raise InvalidArgument("final", expected="π w ≠ 0", found="π w = 0: the eigenvalue 1 is defective")
            start = left / (left @ right)
        else:
            start = precision.vector("initial", initial, len(net))
        if coarse > ROUNDING:
            start = precision.nearest_fixed(net.T, start, coarse)
        start = start / precision.near_one(float(start @ right), coarse)
        if abs(start @ right - 1) > ROUNDING:
            instead = "initial / (initial @ final)" if final is not None else ""
            raise InvalidArgument("initial", expected="η₀ w = 1", found=f"{start @ right}", instead=instead)
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
            precision.null_space((self.net_matrix - np.eye(self.num_states)).T),
            precision.null_space(self.net_matrix - np.eye(self.num_states)),
        )
        return self.initial @ right @ np.linalg.solve(left.T @ right, left.T)

    @property
    def is_stationary(self) -> bool:
        """Whether η₀ = η₀ T."""
        return bool(np.allclose(self.initial @ self.net_matrix, self.initial, rtol=0, atol=ROUNDING))

    def sample(
        self, num_sequences: int, length: int, seed: int = 0, device: str | torch.device = "cpu"
    ) -> Int[Tensor, "sequence position"]:
        """Draw token sequences from the initial state; `ontogeny.compmech.sampling.sample`."""
        return sampling.sample(self, num_sequences, length, seed=seed, device=device)

    def beliefs(self, tokens: Numbers) -> Float[np.ndarray, "sequence position state"]:
        """Exact beliefs along token sequences; `ontogeny.compmech.filtering.beliefs`."""
        return filtering.beliefs(self, tokens)


@dataclass(frozen=True, eq=False, init=False)
class HMM(GHMM):
    """A hidden Markov process: `T[x][i, j]` = Pr(emit x, go to j | in i), beliefs are laws of the hidden state.

    Args:
        transition_matrices: shape (token, state, state); entries ≥ 0, and every row of Σₓ T[x] sums to 1.
        initial: law of the first hidden state, shape (state,). Default: the stationary law, which must be unique. A
            process with several recurrent classes has none, and its components must be weighted: by `initial`, or by
            `ontogeny.compmech.union`.

    Attributes: as of `GHMM`, with w = 1.

    Raises:
        InvalidArgument: for wrong shapes, negative entries, rows that do not sum to 1 (within 1e-9), or several
            recurrent classes without `initial`. Nothing is renormalised, except that rows and laws given in less than
            double precision are divided by their sum, where it is 1 within four times the rounding of the type.
    """

    def __init__(self, transition_matrices: Numbers, initial: Numbers | None = None) -> None:
        matrices = _labelled_matrices(transition_matrices)
        if (matrices < 0).any():
            x, i, j = np.argwhere(matrices < 0)[0]
            raise InvalidArgument(
                "transition_matrices",
                expected="entries of at least 0",
                found=f"T[{x}][{i}, {j}] = {matrices[x, i, j]}",
                instead="cm.GHMM(T) for a generalised process with signed entries.",
            )
        matrices = precision.with_rows_of_one(matrices, precision.tolerance(transition_matrices))
        net = matrices.sum(axis=0)
        if initial is None:
            if (count := len(chains.classes(net).recurrent)) != 1:
                raise InvalidArgument(
                    "initial",
                    expected="weights of the components, since the process is reducible",
                    found=f"none, and {count} recurrent classes",
                    instead="cm.union of the components with their weights, or initial=[...], the law of the first "
                    "hidden state.",
                )
            start = chains.limit(net)[0]
        else:
            start = precision.as_law("initial", initial, len(net))
            tolerance = max(precision.tolerance(transition_matrices), precision.tolerance(initial))
            if tolerance > ROUNDING and np.abs(start @ net - start).max() <= tolerance:
                start = start @ chains.limit(net)  # the rounding of a law is stationary where the law is
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


def _labelled_matrices(given: object) -> Float[np.ndarray, "token state state"]:
    expected = "real numbers of shape (token, state, state)"
    matrices = arguments.real_array("transition_matrices", given, expected)
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or 0 in matrices.shape:
        raise InvalidArgument("transition_matrices", expected=expected, found=f"shape {matrices.shape}")
    return matrices


def _principal_vector(matrix: Float[np.ndarray, "state state"]) -> Float[np.ndarray, " state"]:
    """The right eigenvector at 1, its entry of largest modulus 1."""
    modulus = float(np.abs(np.linalg.eigvals(matrix)).max())
    space = precision.null_space(matrix - np.eye(len(matrix)))
    if abs(modulus - 1) > 1e-6 or space.shape[1] != 1:
        rescaled = "T / abs(np.linalg.eigvals(T.sum(axis=0))).max()" if modulus else ""
        raise InvalidArgument(
            "transition_matrices",
            expected="a sum T of largest eigenvalue 1, with one eigenvector",
            found=f"largest modulus {modulus}, {space.shape[1]} eigenvectors at 1",
            instead="cm.union of the components." if space.shape[1] > 1 else rescaled,
        )
    return space[:, 0] / space[np.abs(space[:, 0]).argmax(), 0]
