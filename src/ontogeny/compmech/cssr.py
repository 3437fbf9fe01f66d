"""Causal-state splitting reconstruction: histories with the same next-token law, and the same after every token."""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import chi2

from ontogeny.compmech import symbols
from ontogeny.compmech.symbols import Sequences, Symbols

_PER_HISTORY = 1000  # tokens that a history of the greatest length has on average
_MIN_COUNT = 50  # a history seen less often stays with its shorter suffix: the test would not tell
_MAX_LENGTH = 8

History = tuple[int, ...]


def causal_states(sequence: Sequences | Symbols, level: float) -> tuple[Int[np.ndarray, " position"], bool]:
    """State before every token (-1 where none is known), and whether longer histories still give more states.

    Histories of at most L tokens, the greatest length that gives each a thousand occurrences, 8 at most. A history
    one token longer stays in the state of its suffix if a G-test does not tell their next tokens apart, joins the
    state that fits best, or starts a new one. Each test is made at `level` divided by the number of histories. States
    are then split until state and token determine the next state. Several sequences are followed one after the other,
    positions counted on.
    """
    data = symbols.read(sequence)
    found = [_recurrent_states(data, length, level) for length in (longest(data) - 1, longest(data))]
    counts = [len(np.unique(states[states >= 0])) for states in found]
    return found[-1], counts[1] > counts[0]


