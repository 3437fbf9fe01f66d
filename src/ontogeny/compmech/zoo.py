"""Named hidden Markov processes, and the one door to them and to the quantum ones: `process(name, ...)`."""

import sys
from collections.abc import Callable, Sequence
from inspect import signature

import numpy as np

from ontogeny.compmech import zoo_quantum
from ontogeny.compmech.composition import leaky
from ontogeny.compmech.hmm import GHMM, HMM
from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument

Edge = tuple[int, int, float, int]  # from state, token, probability, to state


def process(name: str, **parameters: float | int | Sequence[float]) -> GHMM | HMM:
    """A named process, e.g. `process("mess3", x=0.05, alpha=0.85)`.

    Args:
        name: one of `process_names()`; the function of that name in this module or in `zoo_quantum` describes it.
        parameters: those of that function; most have defaults.

    Raises:
        InvalidArgument: for a name or a parameter that does not exist, with those that do, and for values out of range.
    """
    arguments.choice("name", name, process_names())
    known = signature(_ZOO[name]).parameters
    if unknown := sorted(set(parameters) - set(known)):
        raise InvalidArgument("parameters", expected=f"{name}({', '.join(known)})", found=", ".join(unknown))
    if missing := [key for key, value in known.items() if value.default is value.empty and key not in parameters]:
        raise InvalidArgument("parameters", expected=f"{name}({', '.join(known)})", found=f"no {', '.join(missing)}")
    try:
        return _ZOO[name](**parameters)
    except InvalidArgument as error:
        if set(error.argument.split(", ")) <= set(known):
            raise
        found = f"{arguments.show(parameters)}, which give `{error.argument}` {error.found}"
        raise InvalidArgument("parameters", expected=f"those of a process {name}", found=found) from None


def process_names() -> list[str]:
    """The names that `process` knows."""
    return sorted(_ZOO)


def coin(p: float = 0.5) -> HMM:
    """Independent tokens, 0 with probability p."""
    p = arguments.probability("p", p)
    return _machine([(0, 0, p, 0), (0, 1, 1 - p, 0)])


def golden_mean(p: float = 0.5) -> HMM:
    """No two 1s in a row: A emits 1 with probability p and goes to B, which emits 0. h = H(p)/(1 + p)."""
    return golden_mean_rk(1, 1, p)


def golden_mean_rk(r: int = 1, k: int = 1, p: float = 0.5) -> HMM:
    """The (R, k)-golden mean: a 1 (of probability p in A) is followed by R - 1 more and then k zeros, back to A.

    R + k states; Markov order R and cryptic order k. (1, 1) is the golden mean.
    """
    p = arguments.probability("p", p)
    r, k = arguments.whole_number("r", r, least=1), arguments.whole_number("k", k, least=1)
    size = r + k
    forced = [(i, 1 if i < r else 0, 1.0, (i + 1) % size) for i in range(1, size)]
    return _machine([(0, 0, 1 - p, 0), (0, 1, p, 1), *forced])


def even(p: float = 0.5) -> HMM:
    """Blocks of 1s of even length: A emits 1 with probability p and goes to B, which emits 1. h = H(p)/(1 + p)."""
    p = arguments.probability("p", p)
    return _machine([(0, 0, 1 - p, 0), (0, 1, p, 1), (1, 1, 1.0, 0)])


def zero_one_random(p: float = 0.5) -> HMM:
    """Z1R: 0, then 1, then a random token, which is 1 with probability p; and again."""
    p = arguments.probability("p", p)
    return _machine([(0, 0, 1.0, 1), (1, 1, 1.0, 2), (2, 0, 1 - p, 0), (2, 1, p, 0)])


def rrxor(p1: float = 0.5, p2: float = 0.5) -> HMM:
    """Two random tokens, 0 with probabilities p1 and p2, then their exclusive or; states S, 0, 1, T, F."""
    p1, p2 = _probabilities(p1=p1, p2=p2)
    start, zero, one, true, false = range(5)
    first = [(start, 0, p1, zero), (start, 1, 1 - p1, one)]
    second = [(zero, 0, p2, false), (zero, 1, 1 - p2, true), (one, 0, p2, true), (one, 1, 1 - p2, false)]
    return _machine([*first, *second, (true, 1, 1.0, start), (false, 0, 1.0, start)])


def leaky_rrxor(p1: float = 0.5, p2: float = 0.5, epsilon: float = 0.01) -> HMM:
    """RRXOR that with probability ε emits any token and goes to any state."""
    return leaky(rrxor(p1, p2), epsilon)


def mess3(x: float = 0.05, alpha: float = 0.85) -> HMM:
    """Three hidden states that stay with probability 1 - 2x and emit their own token on arrival with probability α.

    T[z][i, j] = (1 - 2x if i = j else x) · (α if z = j else (1 - α)/2), for 0 < x ≤ 1/2. Its beliefs are a fractal
    in the triangle.
    """
    alpha = arguments.probability("alpha", alpha)
    x = arguments.real_number("x", x, "a number above 0, up to 1/2", sys.float_info.min, 0.5)
    hidden = np.where(np.eye(3, dtype=bool), 1 - 2 * x, x)
    emission = np.where(np.eye(3, dtype=bool), alpha, (1 - alpha) / 2)
    return HMM(np.einsum("ij,zj->zij", hidden, emission))


def random_insertion(p: float = 0.5, q: float = 0.5) -> HMM:
    """RIP: states A, B, C; A emits 0 (p) and goes to B or 1 and goes to C; B emits 0 (q) or 1; C emits 1."""
    p, q = _probabilities(p=p, q=q)
    return _machine([(0, 0, p, 1), (0, 1, 1 - p, 2), (1, 0, q, 2), (1, 1, 1 - q, 2), (2, 1, 1.0, 0)])


