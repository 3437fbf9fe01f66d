"""Where a curve along the context changes: the split into two levels, and where log-odds cross zero."""

import numpy as np
from jaxtyping import Float

Curve = Float[np.ndarray, " length"]
_LAST = 2  # places at the end that a level must have


def change_point(lengths: Curve, curve: Curve) -> float:
    """The place between two levels: the split of least squared deviation from the means before and after it.

    Args:
        lengths: increasing; the split lies midway between two of them.
        curve: a value at each.

    When not to trust it: a curve without two levels has a split too, as a slope does in its middle.
    """
    splits = np.arange(1, len(curve) - _LAST + 1)
    left = [
        ((curve[:at] - curve[:at].mean()) ** 2).sum() + ((curve[at:] - curve[at:].mean()) ** 2).sum() for at in splits
    ]
    at = int(splits[np.argmin(left)])
    return float((lengths[at - 1] + lengths[at]) / 2)


def crossing(lengths: Curve, odds: Curve) -> float:
    """The length at which log-odds first become positive for good, interpolated; infinite if they do not."""
    below = np.flatnonzero(odds <= 0)
    if not len(below):
        return float(lengths[0])
    if below[-1] == len(odds) - 1:
        return float("inf")
    at = below[-1]
    share = -odds[at] / (odds[at + 1] - odds[at])
    return float(lengths[at] + share * (lengths[at + 1] - lengths[at]))
