"""Information measures of a process, in bits: exact where its mixed states are finite, else between bounds."""

import math
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ontogeny.compmech import chains
from ontogeny.compmech.bits import Bounded, entropy
from ontogeny.compmech.brackets import Bracket, bracket, converged_complexity
from ontogeny.compmech.composition import require_stationary
from ontogeny.compmech.dedup import TOLERANCE
from ontogeny.compmech.epsilon_machines import epsilon_machine, finite_machine, predictive_states
from ontogeny.compmech.hmm import GHMM, HMM
from ontogeny.compmech.levels import MAX_WIDTH, levels
from ontogeny.compmech.matrices import require_process
from ontogeny.compmech.presentation import mixed_states
from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument

_FEW = 1000  # beliefs whose graph is worth a try: milliseconds


def myopic_entropies(process: GHMM, length: int, max_states: int = MAX_WIDTH) -> Float[np.ndarray, " length"]:
    """Myopic entropies h(L) = H[X_L | X₁…X_{L-1}] for L = 1 … length, in bits: mean entropies of the next-token law.

    h(L) ln 2 is the least loss, in nats, that any predictor reaches at the L-th position of a sequence.

    Args:
        process: HMM or GHMM, from its initial state on; h(L) falls with L if that is stationary.
        length: how many, at least 0.
        max_states: the most beliefs of one length.

    Raises:
        InvalidArgument: where a presentation that is not finite has more beliefs than `max_states` at some length.

    When not to trust it: beliefs closer than 1e-8 are taken for one, an error of about 1e-8 bits where presentations
    are not finite.
    """
    require_process(process)
    return _means(process, lambda beliefs: entropy(beliefs @ process.readout), length, max_states)


def block_entropies(process: GHMM, length: int, max_states: int = MAX_WIDTH) -> Float[np.ndarray, " length_1"]:
    """H(L) = H[X₁…X_L] for L = 0 … length, in bits: sums of `myopic_entropies`, with its arguments and errors."""
    return np.concatenate([[0.0], np.cumsum(myopic_entropies(process, length, max_states))])


def mean_belief_entropies(process: GHMM, length: int, max_states: int = MAX_WIDTH) -> Float[np.ndarray, " length_1"]:
    """⟨H[belief]⟩ over the hidden states after L = 0 … length tokens, in bits.

    Raises:
        InvalidArgument: for a GHMM, whose beliefs are not laws of anything and have no entropy; and as
            `myopic_entropies`.
    """
    if not isinstance(process, HMM):
        raise InvalidArgument(
            "process", expected="an HMM, whose beliefs are laws of a hidden state", found=type(process).__name__
        )
    return _means(process, entropy, arguments.whole_number("length", length) + 1, max_states)


