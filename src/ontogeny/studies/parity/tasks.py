"""Sparse parities: several tasks, told apart by control bits, of frequencies that follow Zipf's law."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import cross_entropy
from ontogeny.core.seeds import generator

Rows = tuple[Tensor, Tensor]
loss = cross_entropy


@dataclass(frozen=True)
class Parities:
    """Tasks t = 0, 1, …, each the parity of a set of bits of its own, drawn with p(t) ∝ (t + 1)^-exponent.

    Attributes:
        count: T, the number of tasks.
        bits: of an input besides the T control bits, of which the task's own is 1.
        subset: bits whose parity is the label.
        exponent: of Zipf's law; 0 makes all tasks as frequent.
        seed: of the choice of sets, which are all different.

    Raises:
        InvalidArgument: for more tasks than there are sets of so many bits.

    References:
        Michaud et al., "The Quantization Model of Neural Scaling", 2303.13506.
    """

    count: int
    bits: int
    subset: int
    exponent: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        every = len(list(combinations(range(self.bits), self.subset)))
        if self.count > every:
            raise InvalidArgument(
                "count",
                expected=f"at most {every} tasks, the sets of {self.subset} of {self.bits} bits",
                found=str(self.count),
                instead=f"count={every}",
            )

    @cached_property
    def sets(self) -> Int[Tensor, "task subset"]:
        """The bits of each task."""
        every = torch.tensor(list(combinations(range(self.bits), self.subset)))
        return every[torch.randperm(len(every), generator=generator(self.seed, "sets"))[: self.count]]

    @property
    def frequencies(self) -> Float[Tensor, " task"]:
        """p(t)."""
        weights = torch.arange(1.0, self.count + 1) ** -self.exponent
        return weights / weights.sum()

    def sample(self, num_samples: int, seed: int) -> Rows:
        """Inputs (sample, T + bits) of zeros and ones, and labels."""
        source = generator(seed, "parities")
        tasks = torch.multinomial(self.frequencies, num_samples, replacement=True, generator=source)
        return self._rows(tasks, torch.randint(2, (num_samples, self.bits), generator=source))

    def of_task(self, task: int) -> Rows:
        """Every input of one task, and its label."""
        every = torch.cartesian_prod(*[torch.arange(2)] * self.bits)
        return self._rows(torch.full((len(every),), task), every)

    def some_of_task(self, task: int, num_samples: int, seed: int) -> Rows:
        """Inputs of one task drawn at random, and their labels."""
        drawn = torch.randint(2, (num_samples, self.bits), generator=generator(seed, "task", task))
        return self._rows(torch.full((num_samples,), task), drawn)

    def _rows(self, tasks: Int[Tensor, " sample"], bits: Int[Tensor, "sample bits"]) -> Rows:
        labels = bits.gather(1, self.sets[tasks]).sum(1) % 2
        return torch.cat([F.one_hot(tasks, self.count), bits], 1).float(), labels


class ParityMLP(nn.Module):
    """Two logits from one hidden layer of rectified units.

    Args:
        inputs: T + bits.
        hidden: units.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(inputs, hidden), nn.Linear(hidden, 2)

    def forward(self, x: Float[Tensor, "sample input"]) -> Float[Tensor, "sample 2"]:
        return self.output(F.relu(self.hidden(x)))


def maker(inputs: int, hidden: int) -> Callable[[], ParityMLP]:
    """Makes networks with initial weights from torch's global random numbers."""
    return partial(ParityMLP, inputs, hidden)