def longest(data: Symbols) -> int:
    """L, the greatest length of a history: at most 8 tokens and half of a typical sequence, at least 2."""
    affordable = int(np.log(len(data.tokens) / _PER_HISTORY) / np.log(max(data.size, 2)))
    return max(2, min(_MAX_LENGTH, affordable, data.typical_length // 2))


def _recurrent_states(data: Symbols, length: int, level: float) -> Int[np.ndarray, " position"]:
    counts = _history_counts(data, length)
    state_of = _split_by_next_token(counts, level / len(counts))
    state_of = _split_by_successor(counts, state_of, length)
    return _follow(data, state_of, counts, length)


def _history_counts(data: Symbols, length: int) -> dict[History, np.ndarray]:
    """Next-token counts after every history of at most `length` tokens that occurs often enough."""
    found: dict[History, np.ndarray] = {(): np.bincount(data.tokens, minlength=data.size).astype(float)}
    for order, (starts, numbers) in enumerate(data.words_by_length(length + 1)):
        if order == 0:
            continue
        _, first, times = np.unique(numbers, return_index=True, return_counts=True)
        words = data.tokens[starts[first][:, None] + np.arange(order + 1)]
        for word, number in zip(words, times, strict=True):
            history = tuple(int(token) for token in word[:-1])
            if history[1:] in found:
                found.setdefault(history, np.zeros(data.size))[word[-1]] += number
        for history in [h for h in found if len(h) == order and found[h].sum() < _MIN_COUNT]:
            del found[history]
    return found


def _split_by_next_token(counts: dict[History, np.ndarray], level: float) -> dict[History, int]:
    """Homogeneous groups of histories, grown from the short to the long."""
    state_of: dict[History, int] = {(): 0}
    pooled = [counts[()].copy()]
    for history in sorted(counts, key=len)[1:]:
        own, parent = counts[history], state_of[history[1:]]
        # The parent's counts hold the child's: what is compared with the child is the rest.
        rest = counts[history[1:]] - own
        if _g_test(own, rest) > level and _g_test(own, pooled[parent]) > level:
            state_of[history] = parent
            continue
        fits = [_g_test(own, other) for other in pooled]
        best = int(np.argmax(fits))
        if fits[best] <= level:
            best = len(pooled)
            pooled.append(np.zeros_like(own))
        state_of[history] = best
        pooled[best] += own
    return state_of


def _g_test(first: Float[np.ndarray, " token"], second: Float[np.ndarray, " token"]) -> float:
    """p-value of "both have one law": G = 2 Σ O ln(O/E), with as many degrees of freedom as tokens occur, less 1."""
    table = np.stack([first, second])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    terms = table * np.log(np.where(table > 0, table, 1) / expected)
    return float(chi2.sf(2 * terms.sum(), table.shape[1] - 1))


def _split_by_successor(
    counts: dict[History, np.ndarray], state_of: dict[History, int], length: int
) -> dict[History, int]:
    """Split states until histories of a state (those one shorter than the longest) agree on where each token leads."""
    shorter = [history for history in counts if len(history) == length - 1]
    while True:
        signatures: dict[tuple[int, ...], int] = {}
        new: dict[History, int] = {}
        for history in shorter:
            ahead = tuple(
                state_of.get((*history, token), -1) if counts[history][token] else -1
                for token in range(len(counts[history]))
            )
            new[history] = signatures.setdefault((state_of[history], *ahead), len(signatures))
        refined = _carry_to_longest(counts, state_of, new, length)
        if len(set(refined.values())) == len({state_of[h] for h in refined}):
            return refined
        state_of = {**state_of, **refined}


def _carry_to_longest(
    counts: dict[History, np.ndarray], state_of: dict[History, int], new: dict[History, int], length: int
) -> dict[History, int]:
    """The refined states of the longest histories: that of the suffix, or the most frequent part of their own state."""
    mass: dict[int, dict[int, float]] = {}
    for history, state in new.items():
        part = mass.setdefault(state_of[history], {})
        part[state] = part.get(state, 0.0) + counts[history].sum()
    spare = max(new.values(), default=0) + 1
    refined = dict(new)
    for history in counts:
        if len(history) == length:
            own, suffix = state_of[history], history[1:]
            if state_of.get(suffix) == own and suffix in new:
                refined[history] = new[suffix]
            elif own in mass:
                refined[history] = max(mass[own], key=mass[own].__getitem__)
            else:
                refined[history] = spare + own
    return refined


def _follow(
    data: Symbols, state_of: dict[History, int], counts: dict[History, np.ndarray], length: int
) -> Int[np.ndarray, " position"]:
    """Walk the states along each sequence: by their transitions, and afresh from the last tokens where these end."""
    votes: dict[tuple[int, int], dict[int, float]] = {}
    for history in (h for h in counts if len(h) == length - 1):
        for token, number in enumerate(counts[history]):
            after = state_of.get((*history, token))
            if number and after is not None:
                part = votes.setdefault((state_of[history], token), {})
                part[after] = part.get(after, 0.0) + number
    leads = {key: max(part, key=part.__getitem__) for key, part in votes.items()}
    while dead_ends := set(leads.values()) - {state for state, _ in leads}:  # states of a longest history alone
        leads = {key: state for key, state in leads.items() if state not in dead_ends}
    recurrent = _kept(leads)
    found = np.full(len(data.tokens), -1)
    state = -1
    sequence = data.tokens.tolist()
    for position, (token, age) in enumerate(zip(sequence, data.ages.tolist(), strict=True)):
        if age == 0:
            state = -1
        if state < 0 and age >= length:
            start = state_of.get(tuple(sequence[position - length : position]), -1)
            state = start if start in recurrent else -1
        found[position] = state
        state = leads.get((state, token), -1)
    return found


def _kept(leads: dict[tuple[int, int], int]) -> set[int]:
    """States that can be come back to from wherever they lead: the recurrent ones."""
    after: dict[int, set[int]] = {}
    for (state, _), target in leads.items():
        after.setdefault(state, set()).add(target)
    reach: dict[int, set[int]] = {}
    for state in after:
        seen, waiting = set(), [state]
        while waiting:
            for target in after.get(waiting.pop(), set()) - seen:
                seen.add(target)
                waiting.append(target)
        reach[state] = seen
    return {state for state, seen in reach.items() if all(state in reach.get(target, set()) for target in seen)}
