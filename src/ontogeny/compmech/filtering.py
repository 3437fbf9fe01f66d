"""What an observer who knows the process believes about it after every token, and how probable words are."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from ontogeny.compmech.matrices import Labelled, require_process
from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument

_BLOCK = 2000  # sequences at a time; no power of two, by which rows would crowd the same places of the cache
_POSITIONS = 16  # and positions: of more, fresh memory costs as much as the arithmetic
_PRODUCTS = 160  # of a belief with all matrices; when there are more, those not asked for cost most of the time
_NEGATIVE = -1e-9
IMPOSSIBLE = 1e-12  # a next token of a signed process is impossible below this: cancellation leaves no exact 0


def beliefs(process: Labelled, tokens: Numbers) -> Float[np.ndarray, "sequence position state"]:
    """Exact beliefs along token sequences: η_{t+1} = η_t T[x] / (η_t T[x] w) from the initial state on.

    Args:
        process: HMM or GHMM.
        tokens: whole numbers, shape (sequence, length), an array, a list or a tensor of any device.

    Returns:
        float64, shape (sequence, length + 1, state). Position 0 is the initial state, which is the stationary one
        unless the process was given another; position t follows t tokens. Of an HMM rows are laws of the hidden
        state; of a GHMM they satisfy η w = 1 and may have negative entries. They are normalised at every step, so
        that no sequence is too long.

    Raises:
        InvalidArgument: for tokens outside the vocabulary, and for a sequence of probability 0, after which there is
            no belief; sequence and position are named.
    """
    words = as_words(process, tokens, "tokens")
    found = np.empty((*np.add(words.shape, (0, 1)), process.num_states))
    found[:, 0] = process.initial
    width, height = min(len(words), _BLOCK), min(words.shape[1], _POSITIONS)
    step = _stepper(process, width)
    history, norms = np.empty((height + 1, process.num_states, width)), np.empty((height, width))
    for first in range(0, len(words), _BLOCK):
        for start in range(0, words.shape[1], _POSITIONS):
            piece = np.ascontiguousarray(words[first : first + _BLOCK, start : start + _POSITIONS].T)
            positions, sequences = piece.shape
            along, seen = history[: positions + 1, :, :sequences], norms[:positions, :sequences]
            part = found[first : first + sequences, start : start + positions + 1]
            along[0] = part[:, 0].T
            _filter(process, step, piece, along, seen)
            _require_possible(process, piece, seen, first, start)
            part[:, 1:] = along[1:].transpose(2, 0, 1)
    return found


def _filter(process: Labelled, step: "_Step", tokens: np.ndarray, history: np.ndarray, norms: np.ndarray) -> None:
    """Beliefs (position, state, sequence) from the first on; past an impossible token (norm 0) they mean nothing."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for position, token in enumerate(tokens):
            belief = history[position + 1]
            step(history[position], token, belief)
            np.matmul(process.final, belief, out=norms[position])
            belief /= norms[position]


def _require_possible(process: Labelled, tokens: np.ndarray, norms: np.ndarray, first: int, start: int) -> None:
    if (norms > _floor(process)).all():
        return
    for position, norm in enumerate(norms):
        possible = is_possible(process, norm)
        if not possible.all():
            sequence = int(np.flatnonzero(~possible)[0])
            raise InvalidArgument(
                "tokens",
                expected="sequences that the process can emit",
                found=f"token {tokens[position, sequence]} of probability 0 in sequence {sequence + first}, "
                f"position {position + start}",
                instead="np.asarray(tokens)[cm.word_probabilities(process, tokens) > 0], the possible ones.",
            )


_Step = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def _stepper(process: Labelled, width: int) -> _Step:
    """η ↦ η T[x] of up to `width` beliefs, as columns, into a third array: not normalised."""
    matrices = process.transition_matrices
    count, states = matrices.shape[:2]

    def one_token_after_another(beliefs: np.ndarray, tokens: np.ndarray, out: np.ndarray) -> None:
        for token in np.unique(tokens):
            chosen = tokens == token
            out[:, chosen] = matrices[token].T @ beliefs[:, chosen]

    if count * states > _PRODUCTS:
        return one_token_after_another
    side_by_side = matrices.transpose(2, 0, 1).reshape(states * count, states)
    products, columns = np.empty((states * count, width)), np.arange(width)

    def all_tokens_at_once(beliefs: np.ndarray, tokens: np.ndarray, out: np.ndarray) -> None:
        size = len(tokens)
        np.matmul(side_by_side, beliefs, out=products[:, :size])
        places = tokens * width + columns[:size]
        products.reshape(states, count * width).take(places, axis=1, out=out, mode="clip")  # "raise" would copy

    return all_tokens_at_once


