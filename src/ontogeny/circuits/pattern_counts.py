"""How much earlier tokens raise the probability of a token, counted in a reference text."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_ERRORS = 5.0
Tokens = Int[np.ndarray, "sequence position"]
Codes = Int[np.ndarray, "sequence later"]
Rates = Float[np.ndarray, "sequence later"]
RatesByDistance = Float[np.ndarray, "distance sequence later"]


@dataclass(frozen=True)
class PatternCounts:
    """Rates at each token but the first of some sequences, from counts in a reference text.

    Attributes:
        text: the reference.
        size: numbers of tokens are below it.
        least: patterns that the reference has fewer times have the rate 0.
    """

    text: Tokens
    size: int
    least: int

    def pair_lift(self, tokens: Tokens) -> Rates:
        """P(token | token before) / P(token)."""
        return self._lift(_pairs(tokens, 1, self.size), _pairs(self.text, 1, self.size), 1, tokens)

    def phrase_lift(self, tokens: Tokens) -> Rates:
        """P(token | the two tokens before) / P(token)."""
        return self._lift(_triples(tokens, 2, self.size), _triples(self.text, 2, self.size), 2, tokens)

    def _lift(self, codes: Codes, known: Codes, length: int, tokens: Tokens) -> Rates:
        """Of the token after its last `length` ones: `codes` hold both, the token in the last place."""
        together = _Counted([known]).total(codes)
        context = _Counted([known // self.size]).total(codes // self.size)
        share = np.bincount(self.text[:, length:].ravel(), minlength=self.size) / known.size
        rate = _divided(together, context * share[codes % self.size], together >= self.least)
        return np.pad(rate, ((0, 0), (length - 1, 0)))

    def skip_lifts(self, tokens: Tokens, reach: int) -> RatesByDistance:
        """P(token | token d back) / P(token), d from 2 to `reach`.

        Pairs at all distances are counted together but for the one at which there are most of them: a skip n-gram has
        no fixed gap, and a phrase has.
        """
        distances = range(2, reach + 1)
        at = [_pairs(self.text, d, self.size) for d in distances]
        pairs, firsts = _Counted(at), _Counted([each // self.size for each in at])
        last = np.concatenate([each.ravel() % self.size for each in at])
        share = np.bincount(last, minlength=self.size) / len(last)
        found = np.zeros((len(distances), len(tokens), tokens.shape[1] - 1))
        for row, d in enumerate(distances):
            codes = _pairs(tokens, d, self.size)
            most, together = pairs.without_most(codes)
            context = firsts.without(codes // self.size, most)
            found[row, :, d - 1 :] = _divided(together, context * share[codes % self.size], together >= self.least)
        return found

    def skip_gains(self, tokens: Tokens, reach: int) -> RatesByDistance:
        """P(token | token d back, token before) / P(token | token before), d from 2 to `reach`.

        0 where the three were seen no more often than five standard errors above what the last two say. Distances are
        counted as for `skip_lifts`.
        """
        distances = range(2, reach + 1)
        at = [_triples(self.text, d, self.size) for d in distances]
        triples, contexts = _Counted(at), _Counted([each // self.size for each in at])
        ends = _Counted([_pairs(self.text, 1, self.size)])
        befores = np.bincount(self.text[:, :-1].ravel(), minlength=self.size)
        found = np.zeros((len(distances), len(tokens), tokens.shape[1] - 1))
        for row, d in enumerate(distances):
            codes = _triples(tokens, d, self.size)
            most, together = triples.without_most(codes)
            end = codes % self.size**2
            alone = ends.total(end) / np.maximum(befores[end // self.size], 1)
            expected = contexts.without(codes // self.size, most) * alone
            sure = together - expected >= _ERRORS * np.sqrt(expected)
            found[row, :, d - 1 :] = _divided(together, expected, sure & (together >= self.least))
        return found


class _Counted:
    """How often each code occurs at each distance."""

    def __init__(self, at: list[Codes]) -> None:
        self.known, place = np.unique(np.concatenate([each.ravel() for each in at]), return_inverse=True)
        distance = np.repeat(np.arange(len(at)), [each.size for each in at])
        counts = np.bincount(distance * len(self.known) + place, minlength=len(at) * len(self.known))
        self.counts = counts.reshape(len(at), len(self.known))
        self.totals, self.most = self.counts.sum(0), self.counts.argmax(0)

    def total(self, codes: Codes) -> Int[np.ndarray, "sequence later"]:
        """At all distances."""
        place, there = self._place(codes)
        return np.where(there, self.totals[place], 0)

    def without_most(self, codes: Codes) -> tuple[Codes, Codes]:
        """The distance at which each code is most frequent, and how often it occurs at the others."""
        place, _ = self._place(codes)
        most = self.most[place]
        return most, self.without(codes, most)

    def without(self, codes: Codes, distance: Codes) -> Codes:
        """How often each code occurs at other distances than one."""
        place, there = self._place(codes)
        return np.where(there, self.totals[place] - self.counts[distance, place], 0)

    def _place(self, codes: Codes) -> tuple[Codes, Codes]:
        place = np.searchsorted(self.known, codes).clip(max=len(self.known) - 1)
        return place, self.known[place] == codes


def _pairs(tokens: Tokens, distance: int, size: int) -> Codes:
    """One number for the token `distance` back and the token itself."""
    return tokens[:, :-distance].astype(np.int64) * size + tokens[:, distance:]


def _triples(tokens: Tokens, distance: int, size: int) -> Codes:
    """One number for the token `distance` back, the one before and the token itself."""
    return (tokens[:, :-distance].astype(np.int64) * size + tokens[:, distance - 1 : -1]) * size + tokens[:, distance:]


def _divided(above: np.ndarray, below: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(above.shape), where=where & (below > 0))
