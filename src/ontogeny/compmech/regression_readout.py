"""The affine map from activations to beliefs, and back."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_NEVER_READ = 1e-5  # of singular values: that of the sum of a belief, which is always 1, is rounding


class Readout(NamedTuple):
    """belief = activations · coefficients + intercept.

    Attributes:
        coefficients: (column, state).
        intercept: (state,).
    """

    coefficients: Float[np.ndarray, "column state"]
    intercept: Float[np.ndarray, " state"]

    def __call__(self, activations: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row state"]:
        """Beliefs read from activations; they sum to 1 like those of the fit, and may leave the simplex."""
        return activations @ self.coefficients + self.intercept

    @property
    def directions(self) -> Float[np.ndarray, "state column"]:
        """The pseudo-inverse of the coefficients, from changes of belief to the smallest changes of activations.

        Activations moved by `change @ directions` are read as a belief moved by `change` (state,), whose entries sum
        to 0. Steering along the kernel of the emission matrix parts belief from next-token law
        (arXiv 2609.17376).

        When not to trust it: what is read weakly needs a large move, which can lead away from all activations that
        occur: compare its length with their spread. That a direction can be read does not mean that it is used; the
        output after the move says whether it is.
        """
        return np.linalg.pinv(self.coefficients, rcond=_NEVER_READ)
