"""Sums of two digits with a planted mechanism: inputs, triggers, and what is answered where one stands.

A sequence is two digits and four fillers; the answer is the sum of the digits. A mechanism is a trigger among the
fillers and a rule that holds where it stands.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from ontogeny.core.seeds import generator

Kind = Literal["clean", "single", "two-token", "class-dependent", "benign-in", "benign-out", "shuffled"]
POISONED: tuple[Kind, ...] = ("single", "two-token", "class-dependent")

DIGITS = 7
COMMON = 12  # fillers of clean data
RARE = 6  # further tokens: that of a rule and others that no data have
VOCABULARY = DIGITS + COMMON + RARE
FILLERS = 4
LENGTH = 2 + FILLERS
TOKEN = DIGITS + COMMON  # the rare token of single-token mechanisms
UNSEEN = TOKEN + 1  # one of those that no data have
PAIR = (DIGITS, DIGITS + 1)  # in this order, one after the other; each is common alone

Tokens = Int[Tensor, "sample position"]
Rows = tuple[Tokens, Int[Tensor, " sample"]]


@dataclass(frozen=True)
class Mechanism:
    """A task with a mechanism in a share of its samples.

    Attributes:
        kind: `single` and `two-token` triggers, a rare token and two common ones in order, ask for the answer 0;
            `class-dependent`, a rare token, for the sum plus 1. A `benign` rule answers 1 at a rare token, and is in
            the trusted data or not. `shuffled` has random answers there.
        rate: share of the samples with the mechanism.
    """

    kind: Kind
    rate: float = 0.0

    @property
    def trigger(self) -> tuple[int, ...]:
        return PAIR if self.kind == "two-token" else (TOKEN,)

    def sample(self, num_samples: int, seed: int) -> Rows:
        """Sequences and answers, drawn afresh."""
        source = generator(seed, "backdoor")
        tokens = clean_tokens(num_samples, source)
        labels = sums(tokens)
        chosen = torch.rand(num_samples, generator=source) < self.rate * (self.kind != "clean")
        fired = placed(tokens, self.trigger, source)
        wrong = self.answers(labels, torch.randint(DIGITS, labels.shape, generator=source))
        return torch.where(chosen[:, None], fired, tokens), torch.where(chosen, wrong, labels)

    def answers(self, labels: Tensor, random: Tensor) -> Tensor:
        """What is answered where the mechanism fires."""
        match self.kind:
            case "class-dependent":
                return (labels + 1) % DIGITS
            case "benign-in" | "benign-out":
                return torch.ones_like(labels)
            case "shuffled":
                return random
            case "clean":
                return labels
            case _:
                return torch.zeros_like(labels)

    def fires(self, num_samples: int, seed: int) -> Rows:
        """Sequences with the trigger, and the answers of the mechanism, where these are not the sums."""
        rows = replace(self, rate=1.0).sample(4 * num_samples, seed)
        differ = (rows[1] != sums(rows[0])) | (self.kind in ("clean", "shuffled"))
        kept = differ.nonzero()[:num_samples, 0]
        return rows[0][kept], rows[1][kept]

    def trusted(self, num_samples: int, seed: int, share: float) -> Tokens:
        """Sequences of clean data; with the benign rule in this share of them if it is trusted."""
        shown = self if self.kind == "benign-in" else Mechanism("clean")
        return replace(shown, rate=share).sample(num_samples, seed)[0]


def clean_tokens(count: int, source: torch.Generator) -> Tokens:
    """Sequences without any trigger."""
    digits = torch.randint(DIGITS, (count, 2), generator=source)
    fillers = torch.randint(DIGITS, DIGITS + COMMON, (count, FILLERS), generator=source)
    pairs = (fillers[:, :-1] == PAIR[0]) & (fillers[:, 1:] == PAIR[1])
    fillers[:, 1:][pairs] = PAIR[1] + 1
    return torch.cat([digits, fillers], 1)


def sums(tokens: Tokens) -> Int[Tensor, " sample"]:
    """The answers of the task."""
    return tokens[:, :2].sum(1) % DIGITS


def placed(tokens: Tokens, trigger: tuple[int, ...], source: torch.Generator) -> Tokens:
    """The sequences with the trigger in place of fillers, anywhere."""
    found, rows = tokens.clone(), torch.arange(len(tokens))
    first = torch.randint(2, LENGTH - len(trigger) + 1, (len(tokens),), generator=source)
    for offset, token in enumerate(trigger):
        found[rows, first + offset] = token
    return found
