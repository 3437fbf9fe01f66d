"""What each mechanism of a planted language says of the next token, position by position.

Dimensions in annotations: one row a sequence; tokens are words, then opening, then closing brackets.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Law = Float[Tensor, "sequence vocabulary"]


@dataclass(frozen=True)
class Rules:
    """What is planted, as numbers of tokens.

    Attributes:
        phrases: order n -> rules of n tokens, of which the last is said after the others.
        skips: (source, destination, output): output is said after destination if source stands before it.
        opening, closing: the brackets, by kind.
    """

    phrases: dict[int, tuple[tuple[int, ...], ...]]
    skips: tuple[tuple[int, int, int], ...]
    opening: tuple[int, ...]
    closing: tuple[int, ...]


class Reader:
    """The state of sequences that are read token by token: all that a law depends on."""

    def __init__(self, rules: Rules, base: Float[Tensor, " vocabulary"], span: int, max_depth: int, count: int) -> None:
        self._base, self._span, self._kinds = base, span, len(rules.opening)
        phrases = [torch.tensor(each) for _, each in sorted(rules.phrases.items()) if each]
        self._phrases = [(table[:, :-1], table[:, -1]) for table in phrases]  # a longer one takes a shorter one's place
        self._skips = torch.tensor(rules.skips).T if rules.skips else None
        self._words, self._max_depth = rules.opening[0] if rules.opening else len(base), max_depth
        self._rows = torch.arange(count)
        self._none = torch.zeros(count, len(base), dtype=base.dtype)
        self._seen = torch.empty(count, 0, dtype=torch.int64)
        self._depth = torch.zeros(count, dtype=torch.int64)
        self._stack = torch.zeros(count, max_depth + 1, dtype=torch.int64)  # kinds that are open, outermost first

    def push(self, tokens: Int[Tensor, " sequence"]) -> None:
        """The next token of every sequence."""
        self._seen = torch.cat([self._seen, tokens[:, None]], dim=1)
        closing = self._words + self._kinds
        opens = (tokens >= self._words) & (tokens < closing) & (self._depth < self._max_depth)
        closes = (tokens >= closing) & (self._depth > 0)
        rows = self._rows[opens]
        self._stack[rows, self._depth[rows]] = tokens[rows] - self._words
        self._depth += opens.long() - closes.long()

    def laws(self) -> dict[str, Law]:
        """Mechanism -> its law of the next token; a row of zeros where it has nothing to say."""
        return {
            "base": self._base.expand(len(self._rows), -1),
            "phrase": self._phrase(),
            "skip": self._skip(),
            "induction": self._induction(),
            "open": self._open(),
            "close": self._close(),
        }

    def _phrase(self) -> Law:
        """The end of the longest phrase whose other tokens are the last ones."""
        law = self._none
        for others, ends in self._phrases:
            if self._seen.shape[1] >= others.shape[1]:
                matches = (self._seen[:, None, -others.shape[1] :] == others).all(-1)
                law = torch.where(matches.any(1, keepdim=True), self._alike(matches, ends), law)
        return law

    def _skip(self) -> Law:
        """The outputs, all alike, of skips whose destination is the last token and whose source is in the span."""
        if self._skips is None or self._seen.shape[1] < 2:
            return self._none
        source, destination, output = self._skips
        before = self._seen[:, -1 - self._span : -1]
        matches = (self._seen[:, -1:] == destination) & (before[:, :, None] == source).any(1)
        return self._alike(matches, output)

    def _induction(self) -> Law:
        """The words that followed the last token earlier, by how often they did."""
        if self._seen.shape[1] < 2:
            return self._none
        followers = self._seen[:, 1:]
        matches = (self._seen[:, :-1] == self._seen[:, -1:]) & (followers < self._words)
        law = self._none.scatter_add(1, followers, matches.to(self._none))
        return law / law.sum(1, keepdim=True).clamp(min=1)

    def _open(self) -> Law:
        """A bracket of any kind, where another fits."""
        law = self._none.clone()
        law[:, self._words : self._words + self._kinds] = (self._depth < self._max_depth).to(law)[:, None]
        return law / max(1, self._kinds)

    def _close(self) -> Law:
        """The bracket that closes the innermost open one."""
        law = self._none.clone()
        rows = self._rows[self._depth > 0]
        kinds = self._stack[rows, self._depth[rows] - 1]
        law[rows, self._words + self._kinds + kinds] = 1
        return law

    def _alike(self, matches: Bool[Tensor, "sequence rule"], output: Int[Tensor, " rule"]) -> Law:
        """All outputs of the rules that match, alike; an output of several rules once for each."""
        law = self._none.scatter_add(1, output.expand(len(matches), -1), matches.to(self._none))
        return law / law.sum(1, keepdim=True).clamp(min=1)
