"""The one frozen config of a probe: fix it before looking at the networks that are reported."""

from pydantic import Field

from ontogeny.core.settings import Settings


class ProbeConfig(Settings):
    """How a probe is held out and what it is held against.

    Attributes:
        num_folds: contexts are split at random into as many; the penalty is chosen on the others, again by folds.
        num_permutations: shuffles of the target; the least possible p-value is 1 / (num_permutations + 1).
        max_last_tokens: the longest ending that rivals may see, where contexts are known by their tokens.
        seed: of the folds, the shuffles and the random projection.
    """

    num_folds: int = Field(5, ge=3)
    num_permutations: int = Field(199, ge=19)
    max_last_tokens: int = Field(8, ge=1)
    seed: int = 0