def _means(
    process: GHMM, value: Callable[[np.ndarray], np.ndarray], length: int, max_states: int
) -> Float[np.ndarray, " length"]:
    """Means of a function of the belief over the words of 0 … length - 1 tokens.

    Few beliefs are expanded once, and only their probabilities followed; many are kept for one length at a time. A
    graph of so few has no length at which `max_states` would be exceeded.
    """
    length = arguments.whole_number("length", length)
    max_states = arguments.whole_number("max_states", max_states, least=process.num_tokens)
    try:
        graph = mixed_states(process, max(length - 1, 0), min(_FEW, max_states // process.num_tokens))
    except InvalidArgument as error:
        if error.argument != "max_states":
            raise
    else:
        if graph.exact:
            values = value(graph.beliefs)
            return np.array([probabilities @ values for probabilities in islice(graph.walk(), length)])
    within = islice(levels(process, max_states), length)
    return np.array([level.probabilities @ value(level.beliefs) for level in within])


def entropy_rate(process: GHMM) -> Bounded:
    """Entropy rate h = lim h(L), in bits a token; exact by the causal states, Σ π_s H[law of s].

    Where the causal states are infinitely many, H[X_L | X₁…X_{L-1}] ≥ h ≥ H[X_L | X₁…X_{L-1}, S₀] for the longest
    words that 60,000 beliefs allow, or until the two are 1e-10 apart; the value is the upper bound, h(L), which is
    the closer one in practice. A GHMM has no hidden state S₀ to condition on, and its lower bound is 0.

    Raises:
        InvalidArgument: for a process that does not start in its stationary state.

    Source: Cover and Thomas, Elements of information theory, theorem 4.5.1.
    """
    require_stationary(process)
    machine = finite_machine(process)
    if machine is not None:
        return Bounded(float(machine.stationary @ entropy(machine.readout)))
    found = bracket(process)
    low, high = max(0.0, found.lower - TOLERANCE), found.upper[-1] + TOLERANCE
    return Bounded(found.upper[-1], low, high, len(found.upper))


def excess_entropy(process: GHMM) -> Bounded:
    """E = I[past; future] = Σ_{L≥1} (h(L) - h), in bits.

    Over a finite mixed-state presentation with transition matrix W and long-run limit P it is δ (1 - W + P)⁻¹ (1 - P) H
    with the entropies H of the next-token laws and the initial belief δ. Otherwise it lies between H(n) - n h(n) and,
    for an HMM, H(n) - n h + I[S₀; S_n | X₁…X_n]: n tokens hold I[past; X₁…X_n] = H(n) - n h, and what they leave is
    known to S₀ only through S_n. The value is the lower bound.

    Raises:
        InvalidArgument: for a process that does not start in its stationary state.

    Source: Crutchfield and Feldman, Regularities unseen, randomness observed (2003), for E and the sums of h(L).
    """
    found = _sums(process)
    if isinstance(found, _Sums):
        return Bounded(found.excess)
    return _bounded_excess(found)


def transient_information(process: GHMM) -> Bounded:
    """TI = Σ_{L≥1} L (h(L) - h), in bits times tokens; by (1 - W + P)⁻² where `excess_entropy` has the inverse.

    Otherwise the sum to the depth reached with the largest possible h is a lower bound, and there is no upper one.

    Raises:
        InvalidArgument: for a process that does not start in its stationary state.

    Source: Crutchfield and Feldman (2003).
    """
    found = _sums(process)
    if isinstance(found, _Sums):
        return Bounded(found.transient)
    upper = np.array(found.upper)
    partial = float(np.arange(1, len(upper) + 1) @ (upper - upper[-1]))
    return Bounded(partial, partial, math.inf, len(upper))


def statistical_complexity(process: GHMM) -> Bounded:
    """C = H[causal states], in bits: of the stationary law of the ε-machine.

    Infinitely many causal states may have a finite entropy, as those of a renewal process do, or an infinite one, as
    the fractal of mess3 has. Then the entropy of the predictive states after n tokens is followed: where it settles
    (to 1e-9) this is the value, and where it still grows at 60,000 states the value is `inf`. Neither is a proof; the
    bounds, E and inf, are one.

    Raises:
        InvalidArgument: for a process that does not start in its stationary state.
    """
    require_stationary(process)
    machine = finite_machine(process)
    if machine is not None:
        return Bounded(float(entropy(machine.stationary)))
    value, depth = converged_complexity(process)
    return Bounded(value, excess_entropy(process).low, math.inf, depth)


def crypticity(process: GHMM) -> Bounded:
    """χ = C - E ≥ 0, in bits: what the causal state holds and the future does not show.

    That of the reverse process is `crypticity(reverse(process))`. Bounds and errors as of its two terms.

    Source: Crutchfield, Ellison and Mahoney, Time's barbed arrow (2009).
    """
    complexity, excess = statistical_complexity(process), excess_entropy(process)
    if complexity.exact and excess.exact:
        return Bounded(complexity - excess)
    depth = max(complexity.depth or 0, excess.depth or 0)
    low = max(0.0, complexity.low - excess.high)
    return Bounded(complexity - excess, low, complexity.high - excess.low, depth)


def synchronization_information(process: GHMM) -> Bounded:
    """S = Σ_{L≥0} ⟨H[belief over the causal states after L tokens]⟩, in bits.

    Infinite where an observer of the past never comes to know the causal state.

    Raises:
        InvalidArgument: for a process that is not stationary, or whose ε-machine or its mixed states are not finite:
            the belief about infinitely many states, and with it the sum, is not computed here.

    Source: Crutchfield and Feldman (2003).
    """
    graph = mixed_states(epsilon_machine(process))
    unknown = np.maximum(entropy(graph.beliefs), 0)
    if (unknown[graph.recurrent] > 1e-9).any():
        return Bounded(math.inf)
    inside = graph.matrix.toarray()[np.ix_(graph.transient, graph.transient)]
    if not len(inside):
        return Bounded(0.0)
    visits = np.linalg.solve(np.eye(len(inside)) - inside, unknown[graph.transient])
    return Bounded(float(visits[0]))


def markov_order(process: GHMM) -> float:
    """The least R such that R tokens always determine the causal state; `inf` where no number of them does.

    R is finite where all transient eigenvalues of the ε-machine's mixed-state presentation are 0: it is the index of
    nilpotency of the transient block.

    Raises:
        InvalidArgument: for a process that is not stationary, or whose ε-machine or its mixed states are not finite.
    """
    graph = mixed_states(epsilon_machine(process))
    if graph.spectrum().transient.any() or (entropy(graph.beliefs[graph.recurrent]) > 1e-9).any():
        return math.inf
    return float(graph.nilpotency())


class _Sums(NamedTuple):
    excess: float
    transient: float


def _sums(process: GHMM) -> _Sums | Bracket:
    """Σ (h(L) - h) and Σ L (h(L) - h) over the mixed states, or what bounds them."""
    require_stationary(process)
    graph = predictive_states(process)
    if graph is None:
        return bracket(process)
    dense = graph.matrix.toarray()
    limit = chains.limit(dense)
    laws = entropy(graph.laws)
    resolvent = np.eye(len(dense)) - dense + limit
    once = np.linalg.solve(resolvent, laws - limit @ laws)
    return _Sums(float(once[0]), float(np.linalg.solve(resolvent, once)[0]))


def _bounded_excess(found: Bracket) -> Bounded:
    """H(n) - n h ≤ E with the largest h, and one token earlier, where `memory` is known, from above with the least."""
    length = len(found.upper)
    merging = length * TOLERANCE  # what taking close beliefs for one may cost each h(L)
    value = math.fsum(found.upper) - length * found.upper[-1]
    high = math.fsum(found.upper[:-1]) - (length - 1) * found.lower + found.memory
    return Bounded(value, value - merging, high + merging, length)
