"""The table of pasts and futures of a sequence, and the predictions of its low-rank factorisation."""

import numpy as np
from jaxtyping import Float, Int

_MOST_WORDS = 16  # a side of the table: long enough for memories of a few tokens, short enough to be filled
_RADIUS = 0.06  # total variation between predictions of one state: twice what filtering 10⁵ tokens was seen to blur
_RARE = 0.01
_SEGMENT = 1000
_FORGOTTEN = 32  # tokens at the head of a segment, whose prediction still remembers the start


def window(num_tokens: int) -> int:
    """m, the length of pasts and futures: at most 16 words of it."""
    length = 1
    while num_tokens ** (length + 1) <= _MOST_WORDS and length < 4:
        length += 1
    return length


def past_future_counts(tokens: Int[np.ndarray, " position"]) -> Int[np.ndarray, "past future"]:
    """How often each future of m tokens followed each past of m, in pairs that do not overlap.

    The pairs are 2m and 2m + 1 tokens apart in turn, so that no period of the process is in step with all of them.
    """
    size = int(tokens.max()) + 1
    length = window(size)
    gaps = 2 * length + np.arange(len(tokens) // (2 * length)) % 2
    starts = np.cumsum(gaps) - gaps[0]
    starts = starts[starts + 2 * length <= len(tokens)]
    words = _words(tokens, length, size)
    return _table(words[starts], words[starts + length], size**length)


def predictive_clusters(tokens: Int[np.ndarray, " position"], dimension: int) -> Int[np.ndarray, " position"]:
    """Number of the group of predictions that each position's past leads to, or -1.

    The table H of pasts and futures, and for each token x the table H_x of pasts, x and futures, give in the span V of
    the leading `dimension` right singular vectors the operators T[x] = (HV)⁺ H_x V, with the law of futures ηVᵀ. The
    sequence is filtered with them, and predictions within a total variation of 0.06 are one group, the most frequent
    first. Groups of less than 1 % of the positions are left out.
    """
    size = int(tokens.max()) + 1
    length = window(size)
    words = _words(tokens, length, size)
    ends = len(words) - length - 1
    pasts, middle = words[:ends], tokens[length : length + ends]
    all_words = size**length
    table = _table(pasts, words[length : length + ends], all_words)
    right = np.linalg.svd(table / ends, full_matrices=False)[2][:dimension].T
    inverse = np.linalg.pinv(table @ right)
    shifted = words[length + 1 : length + 1 + ends]
    steps = [inverse @ _table(pasts[middle == x], shifted[middle == x], all_words) @ right for x in range(size)]
    start = table.sum(axis=0) / ends @ right
    final = inverse @ table.sum(axis=1)
    beliefs = _filter(tokens, np.stack(steps), start, final)
    return _group(beliefs, right)


def _filter(
    tokens: Int[np.ndarray, " position"],
    steps: Float[np.ndarray, "token state state"],
    start: Float[np.ndarray, " state"],
    final: Float[np.ndarray, " state"],
) -> Float[np.ndarray, "position state"]:
    """Predictions before every token, in segments side by side; NaN at their heads and after the last of them.

    A token that the estimate holds for impossible starts the prediction afresh.
    """
    count = len(tokens) // _SEGMENT
    segments = tokens[: count * _SEGMENT].reshape(count, _SEGMENT)
    found = np.full((count, _SEGMENT, len(start)), np.nan)
    belief = np.tile(start, (count, 1))
    for position in range(_SEGMENT):
        if position >= _FORGOTTEN:
            found[:, position] = belief
        belief = np.einsum("bs,bst->bt", belief, steps[segments[:, position]])
        norm = belief @ final
        belief = np.where((norm > 1e-3)[:, None], belief / np.maximum(norm, 1e-3)[:, None], start)
    rest = np.full((len(tokens) - count * _SEGMENT, len(start)), np.nan)
    return np.concatenate([found.reshape(-1, len(start)), rest])


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


def _words(tokens: np.ndarray, length: int, size: int) -> Int[np.ndarray, " start"]:
    """Number of the word that starts at each position."""
    stop = len(tokens) - length + 1
    return sum((tokens[i : stop + i] * size ** (length - 1 - i) for i in range(length)), np.zeros(stop, np.int64))


def _table(rows: np.ndarray, columns: np.ndarray, size: int) -> Int[np.ndarray, "past future"]:
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