def nemo(p: float = 0.5, q: float = 0.5) -> HMM:
    """Nemo, of infinite Markov and cryptic order (Mahoney et al., arXiv 0906.5099, figure 7); states A, B, C."""
    p, q = _probabilities(p=p, q=q)
    return _machine([(0, 1, p, 0), (0, 0, 1 - p, 1), (1, 0, 1.0, 2), (2, 0, 1 - q, 0), (2, 1, q, 0)])


def simple_nonunifilar_source(p: float = 0.5, q: float = 0.5) -> HMM:
    """SNS: two states, T[0] = [[1-p, p], [0, 1-q]], T[1] = [[0, 0], [q, 0]]; infinitely many causal states.

    Source: Marzen and Crutchfield (arXiv 1702.08565), figure 2.
    """
    p, q = _probabilities(p=p, q=q)
    return _machine([(0, 0, 1 - p, 0), (0, 0, p, 1), (1, 0, 1 - q, 1), (1, 1, q, 0)])


def nond() -> HMM:
    """Three states, not unifilar: A emits 0 to C; B emits 1 to A or B; C emits 1 to A, B or C, evenly.

    Infinitely many causal states. Source: Marzen and Crutchfield (arXiv 1702.08565).
    """
    third = 1 / 3
    return _machine([(0, 0, 1.0, 2), (1, 1, 0.5, 0), (1, 1, 0.5, 1), *((2, 1, third, state) for state in range(3))])


def matching_parens(open_probs: Sequence[float] = (1.0, 0.5, 0.5)) -> HMM:
    """Brackets that match: 0 opens with probability open_probs[depth], 1 closes; deepest after the last entry.

    Args:
        open_probs: one probability a depth, the first 1 (nothing is open to be closed). A 0 is added at the end
            where it lacks.
    """
    expected = "probabilities > 0, the first of them 1"
    given = np.atleast_1d(arguments.real_array("open_probs", open_probs, expected)).tolist()
    if not given or given[0] != 1 or not all(0 < p <= 1 for p in given[1:-1]) or not 0 <= given[-1] <= 1:
        raise InvalidArgument("open_probs", expected=expected, found=arguments.show(given))
    opening = np.array(given if given[-1] == 0 else [*given, 0.0])
    return HMM(np.stack([np.diag(opening[:-1], 1), np.diag(1 - opening[1:], -1)]))


def mr_name(p: float = 0.4, q: float = 0.25) -> HMM:
    """Text about one person: "Mr." is followed by the name, the name by "something" or "blah".

    Tokens and states, which the token leads to: 0 Mr., 1 something, 2 blah, 3 name. Of the two filler words each is
    followed by "Mr." (q), by the other (p) or by itself. Made for unions of people with different names.
    """
    p, q = _probabilities(p=p, q=q)
    if p + q > 1:
        raise InvalidArgument("p, q", expected="p + q of at most 1", found=f"{p} + {q}")
    stay = 1 - p - q
    words = np.array([[0, 0, 0, 1], [q, stay, p, 0], [q, p, stay, 0], [0, 0.5, 0.5, 0]])
    return HMM(np.einsum("ij,zj->zij", words, np.eye(4)))


def days_of_week() -> HMM:
    """Seven days as states, eleven tokens: the days (0 to 6), tomorrow, yesterday, weekend, weekday.

    A day's name leads to that day, with weight 5 for the next day and 1 for every other; "tomorrow" and "yesterday"
    (weight 1 each) lead there; "weekend" and "weekday" (weight 1 each) lead to one of those days evenly.
    """
    days = np.arange(7)
    weights = np.zeros((11, 7, 7))
    weights[days, :, days] = 1
    weights[(days + 1) % 7, days, (days + 1) % 7] = 5
    weights[7, days, (days + 1) % 7] = 1
    weights[8, days, days - 1] = 1
    weights[9, :, 5:] = 1 / 2
    weights[10, :, :5] = 1 / 5
    return HMM(weights / 15)


def _machine(edges: Sequence[Edge]) -> HMM:
    tokens, states = max(edge[1] for edge in edges) + 1, max(edge[0] for edge in edges) + 1
    matrices = np.zeros((tokens, states, states))
    for source, token, probability, target in edges:
        matrices[token, source, target] += probability
    return HMM(matrices)


def _probabilities(**values: float) -> list[float]:
    return [arguments.probability(name, value) for name, value in values.items()]


_ZOO: dict[str, Callable[..., GHMM | HMM]] = {
    "coin": coin,
    "golden_mean": golden_mean,
    "no_consecutive_ones": golden_mean,
    "golden_mean_rk": golden_mean_rk,
    "even": even,
    "even_ones": even,
    "zero_one_random": zero_one_random,
    "z1r": zero_one_random,
    "rrxor": rrxor,
    "leaky_rrxor": leaky_rrxor,
    "mess3": mess3,
    "random_insertion": random_insertion,
    "rip": random_insertion,
    "nemo": nemo,
    "simple_nonunifilar_source": simple_nonunifilar_source,
    "sns": simple_nonunifilar_source,
    "nond": nond,
    "matching_parens": matching_parens,
    "mr_name": mr_name,
    "days_of_week": days_of_week,
    "tom_quantum": zoo_quantum.tom_quantum,
    "bloch_walk": zoo_quantum.tom_quantum,
    "post_quantum": zoo_quantum.post_quantum,
    "moon": zoo_quantum.post_quantum,
    "fanizza": zoo_quantum.fanizza,
    "frdn": zoo_quantum.fanizza,
    "quantum_rrxor": zoo_quantum.quantum_rrxor,
}
