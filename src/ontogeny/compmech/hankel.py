"""The table of pasts and futures of a sequence, and the predictions of its low-rank factorisation."""

import numpy as np
from jaxtyping import Float, Int

from ontogeny.compmech import symbols
from ontogeny.compmech.symbols import Sequences, Symbols

_MOST_WORDS = 16  # a side of the table: long enough for memories of a few tokens, short enough to be filled
_FILLED = 20  # pairs a cell
_RADIUS = 0.06  # total variation between predictions of one state: twice what filtering 10⁵ tokens was seen to blur
_RARE = 0.01
_SEGMENT = 1000
_FORGOTTEN = 32  # tokens at the head of a segment, whose prediction still remembers the start


def widest_window(size: int) -> int:
    """The greatest m that is ever used for an alphabet of `size` symbols: at most 16 words of it, and 4 tokens."""
    length = 1
    while size ** (length + 1) <= _MOST_WORDS and length < 4:
        length += 1
    return length


def window(data: Symbols) -> int:
    """m, the length of pasts and futures: the greatest whose table is filled, and at least 1."""
    length = 1
    while length < widest_window(data.size) and is_filled(data, length + 1):
        length += 1
    return length


def is_filled(data: Symbols, length: int) -> bool:
    """Whether there are 20 pairs for each cell of the table: with 5, the rank test found dimensions in fair coins."""
    return len(_pairs(data, length)) >= _FILLED * data.size ** (2 * length)


def past_future_counts(sequence: Sequences | Symbols) -> Int[np.ndarray, "past future"]:
    """How often each future of m tokens followed each past of m, in pairs that do not overlap.

    Words are in the order in which their symbols first appear.
    """
    data = symbols.read(sequence)
    length = window(data)
    words, starts = _words(data, length), _pairs(data, length)
    return _table(words[starts], words[starts + length], data.size**length)


def _pairs(data: Symbols, length: int) -> Int[np.ndarray, " pair"]:
    """Where a past begins that has a future.

    The pairs are 2m + 1 and 2m tokens apart in turn, so that no period of the process is in step with all of them.
    """
    begins = np.isin(data.ages % (4 * length + 1), (0, 2 * length + 1))
    return np.flatnonzero(begins & (data.left >= 2 * length))


def predictive_clusters(sequence: Sequences | Symbols, dimension: int) -> Int[np.ndarray, " position"]:
    """Number of the group of predictions that each position's past leads to, or -1.

    The table H of pasts and futures, and for each token x the table H_x of pasts, x and futures, give in the span V of
    the leading `dimension` right singular vectors the operators T[x] = (HV)⁺ H_x V, with the law of futures ηVᵀ. The
    sequence is filtered with them, and predictions within a total variation of 0.06 are one group, the most frequent
    first. Groups of less than 1 % of the positions are left out.
    """
    data = symbols.read(sequence)
    length = window(data)
    words, starts = _words(data, length), data.words(2 * length + 1)
    if not len(starts):
        return np.full(len(data.tokens), -1)
    pasts, middle = words[starts], data.tokens[starts + length]
    all_words = data.size**length
    table = _table(pasts, words[starts + length], all_words)
    right = np.linalg.svd(table / len(starts), full_matrices=False)[2][:dimension].T
    inverse = np.linalg.pinv(table @ right)
    shifted = words[starts + length + 1]
    steps = [inverse @ _table(pasts[middle == x], shifted[middle == x], all_words) @ right for x in range(data.size)]
    start = table.sum(axis=0) / len(starts) @ right
    final = inverse @ table.sum(axis=1)
    beliefs = _filter(data, np.stack(steps), start, final)
    return _group(beliefs, right)


def _filter(
    data: Symbols,
    steps: Float[np.ndarray, "token state state"],
    start: Float[np.ndarray, " state"],
    final: Float[np.ndarray, " state"],
) -> Float[np.ndarray, "position state"]:
    """Predictions before every token, in segments side by side; NaN at their heads.

    A token that the estimate holds for impossible starts the prediction afresh.
    """
    heads = np.flatnonzero(data.ages % _SEGMENT == 0)
    sizes = np.minimum(data.left[heads], _SEGMENT)
    heads, sizes = heads[np.argsort(-sizes, kind="stable")], np.sort(sizes)[::-1]
    found = np.full((len(data.tokens), len(start)), np.nan)
    belief = np.tile(start, (len(heads), 1))
    for age in range(sizes[0]):
        reaching = heads[: np.searchsorted(-sizes, -age)] + age  # segments of more than `age` tokens come first
        belief = belief[: len(reaching)]
        if age >= _FORGOTTEN:
            found[reaching] = belief
        belief = np.einsum("bs,bst->bt", belief, steps[data.tokens[reaching]])
        norm = belief @ final
        belief = np.where((norm > 1e-3)[:, None], belief / np.maximum(norm, 1e-3)[:, None], start)
    return found


def _group(beliefs: np.ndarray, right: np.ndarray) -> Int[np.ndarray, " position"]:
    groups = np.full(len(beliefs), -1)
    open_ = np.flatnonzero(np.isfinite(beliefs).all(axis=1))
    rare = _RARE * len(open_)
    laws = beliefs[open_] @ right.T
    number = 0
    while len(open_) > rare:
        # The centre is where predictions are densest, read off a grid as coarse as the groups.
        _, cell, filled = np.unique((laws / _RADIUS).round(), axis=0, return_inverse=True, return_counts=True)
        centre = np.median(laws[cell.ravel() == filled.argmax()], axis=0)
        near = np.abs(laws - centre).sum(axis=1) / 2 < _RADIUS
        if not near.any():
            break
        if near.sum() > rare:
            groups[open_[near]] = number
            number += 1
        open_, laws = open_[~near], laws[~near]
    return groups


def _words(data: Symbols, length: int) -> Int[np.ndarray, " position"]:
    """Number of the word that starts at each position, among all of its length; 0 where the sequence ends before."""
    starts, words = data.words(length), np.zeros(len(data.tokens), np.int64)
    for number in range(length):
        words[starts] = words[starts] * data.size + data.tokens[starts + number]
    return words


def _table(rows: np.ndarray, columns: np.ndarray, size: int) -> Int[np.ndarray, "past future"]:
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
