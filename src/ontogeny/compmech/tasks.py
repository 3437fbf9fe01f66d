"""A process as a task, from which training draws fresh sequences."""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from ontogeny.compmech.matrices import Labelled, require_process
from ontogeny.compmech.sampling import sample
from ontogeny.core import arguments


@dataclass(frozen=True)
class ProcessTask:
    """Token sequences of a hidden Markov process, as an `ontogeny.Task`.

    >>> task = ProcessTask(process("mess3"), 10)
    >>> tokens = task.sample(1000, seed=1)

    Args:
        process: HMM or GHMM; every sequence starts in its initial state.
        length: tokens of a sequence.

    Raises:
        InvalidArgument: for anything that is no process, or a length below 1.
    """

    process: Labelled
    length: int

    def __post_init__(self) -> None:
        require_process(self.process)
        arguments.whole_number("length", self.length, least=1)

    def sample(self, num_samples: int, seed: int) -> Int[Tensor, "sequence position"]:
        """Independent sequences, int64 tokens (num_samples, length); `ontogeny.compmech.sampling.sample`."""
        return sample(self.process, num_samples, self.length, seed=seed)
