"""All contexts of a process, with their probabilities, exact beliefs and next-token laws."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ontogeny.compmech.hmm import GHMM
from ontogeny.core.errors import InvalidArgument

MAX_WORDS = 100_000


@dataclass(frozen=True, eq=False)
class ContextTable:
    """Every possible word of one length and its prefixes; contexts run over (word, position), prefixes repeat.

    Attributes:
        words: (word, position), all of positive probability.
        first: (context,), the number of the first (word, position) of each distinct prefix.
        prefixes: (context, position), tokens, -1 after the end.
        lengths, probabilities: (context,), of the prefix; probabilities of one length sum to 1.
        beliefs: (context, state); laws: (context, token), exact.
    """

    words: Int[np.ndarray, "word position"]
    first: Int[np.ndarray, " context"]
    prefixes: Int[np.ndarray, "context position"]
    lengths: Int[np.ndarray, " context"]
    probabilities: Float[np.ndarray, " context"]
    beliefs: Float[np.ndarray, "context state"]
    laws: Float[np.ndarray, "context token"]

    @property
    def weights(self) -> Float[np.ndarray, " context"]:
        """Probability of a context of a random length."""
        return self.probabilities / self.probabilities.sum()

    def names(self) -> list[str]:
        return ["".join(map(str, row[row >= 0])) for row in self.prefixes]


def all_contexts(process: GHMM, length: int) -> ContextTable:
    """The contexts of 1 to `length` tokens.

    Raises:
        InvalidArgument: for more than 100,000 possible words.
    """
    words = np.zeros((1, 0), dtype=np.int64)
    states, first = process.initial[None], []
    lengths, probabilities, beliefs, prefixes = [], [], [], []
    for size in range(1, length + 1):
        joint = np.einsum("ws,xst->wxt", states, process.transition_matrices)
        chance = joint @ process.final
        kept = chance > 1e-12
        rows, tokens = np.nonzero(kept)
        words, states = np.column_stack([words[rows], tokens]), joint[kept]
        if len(words) > MAX_WORDS:
            expected = f"a length at which the process has at most {MAX_WORDS} words"
            raise InvalidArgument("length", expected=expected, found=f"{len(words)} of {size} tokens")
        probabilities.append(states @ process.final)
        beliefs.append(states / probabilities[-1][:, None])
        lengths.append(np.full(len(words), size))
        prefixes.append(np.pad(words, ((0, 0), (0, length - size)), constant_values=-1))
    flat_beliefs = np.concatenate(beliefs)
    for size in range(1, length + 1):  # prefixes were made in order, so that words that share one are neighbours
        starts = np.flatnonzero(np.r_[True, (words[1:, :size] != words[:-1, :size]).any(axis=1)])
        first.append(starts * length + size - 1)
    return ContextTable(
        words=words,
        first=np.concatenate(first),
        prefixes=np.concatenate(prefixes),
        lengths=np.concatenate(lengths),
        probabilities=np.concatenate(probabilities),
        beliefs=flat_beliefs,
        laws=flat_beliefs @ process.readout,
    )


def losses_by_length(table: ContextTable, logits: Float[np.ndarray, "context token"]) -> Float[np.ndarray, " length"]:
    """Expected next-token loss in nats after contexts of each length, exact: Σ Pr(c) Σₓ Pr(x|c) (-log q(x|c))."""
    shifted = logits - logits.max(1, keepdims=True)
    log_q = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    each = -(table.laws * log_q).sum(1) * table.probabilities
    return np.bincount(table.lengths, weights=each)[1:]
