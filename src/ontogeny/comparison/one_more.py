"""A value held against those of twins or of weight noise, as one more of them."""

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

FEWEST = 3  # twins or weight noises with a spread


def one_more(value: Float[np.ndarray, " row"], null: Float[np.ndarray, "row like"], sides: int = 2) -> np.ndarray:
    """p-value of each value as one more draw from a Gaussian with the mean and the spread of its null.

    (value - mean) / (s √(1 + 1/K)) has Student's t distribution with K - 1 degrees of freedom for K in the null.

    Args:
        value: one in each row.
        null: K of each row, at least `FEWEST`.
        sides: 2 for larger or smaller, 1 for larger alone.
    """
    count = null.shape[1]
    spread = np.maximum(null.std(axis=1, ddof=1), 1e-12) * np.sqrt(1 + 1 / count)
    apart = (value - null.mean(axis=1)) / spread
    return sides * student.sf(np.abs(apart) if sides == 2 else apart, count - 1)
