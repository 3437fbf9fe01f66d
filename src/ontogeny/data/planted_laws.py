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
        self._rules, self._base, self._span = rules, base, span
        self._words, self._max_depth = rules.opening[0] if rules.opening else len(base), max_depth
        self._rows = torch.arange(count)
        self._seen = torch.empty(count, 0, dtype=torch.int64)
        self._depth = torch.zeros(count, dtype=torch.int64)
        self._stack = torch.zeros(count, max_depth + 1, dtype=torch.int64)  # kinds that are open, outermost first

    def push(self, tokens: Int[Tensor, " sequence"]) -> None:
        """The next token of every sequence."""
        self._seen = torch.cat([self._seen, tokens[:, None]], dim=1)
        kinds = len(self._rules.opening)
        opens = (tokens >= self._words) & (tokens < self._words + kinds) & (self._depth < self._max_depth)
        closes = (tokens >= self._words + kinds) & (self._depth > 0)
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
        law = self._nothing()
        for order, phrases in sorted(self._rules.phrases.items()):  # a longer one takes the place of a shorter
            if not phrases or self._seen.shape[1] < order - 1:
                continue
            table = torch.tensor(phrases)
            matches = (self._seen[:, None, 1 - order :] == table[None, :, :-1]).all(-1)
            law = torch.where(matches.any(1, keepdim=True), _alike(matches, table[:, -1], law), law)
        return law

    def _skip(self) -> Law:
        """The outputs, all alike, of skips whose destination is the last token and whose source is in the span."""
        if not self._rules.skips or self._seen.shape[1] < 2:
            return self._nothing()
        source, destination, output = torch.tensor(self._rules.skips).T
        before = self._seen[:, -1 - self._span : -1]
        matches = (self._seen[:, -1:] == destination) & (before[:, :, None] == source).any(1)
        return _alike(matches, output, self._nothing())

    def _induction(self) -> Law:
        """The words that followed the last token earlier, by how often they did."""
        law = self._nothing()
        if self._seen.shape[1] < 2:
            return law
        followers = self._seen[:, 1:]
        matches = (self._seen[:, :-1] == self._seen[:, -1:]) & (followers < self._words)
        law.scatter_add_(1, followers, matches.to(law))
        return law / law.sum(1, keepdim=True).clamp(min=1)

    def _open(self) -> Law:
        """A bracket of any kind, where another fits."""
        law = self._nothing()
        if self._rules.opening:
            law[:, list(self._rules.opening)] = (self._depth < self._max_depth).to(law)[:, None] / len(
                self._rules.opening
            )
        return law

    def _close(self) -> Law:
        """The bracket that closes the innermost open one."""
        law = self._nothing()
        rows = self._rows[self._depth > 0]
        kinds = self._stack[rows, self._depth[rows] - 1]
        law[rows, self._words + len(self._rules.opening) + kinds] = 1
        return law

    def _nothing(self) -> Law:
        return torch.zeros(len(self._rows), len(self._base), dtype=self._base.dtype)


def _alike(matches: Bool[Tensor, "sequence rule"], output: Int[Tensor, " rule"], like: Law) -> Law:
    """All outputs of the rules that match, alike; an output of several rules once for each."""
    law = torch.zeros_like(like).scatter_add_(1, output.expand(len(matches), -1), matches.to(like))
    return law / law.sum(1, keepdim=True).clamp(min=1)
