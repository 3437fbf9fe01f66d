"""The affine map from activations to a target, and back."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_NEVER_READ = 1e-5  # of singular values: that of a constant, as the sum of probabilities is, is rounding


class Readout(NamedTuple):
    """target = activations · coefficients + intercept.

    Attributes:
        coefficients: (column, dimension).
        intercept: (dimension,).
    """

    coefficients: Float[np.ndarray, "column dimension"]
    intercept: Float[np.ndarray, " dimension"]

    def __call__(self, activations: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row dimension"]:
        """The target read from activations. Probabilities sum to 1 like those of the fit, and may be negative."""
        return activations @ self.coefficients + self.intercept

    @property
    def directions(self) -> Float[np.ndarray, "dimension column"]:
        """The pseudo-inverse of the coefficients, from changes of the target to the smallest changes of activations.

        Activations moved by `change @ directions` are read as a target moved by `change` (dimension,), as far as such
        changes occur: between probabilities, those whose entries sum to 0.

        When not to trust it: what is read weakly needs a large move, which can lead away from all activations that
        occur: compare its length with their spread. That a direction can be read does not mean that it is used; the
        output after the move says whether it is.
        """
        return np.linalg.pinv(self.coefficients, rcond=_NEVER_READ)
