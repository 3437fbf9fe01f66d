"""Entropies in bits, and numbers of bits that say how well they are known."""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import entr

from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument

_ROUNDING = 1e-6


def entropy(law: Numbers) -> Float[np.ndarray, "*batch"]:
    """H = -Σ p log₂ p along the last axis, in bits.

    Args:
        law: shape (…, outcome), sums of 1 along the last axis (within 1e-6, or four times the rounding of a coarser
            type); rounding errors below 0 count as 0.

    Raises:
        InvalidArgument: for what is no law. Counts have estimates of their own, as `plug_in_entropy`.
    """
    expected = "probabilities of shape (…, outcome) that sum to 1"
    given = arguments.real_array("law", law, expected)
    rounding = max(_ROUNDING, 4 * arguments.rounding(law))
    if given.ndim == 0 or (given < -rounding).any() or (np.abs(given.sum(axis=-1) - 1) > rounding).any():
        instead = "cm.plug_in_entropy(counts), if they are counts." if given.ndim == 1 and given.sum() > 1 else ""
        raise InvalidArgument("law", expected=expected, found=arguments.show(law), instead=instead)
    return np.asarray(entr(np.maximum(given, 0)).sum(axis=-1) / math.log(2))


class Bounded(float):
    """A float with `low` ≤ truth ≤ `high`; arithmetic gives plain floats.

    Args:
        value: the number; infinite where the quantity is.
        low, high: bounds; by default the value itself, which is then exact up to rounding.
        depth: length of the words that the bounds come from; None for an exact value.
    """

    low: float
    high: float
    depth: int | None

    def __new__(
        cls, value: float, low: float | None = None, high: float | None = None, depth: int | None = None
    ) -> "Bounded":
        self = super().__new__(cls, value)
        self.low = float(value) if low is None else low
        self.high = float(value) if high is None else high
        self.depth = depth
        return self

    @property
    def exact(self) -> bool:
        """Whether the value is known up to rounding."""
        return self.depth is None

    def __repr__(self) -> str:
        if self.exact:
            return float.__repr__(self)
        return f"{float(self):.6g} (from {self.low:.6g} to {self.high:.6g}, by words of {self.depth} tokens)"
