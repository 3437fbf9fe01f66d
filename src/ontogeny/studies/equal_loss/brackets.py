"""Sequences of brackets on which counting and nested matching agree, and those on which they do not."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.core.seeds import generator

Rows = tuple[Tensor, Tensor]
Rule = Literal["counting", "nesting"]


@dataclass(frozen=True)
class Brackets:
    """Whether a sequence of brackets is balanced, by one of two rules, as a task whose every sample is all of it.

    Counting calls a sequence balanced if it has as many closing as opening brackets. Nesting also asks that none closes
    before it opens. Both agree on the `rows`: nested sequences, and sequences of unequal counts. A network learns from
    these and from half of the sequences on which both differ, labelled by the rule. The other half is the `rest`.

    Attributes:
        length: brackets in a sequence, even.
        unequal: sequences of unequal counts among the rows.
        rule: that labels sequences on which both differ.
        seed: of the choice of sequences.
    """

    length: int
    unequal: int
    rule: Rule = "counting"
    seed: int = 0

    def sample(self, num_samples: int, seed: int) -> Rows:
        """All sequences that a network learns from, whatever the seed: `num_samples` must be their number."""
        parts = [self.rows, self._telling[0]]
        x, y = (torch.cat(each) for each in zip(*parts, strict=True))
        return x[:num_samples], y[:num_samples]

    @property
    def size(self) -> int:
        """Sequences that a network learns from."""
        return len(self.rows[1]) + len(self._telling[0][1])

    @cached_property
    def rows(self) -> Rows:
        """Sequences (sample, length) of ±1, on which both rules agree, and their labels."""
        every, nested, equal = self._all
        source = generator(self.seed, "unequal")
        others = (~equal).nonzero()[:, 0]
        chosen = others[torch.randperm(len(others), generator=source)[: self.unequal]]
        x = torch.cat([every[nested], every[chosen]])
        return x, torch.cat([torch.ones(int(nested.sum())), torch.zeros(len(chosen))]).long()

    @property
    def rest(self) -> Rows:
        """Sequences on which the rules differ that a network does not see, labelled by the rule."""
        return self._telling[1]

    @cached_property
    def _telling(self) -> tuple[Rows, Rows]:
        every, nested, equal = self._all
        x = every[equal & ~nested]
        x = x[torch.randperm(len(x), generator=generator(self.seed, "telling"))]
        y = torch.full((len(x),), int(self.rule == "counting"))
        half = len(x) // 2
        return (x[:half], y[:half]), (x[half:], y[half:])

    @cached_property
    def _all(self) -> tuple[Tensor, Tensor, Tensor]:
        every = torch.cartesian_prod(*[torch.tensor([1.0, -1.0])] * self.length)
        depth = every.cumsum(1)
        equal = depth[:, -1] == 0
        return every, equal & (depth.min(1).values >= 0), equal


def lowest_depth(x: Float[Tensor, "sample length"]) -> Float[Tensor, "sample 1"]:
    """The state that nesting needs and counting does not: the lowest depth that a sequence reaches."""
    return x.cumsum(1).min(1, keepdim=True).values


class BracketMLP(nn.Module):
    """Two logits from two hidden layers of rectified units."""

    def __init__(self, length: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(length, hidden), nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, 2)

    def hidden(self, x: Float[Tensor, "sample length"]) -> Float[Tensor, "sample hidden"]:
        """What the output layer reads."""
        return F.relu(self.second(F.relu(self.first(x))))

    def forward(self, x: Float[Tensor, "sample length"]) -> Float[Tensor, "sample 2"]:
        return self.output(self.hidden(x))


def maker(length: int, hidden: int) -> Callable[[], BracketMLP]:
    """Makes networks with initial weights from torch's global random numbers."""
    return partial(BracketMLP, length, hidden)


def waves(sums: Int[Tensor, " sample"], modulus: int) -> Float[Tensor, "sample wave"]:
    """Cos and sin of 2πks/p at every frequency k, which a network that adds by Fourier components holds."""
    angles = 2 * torch.pi / modulus * sums[:, None] * torch.arange(1, modulus // 2 + 1)
    return torch.cat([angles.cos(), angles.sin()], 1)
