"""Causal states: the smallest unifilar machine of a process, and the fewest dimensions that any presentation needs."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from ontogeny.compmech import chains
from ontogeny.compmech.composition import require_stationary
from ontogeny.compmech.dedup import Index
from ontogeny.compmech.hmm import GHMM, HMM
from ontogeny.compmech.matrices import require_process
from ontogeny.compmech.presentation import MixedStates, mixed_states
from ontogeny.core.errors import InvalidArgument

_RANK = 1e-9  # directions shorter than this, of vectors of length 1, are rounding
_MAX_CAUSAL_STATES = 2000  # dense matrices of this size are solved in a second


def epsilon_machine(process: GHMM) -> HMM:
    """The ε-machine: causal states, merged pasts that have the same conditional law of the future.

    Two beliefs η, η' have the same future where η T[w] 1 = η' T[w] 1 for all words w, that is, where they agree on
    the span of the vectors T[w] 1. In coordinates of this span the recurrent beliefs are the causal states. States of
    a unifilar HMM are merged in the same way, without the detour over beliefs, which need not be finitely many there.

    Args:
        process: HMM or GHMM that starts in its stationary state.

    Returns:
        A unifilar `HMM` with one state a causal state. Its initial state is the stationary law, in which the
        components of a process that is not ergodic keep their weights.

    Raises:
        InvalidArgument: for a process that is not stationary; where the causal states are infinitely many, or more
            than 2000: no finite unifilar machine is the process, and none is returned.

    Source: Shalizi and Crutchfield, Computational mechanics: pattern and prediction, structure and simplicity (2001).
    """
    require_stationary(process)
    machine = finite_machine(process)
    if machine is None:
        raise InvalidArgument(
            "process",
            expected="finitely many causal states",
            found=f"no end of them: beliefs that do not close, or more than {_MAX_CAUSAL_STATES}",
            instead="cm.mixed_states(process, max_depth=6) for the beliefs after words of up to 6 tokens.",
        )
    return machine


@lru_cache(maxsize=16)  # several measures of one process ask for the same
def finite_machine(process: GHMM) -> HMM | None:
    """The ε-machine, or None where it is not finite."""
    require_stationary(process)
    if isinstance(process, HMM) and process.is_unifilar:
        return _merge_states(process)
    graph = predictive_states(process)
    return None if graph is None else _recurrent_part(graph)


@lru_cache(maxsize=16)
def predictive_states(process: GHMM) -> MixedStates | None:
    """The mixed states of a process, those with the same future merged; None where they are not finitely many."""
    try:
        return mixed_states(reduce_futures(process), max_states=_MAX_CAUSAL_STATES)
    except InvalidArgument as error:
        if error.argument in ("max_depth", "max_states"):
            return None
        raise


def minimal_dimension(process: GHMM) -> int:
    """The fewest states of any GHMM of the process: the rank of its Hankel matrix Pr(past, future).

    Directions that no future sees are taken away, then those that no past reaches. A singular direction below 1e-9
    counts as none.
    """
    require_process(process)
    forward = reduce_futures(process)
    backward = GHMM(forward.transition_matrices.transpose(0, 2, 1), forward.final, forward.initial)
    return future_span(backward).shape[1]


def reduce_futures(process: GHMM) -> GHMM:
    """The process on the span of its futures: η becomes η F, equal for beliefs that predict the same."""
    basis = future_span(process)
    if basis.shape[1] == process.num_states:
        return process
    matrices = basis.T @ process.transition_matrices @ basis
    return GHMM(matrices, process.initial @ basis, basis.T @ process.final)


def future_span(process: GHMM) -> Float[np.ndarray, "state dimension"]:
    """Orthonormal columns that span {T[x₁]…T[x_L] w : all words}, grown until no token adds a direction."""
    basis = np.zeros((process.num_states, 0))
    waiting = [process.final]
    while waiting and basis.shape[1] < process.num_states:
        vector = waiting.pop(0)
        for _ in range(2):  # the second pass takes off what rounding left
            vector = vector - basis @ (basis.T @ vector)
        if np.linalg.norm(vector) > _RANK:
            vector = vector / np.linalg.norm(vector)
            basis = np.column_stack([basis, vector])
            waiting.extend(process.transition_matrices @ vector)
    return basis


def _merge_states(process: HMM) -> HMM:
    """A unifilar machine's visited states, those with equal rows in the span of futures made one."""
    visited = np.flatnonzero(process.stationary > 0)
    span = future_span(process)
    index = Index(span.shape[1])
    place = np.zeros(process.num_states, int)
    place[visited] = index.add(span[visited])
    matrices = np.zeros((process.num_tokens, len(index), len(index)))
    weight = np.zeros(len(index))
    for state in visited:
        weight[place[state]] += process.stationary[state]
        matrices[:, place[state]] = 0  # merged states agree on what they emit and where it leads: any of them will do
        for target in visited:
            matrices[:, place[state], place[target]] += process.transition_matrices[:, state, target]
    return HMM(matrices, weight)


def _recurrent_part(graph: MixedStates) -> HMM:
    states = graph.recurrent
    matrices = graph.labelled_matrices()[:, states][:, :, states]
    return HMM(matrices, chains.limit(graph.matrix.toarray())[0, states])