def successors(
    process: Labelled, beliefs: Float[np.ndarray, "belief state"]
) -> tuple[Float[np.ndarray, "belief token"], Bool[np.ndarray, "belief token"], Float[np.ndarray, "possible state"]]:
    """The probability of every token after each belief, which are possible, and the beliefs after those."""
    joint = (beliefs @ process.side_by_side).reshape(len(beliefs), process.num_tokens, process.num_states)
    probability = joint @ process.final
    possible = is_possible(process, probability)
    return probability, possible, joint[possible] / probability[possible][:, None]


def is_possible(process: Labelled, probability: Float[np.ndarray, " *any"]) -> Bool[np.ndarray, " *any"]:
    """Which conditional probabilities of a token are not 0: exactly for an HMM, above 1e-12 for signed matrices."""
    if (probability < _NEGATIVE).any():
        raise InvalidArgument(
            "transition_matrices",
            expected="words of probability at least 0",
            found=f"a word with a next token of probability {float(probability.min())}",
        )
    return probability > _floor(process)


def _floor(process: Labelled) -> float:
    return IMPOSSIBLE if process.is_signed else 0.0


def next_token_law(process: Labelled, belief: Numbers) -> Float[np.ndarray, "*batch token"]:
    """Pr(x | η) = η T[x] w for beliefs of shape (…, state); shape (…, token)."""
    require_process(process)
    given = arguments.real_array("belief", belief, f"real numbers of shape (…, {process.num_states})")
    if given.shape[-1:] != (process.num_states,):
        raise InvalidArgument("belief", expected=f"shape (…, {process.num_states})", found=f"shape {given.shape}")
    return given @ process.readout


def log2_word_probabilities(process: Labelled, words: Numbers) -> Float[np.ndarray, " word"]:
    """log₂ Pr(x₁…x_L), in bits: the sum of the logarithms of the conditional probabilities, which no length underflows.

    Args:
        process: HMM or GHMM.
        words: integers, shape (word, length).

    Returns:
        Shape (word,); -inf for a word that the process cannot emit.

    Raises:
        InvalidArgument: for tokens outside the vocabulary.
    """
    given = as_words(process, words, "words")
    total = np.zeros(len(given))
    step = _stepper(process, min(len(given), _BLOCK))
    for first in range(0, len(given), _BLOCK):
        block, sums = given[first : first + _BLOCK], total[first : first + _BLOCK]
        belief = np.tile(process.initial[:, None], len(block))
        after = np.empty_like(belief)
        for tokens in block.T:
            step(belief, tokens, after)
            norm = process.final @ after
            possible = is_possible(process, norm)
            sums += np.log2(norm, where=possible, out=np.full(len(norm), -np.inf))
            np.divide(after, norm, where=possible, out=belief)
            belief[:, ~possible] = 0  # every later token then has probability 0 too
    return total


def word_probabilities(process: Labelled, words: Numbers) -> Float[np.ndarray, " word"]:
    """Pr(x₁…x_L) of words of shape (word, length), 0 for an impossible one; see `log2_word_probabilities`."""
    return np.exp2(log2_word_probabilities(process, words))


def check_short_words(process: Labelled, most: int) -> None:
    """Raise if a word among the first `most` in order of length has negative probability."""
    vectors = process.initial[None]
    while len(vectors) * process.num_tokens <= most:
        vectors = np.einsum("ws,xst->wxt", vectors, process.transition_matrices).reshape(-1, process.num_states)
        is_possible(process, vectors @ process.final)
        if process.num_tokens == 1 and len(vectors) == 1:
            return


def as_words(process: Labelled, tokens: Numbers, name: str) -> Int[np.ndarray, "sequence position"]:
    """Tokens as an integer array, refused where the process does not know them."""
    require_process(process)
    given = arguments.as_array(name, tokens)
    whole = given.dtype.kind in "biu" or (given.dtype.kind == "f" and bool((given == np.round(given)).all()))
    if given.ndim != 2 or not whole:
        raise InvalidArgument(
            name,
            expected="whole numbers of shape (sequence, length)",
            found=arguments.describe(given, tokens),
            instead=f"[{name}] for one sequence." if given.ndim == 1 and whole and given.size else "",
        )
    if given.size and not (given.min() >= 0 and given.max() < process.num_tokens):
        sequence, position = np.argwhere((given < 0) | (given >= process.num_tokens))[0]
        raise InvalidArgument(
            name,
            expected=f"tokens from 0 to {process.num_tokens - 1}",
            found=f"{given[sequence, position]} in sequence {sequence}, position {position}",
        )
    return given.astype(np.int64, copy=False)
