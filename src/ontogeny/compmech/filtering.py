"""What an observer who knows the process believes about it after every token, and how probable words are."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from torch import Tensor

from ontogeny.core.errors import InvalidArgument

if TYPE_CHECKING:
    from ontogeny.compmech.hmm import GHMM

_BLOCK = 4096  # sequences at a time: a few positions of them stay in the processor's cache
_NEGATIVE = -1e-9
IMPOSSIBLE = 1e-12  # a next token of a signed process is impossible below this: cancellation leaves no exact 0


def beliefs(process: "GHMM", tokens: ArrayLike | Tensor) -> Float[np.ndarray, "sequence position state"]:
    """Exact beliefs along token sequences: η_{t+1} = η_t T[x] / (η_t T[x] w) from the initial state on.

    Args:
        process: HMM or GHMM.
        tokens: integers, shape (sequence, length), an array or a tensor of any device.

    Returns:
        float64, shape (sequence, length + 1, state). Position 0 is the initial state, which is the stationary one
        unless the process was given another; position t follows t tokens. Of an HMM rows are laws of the hidden
        state; of a GHMM they satisfy η w = 1 and may have negative entries. They are normalised at every step, so
        that no sequence is too long.

    Raises:
        InvalidArgument: for tokens outside the vocabulary, and for a sequence of probability 0, after which there is
            no belief; sequence and position are named.
    """
    words = as_words(process, tokens)
    found = np.empty((*np.add(words.shape, (0, 1)), process.num_states))
    for first in range(0, len(words), _BLOCK):
        _filter(process, words[first : first + _BLOCK], found[first : first + _BLOCK], first)
    return found


def _filter(process: "GHMM", words: np.ndarray, out: np.ndarray, offset: int) -> None:
    out[:, 0] = belief = np.tile(process.initial, (len(words), 1))
    for position in range(words.shape[1]):
        belief = advance(process, belief, words[:, position])
        norm = belief @ process.final
        possible = is_possible(process, norm)
        if not possible.all():
            sequence = int(np.flatnonzero(~possible)[0])
            raise InvalidArgument(
                "tokens",
                expected="sequences that the process can emit",
                found=f"token {words[sequence, position]} of probability 0 in sequence {sequence + offset}, "
                f"position {position}",
                instead="cm.word_probabilities(process, tokens) > 0 to tell the possible ones.",
            )
        belief /= norm[:, None]
        out[:, position + 1] = belief


def advance(
    process: "GHMM", belief: Float[np.ndarray, "sequence state"], tokens: Int[np.ndarray, " sequence"]
) -> Float[np.ndarray, "sequence state"]:
    """η T[x], not normalised: for few tokens all products at once, for many those of one token after the other."""
    count, states = process.num_tokens, process.num_states
    if count <= 8:
        side_by_side = process.transition_matrices.transpose(1, 0, 2).reshape(states, count * states)
        products = (belief @ side_by_side).reshape(len(belief) * count, states)
        return products.take(np.arange(0, len(products), count) + tokens, axis=0)
    new = np.empty_like(belief)
    for token in np.unique(tokens):
        chosen = tokens == token
        new[chosen] = belief[chosen] @ process.transition_matrices[token]
    return new


def is_possible(process: "GHMM", probability: Float[np.ndarray, " *any"]) -> Bool[np.ndarray, " *any"]:
    """Which conditional probabilities of a token are not 0: exactly for an HMM, above 1e-12 for signed matrices."""
    if (probability < _NEGATIVE).any():
        raise InvalidArgument(
            "transition_matrices",
            expected="words of probability at least 0",
            found=f"a word with a next token of probability {float(probability.min())}",
        )
    return probability > (0 if (process.transition_matrices >= 0).all() else IMPOSSIBLE)


def next_token_law(process: "GHMM", belief: ArrayLike) -> Float[np.ndarray, "*batch token"]:
    """Pr(x | η) = η T[x] w for beliefs of shape (…, state); shape (…, token)."""
    given = np.asarray(belief, dtype=np.float64)
    if given.shape[-1:] != (process.num_states,):
        raise InvalidArgument("belief", expected=f"shape (…, {process.num_states})", found=f"shape {given.shape}")
    return given @ process.readout


def log2_word_probabilities(process: "GHMM", words: ArrayLike | Tensor) -> Float[np.ndarray, " word"]:
    """log₂ Pr(x₁…x_L), in bits: the sum of the logarithms of the conditional probabilities, which no length underflows.

    Args:
        process: HMM or GHMM.
        words: integers, shape (word, length).

    Returns:
        Shape (word,); -inf for a word that the process cannot emit.

    Raises:
        InvalidArgument: for tokens outside the vocabulary.
    """
    given = as_words(process, words)
    belief = np.tile(process.initial, (len(given), 1))
    total = np.zeros(len(given))
    for position in range(given.shape[1]):
        belief = advance(process, belief, given[:, position])
        norm = belief @ process.final
        possible = is_possible(process, norm)
        total += np.log2(norm, where=possible, out=np.full(len(norm), -np.inf))
        belief[possible] /= norm[possible, None]
        belief[~possible] = 0  # every later token then has probability 0 too
    return total


def word_probabilities(process: "GHMM", words: ArrayLike | Tensor) -> Float[np.ndarray, " word"]:
    """Pr(x₁…x_L) of words of shape (word, length), 0 for an impossible one; see `log2_word_probabilities`."""
    return np.exp2(log2_word_probabilities(process, words))


def check_short_words(process: "GHMM", most: int) -> None:
    """Raise if a word among the first `most` in order of length has negative probability."""
    vectors = process.initial[None]
    while len(vectors) * process.num_tokens <= most:
        vectors = np.einsum("ws,xst->wxt", vectors, process.transition_matrices).reshape(-1, process.num_states)
        is_possible(process, vectors @ process.final)
        if process.num_tokens == 1 and len(vectors) == 1:
            return


def as_words(process: "GHMM", tokens: ArrayLike | Tensor) -> Int[np.ndarray, "sequence position"]:
    """Tokens as an integer array, refused where the process does not know them."""
    given = tokens.detach().cpu().numpy() if isinstance(tokens, Tensor) else np.asarray(tokens)
    if given.ndim != 2 or not (np.issubdtype(given.dtype, np.integer) or given.size == 0):
        raise InvalidArgument(
            "tokens", expected="integers of shape (sequence, length)", found=f"{given.dtype} of shape {given.shape}"
        )
    if given.size and not (given.min() >= 0 and given.max() < process.num_tokens):
        sequence, position = np.argwhere((given < 0) | (given >= process.num_tokens))[0]
        raise InvalidArgument(
            "tokens",
            expected=f"tokens from 0 to {process.num_tokens - 1}",
            found=f"{given[sequence, position]} in sequence {sequence}, position {position}",
        )
    return given.astype(np.int64, copy=False)
