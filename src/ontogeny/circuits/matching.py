"""Units or heads of one network paired with those of another, one to one, and what pairing yields by chance."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from ontogeny.circuits.similarity import Activations, checked
from ontogeny.core.errors import InvalidArgument


@dataclass(frozen=True)
class Matching:
    """The best pairing of two sets, one to one.

    Attributes:
        partner: of each of the first, the number of its partner; -1 for those left over where the second are fewer.
        value: similarity of each pair; NaN for those left over.
        mean: over the pairs.
        by_chance: the same mean for data in which nothing corresponds, one a draw; empty if none were drawn.
    """

    partner: np.ndarray
    value: np.ndarray
    mean: float
    by_chance: np.ndarray

    @property
    def p_value(self) -> float:
        """Share of the draws by chance with a mean at least as large, counting the observation; NaN without draws."""
        if not len(self.by_chance):
            return np.nan
        return float(((self.by_chance >= self.mean).sum() + 1) / (len(self.by_chance) + 1))


def best_matching(similarity: xr.DataArray | Float[np.ndarray, "first second"]) -> Matching:
    """The pairing with the largest sum of similarities (linear assignment).

    The best of many pairings is above zero whatever the similarities are: hold it against pairings of data in which
    nothing corresponds, such as `match_units` draws, or another network of the same kind.

    Raises:
        InvalidArgument: for anything but a matrix of finite numbers.
    """
    table = np.asarray(similarity, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise InvalidArgument(
            "similarity",
            expected="a matrix of finite numbers (first, second)",
            found=f"shape {table.shape}" + ("" if np.isfinite(table).all() else ", not all finite"),
            instead="circuits.similarities(first, second)",
        )
    rows, columns = linear_sum_assignment(table, maximize=True)
    partner, value = np.full(len(table), -1), np.full(len(table), np.nan)
    partner[rows], value[rows] = columns, table[rows, columns]
    return Matching(partner, value, float(np.mean(table[rows, columns])), np.empty(0))


def match_units(first: Activations, second: Activations, *, count: int = 99, seed: int = 0) -> Matching:
    """Units paired by the size of their correlation over samples, beside shuffled samples.

    Li et al. 2016 (1511.07543). A shuffle keeps each network's own correlations and breaks those between networks.
    Two networks that saw the same data share more than a shuffle leaves even where no unit corresponds: compare with a
    network of other data, too.

    Args:
        first, second: (sample, unit), of the same samples. Samples must be independent, such as one position a text:
            neighbouring positions are not, and then p-values are too small.
        count: shuffles of the samples.
        seed: of the shuffles.

    Raises:
        InvalidArgument: as for `debiased_cka`.
    """
    one, other = (_standardised(each) for each in checked(first, second))
    found, source = best_matching(np.abs(one.T @ other)), np.random.default_rng(seed)
    chance = [best_matching(np.abs(one.T @ other[source.permutation(len(other))])).mean for _ in range(count)]
    return Matching(found.partner, found.value, found.mean, np.array(chance))


def _standardised(activations: np.ndarray) -> np.ndarray:
    """Without mean, of length 1; a unit that does not vary stays zero."""
    centred = activations - activations.mean(0)
    length = np.linalg.norm(centred, axis=0)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
