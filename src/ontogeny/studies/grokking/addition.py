"""Modular addition: the table of pairs, and the network that learns it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.core.losses import cross_entropy
from ontogeny.core.seeds import generator
from ontogeny.studies.grokking.config import Shape

Rows = tuple[Tensor, Tensor]
loss = cross_entropy


@dataclass(frozen=True)
class Table:
    """A part of the table of (a + b) mod p, or of labels drawn at random, as a task whose every sample is all of it.

    Attributes:
        modulus: p.
        items: number of pairs that are trained on; the others are `rest`.
        random: whether labels are drawn uniformly, once, in place of the sums.
        repeats: how often a batch holds each item, so that tables of several sizes have batches of one size.
        seed: of the choice of pairs and of the labels.
    """

    modulus: int
    items: int
    random: bool = False
    repeats: int = 1
    seed: int = 0

    def sample(self, num_samples: int, seed: int) -> Rows:
        """All items, `repeats` times, whatever the seed: `num_samples` must be their number."""
        pairs, labels = self.rows
        return pairs.repeat(self.repeats, 1)[:num_samples], labels.repeat(self.repeats)[:num_samples]

    @property
    def rows(self) -> Rows:
        """Pairs (item, 2) and labels (item) that are trained on."""
        pairs, labels = self._all()
        return pairs[: self.items], labels[: self.items]

    @property
    def rest(self) -> Rows:
        """Those that are not."""
        pairs, labels = self._all()
        return pairs[self.items :], labels[self.items :]

    def _all(self) -> Rows:
        p, order = self.modulus, torch.randperm(self.modulus**2, generator=generator(self.seed, "pairs"))
        pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))[order]
        if self.random:
            return pairs, torch.randint(p, (p * p,), generator=generator(self.seed, "labels"))
        return pairs, pairs.sum(1) % p


class AdditionMLP(nn.Module):
    """Logits U gelu(A e_a + B e_b + c) over the p sums, with one embedding e for both summands.

    Args:
        modulus: p.
        shape: widths of the embedding and of the hidden layer.
    """

    def __init__(self, modulus: int, shape: Shape) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(modulus, shape.embedding) * shape.embedding**-0.5)
        self.left = nn.Linear(shape.embedding, shape.hidden, bias=False)
        self.right = nn.Linear(shape.embedding, shape.hidden)
        self.unembed = nn.Linear(shape.hidden, modulus, bias=False)
        for layer in (self.left, self.right, self.unembed):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(self.right.bias)

    def forward(self, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair sum"]:
        a, b = self.embed[pairs[:, 0]], self.embed[pairs[:, 1]]
        return self.unembed(F.gelu(self.left(a) + self.right(b)))


def maker(modulus: int, shape: Shape) -> Callable[[], AdditionMLP]:
    """Makes networks with initial weights from torch's global random numbers."""
    return partial(AdditionMLP, modulus, shape)


def all_pairs(modulus: int) -> Rows:
    """The whole table of sums in order, (a, b) at row a p + b."""
    pairs = torch.cartesian_prod(torch.arange(modulus), torch.arange(modulus))
    return pairs, pairs.sum(1) % modulus
