"""The mixed-state presentation: the graph of the beliefs that an observer can come to, level by level."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int
from scipy import sparse

from ontogeny.compmech import chains
from ontogeny.compmech.dedup import ROUNDING, Index
from ontogeny.compmech.filtering import next_token_law, successors
from ontogeny.compmech.hmm import GHMM
from ontogeny.compmech.matrices import require_process
from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument

MAX_STATES = 100_000


class Spectrum(NamedTuple):
    """Eigenvalues of the mixed-state presentation, largest modulus first. Only the transient ones drive h(L) - h."""

    recurrent: Complex[np.ndarray, " recurrent"]
    transient: Complex[np.ndarray, " transient"]


@dataclass(frozen=True, eq=False)
class MixedStates:
    """The beliefs that are reachable from a process's initial state, as a graph.

    Args:
        process: whose beliefs they are.
        beliefs: shape (belief, state), in the order in which they are first met; the initial state first.
        successors: the belief after each token, shape (belief, token); -1 after an impossible token, and throughout
            the rows of beliefs that were not expanded.
        laws: next-token law of every belief, shape (belief, token).
        first_depth: length of the shortest word that leads to each belief.
        num_expanded: how many beliefs, the first ones, have been expanded.
        exact: whether all beliefs that were taken for one (closer than 1e-8) were equal up to rounding (1e-11).

    A graph is the whole presentation where it is `complete`: every belief expanded, and exact. Otherwise `num_states`
    counts what was met, and a larger `max_depth` may meet more; `spectrum`, `sync_time` and the parts are refused.
    """

    process: GHMM
    beliefs: Float[np.ndarray, "belief state"]
    successors: Int[np.ndarray, "belief token"]
    laws: Float[np.ndarray, "belief token"]
    first_depth: Int[np.ndarray, " belief"]
    num_expanded: int
    exact: bool

    @property
    def complete(self) -> bool:
        return self.exact and self.num_expanded == self.num_states

    @property
    def num_states(self) -> int:
        return len(self.beliefs)

    @property
    def depth(self) -> int:
        """The largest first-visit depth."""
        return int(self.first_depth.max())

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """W[a, b] = Σₓ Pr(x | a) over the tokens that lead from a to b; the rows of unexpanded beliefs are 0."""
        rows, tokens = np.nonzero(self.successors >= 0)
        entries = (self.laws[rows, tokens], (rows, self.successors[rows, tokens]))
        return sparse.csr_array(entries, shape=(self.num_states, self.num_states))

    def labelled_matrices(self) -> Float[np.ndarray, "token belief belief"]:
        """`W[x][a, b]` = Pr(x | a) where x leads from a to b: a unifilar HMM that starts in belief 0."""
        self._require_complete("labelled_matrices()")
        matrices = np.zeros((self.process.num_tokens, self.num_states, self.num_states))
        rows, tokens = np.nonzero(self.successors >= 0)
        matrices[tokens, rows, self.successors[rows, tokens]] = self.laws[rows, tokens]
        return matrices

    @cached_property
    def recurrent(self) -> Int[np.ndarray, " recurrent"]:
        """The beliefs that an observer keeps coming back to, by number."""
        self._require_complete("recurrent")
        return np.sort(np.concatenate(chains.classes(self.matrix.toarray()).recurrent))

    @property
    def transient(self) -> Int[np.ndarray, " transient"]:
        """The beliefs that an observer leaves for good, by number."""
        return np.setdiff1d(np.arange(self.num_states), self.recurrent)

    @property
    def num_recurrent(self) -> int:
        return len(self.recurrent)

    def spectrum(self) -> Spectrum:
        """Eigenvalues of the recurrent and of the transient block of W.

        Source: Crutchfield, Ellison and Riechers, Exact complexity (arXiv 1309.3792).
        """
        self._require_complete("spectrum()")
        dense = self.matrix.toarray()
        blocks = [dense[np.ix_(states, states)] for states in (self.recurrent, self.transient)]
        return Spectrum(*(chains.eigenvalues(block) for block in blocks))

    def sync_time(self, epsilon: float) -> int:
        """Tokens after which the largest transient mode, of modulus r, has shrunk to ε: log ε / log r, rounded up.

        Where all transient eigenvalues are 0 it is the number of tokens after which every observer has left the
        transient beliefs, whatever ε.
        """
        epsilon = arguments.between_0_and_1("epsilon", epsilon)
        largest = float(np.abs(self.spectrum().transient).max(initial=0))
        return self.nilpotency() if largest == 0 else math.ceil(math.log(epsilon) / math.log(largest))

    def nilpotency(self) -> int:
        """The least n with (transient block)ⁿ = 0, for transient beliefs that form no cycle."""
        states = self.transient
        block = (self.matrix.toarray()[np.ix_(states, states)] > 0).astype(int)
        reached = np.ones(len(states), int)
        for length in range(len(states) + 1):
            if not reached.any():
                return length
            reached = np.minimum(block @ reached, 1)
        raise InvalidArgument("self", expected="transient beliefs without a cycle", found="a cycle")

    def distributions(self, length: int) -> Float[np.ndarray, "length belief"]:
        """Row L holds the probabilities of all beliefs after L tokens, for L = 0 … length - 1.

        Raises:
            InvalidArgument: for a graph that was not expanded so far.
        """
        length = arguments.whole_number("length", length)
        if self.num_expanded < self.num_states and length - 1 > self.depth:
            raise InvalidArgument("length", expected=f"at most {self.depth + 1}, the depth + 1", found=f"{length}")
        return np.array(list(islice(self.walk(), length))).reshape(length, self.num_states)

    def walk(self) -> Iterator[Float[np.ndarray, " belief"]]:
        """The probabilities of all beliefs after 0, 1, 2, … tokens; of words that are no longer than the expansion."""
        sources, tokens = np.nonzero(self.successors >= 0)
        targets, laws = self.successors[sources, tokens], self.laws[sources, tokens]
        row = np.zeros(self.num_states)
        row[0] = 1
        while True:
            yield row
            row = np.bincount(targets, laws * row[sources], minlength=self.num_states)

    def _require_complete(self, asked: str) -> None:
        if not self.complete:
            raise InvalidArgument(
                "max_depth",
                expected=f"a complete graph, for `{asked}`",
                found=f"{self.num_states} beliefs, of which {self.num_expanded} are expanded"
                + ("" if self.exact else ", some of them merged though different"),
                instead="cm.mixed_states(process), where the presentation is finite.",
            )


def mixed_states(process: GHMM, max_depth: int | None = None, max_states: int = MAX_STATES) -> MixedStates:
    """The graph of the beliefs η' = η T[x] / (η T[x] w) that are reachable from the initial state.

    Beliefs closer than 1e-8 (largest difference of a coordinate, with η w = 1) are one node, so that a finite
    presentation takes finite memory at any depth.

    Args:
        process: HMM or GHMM.
        max_depth: beliefs after words of up to so many tokens are met, and those of fewer expanded. Default: all,
            for a presentation that is finite.
        max_states: limit of the number of beliefs.

    Returns:
        `MixedStates`; with `max_depth` it may be incomplete, and says so.

    Raises:
        InvalidArgument: beyond `max_states`; and without `max_depth`, as soon as beliefs that differ come closer to
            each other than the tolerance: then no merged graph is the presentation, which is likely infinite.

    When not to trust it: a graph that is complete has closed at float64's precision, which is no proof. Beliefs of a
    long word that an unstable GHMM amplifies carry its rounding.
    """
    require_process(process)
    if max_depth is not None:
        max_depth = arguments.whole_number("max_depth", max_depth)
    max_states = arguments.whole_number("max_states", max_states, least=1)
    index = Index(process.num_states)
    index.add(process.initial[None])
    rows: list[np.ndarray] = []
    depths, expanded = [np.zeros(1, int)], 0
    while expanded < len(index) and (max_depth is None or len(rows) < max_depth):
        frontier = index.vectors[expanded:]
        expanded = len(index)
        rows.append(_expand(process, frontier, index))
        if len(index) > max_states:
            raise InvalidArgument(
                "max_states",
                expected=f"a presentation of at most {max_states} beliefs",
                found=f"{len(index)} after words of {len(rows)} tokens",
                instead=f"cm.mixed_states(process, max_depth={len(rows) - 1}), or a larger max_states.",
            )
        if max_depth is None and index.widest > ROUNDING:
            raise InvalidArgument(
                "max_depth",
                expected="a depth, since the presentation is not finite at the tolerance",
                found=f"beliefs {index.widest:.1g} apart after {len(rows)} tokens, and {len(index)} beliefs",
                instead=f"cm.mixed_states(process, max_depth={len(rows) - 1})",
            )
        depths.append(np.full(len(index) - expanded, len(rows)))
    unexpanded = np.full((len(index) - expanded, process.num_tokens), -1)
    return MixedStates(
        process=process,
        beliefs=index.vectors,
        successors=np.concatenate([*rows, unexpanded]),
        laws=next_token_law(process, index.vectors),
        first_depth=np.concatenate(depths),
        num_expanded=expanded,
        exact=index.widest <= ROUNDING,
    )


def _expand(process: GHMM, frontier: Float[np.ndarray, "belief state"], index: Index) -> np.ndarray:
    """Successors of the beliefs, shape (belief, token), added to the index where they are new."""
    probability, possible, beliefs = successors(process, frontier)
    places = np.full(probability.shape, -1)
    places[possible] = index.add(beliefs)
    return places
