"""Covariances of recorded losses over the posterior, with Monte Carlo errors, computed segment by segment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from ontogeny.core.draws import settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.estimators.quantity import at_center, finite_chains

_SEGMENTS = 20  # over all chains, or of their mean if they share minibatches; each must exceed the autocorrelation time
_MIN_SEGMENT = 4

# (chain, draws of it) -> losses `(draw, item)`
Reader = Callable[[int, slice], Float[np.ndarray, "draw item"]]


@dataclass(frozen=True)
class CrossCovariance:
    """Cov(aᵢ, bⱼ) over all chains and draws.

    Attributes:
        value: the covariance; `error`: its Monte Carlo error, from segments of the chains; `correlation`: the
            correlation.
    """

    value: Float[np.ndarray, "first second"]
    error: Float[np.ndarray, "first second"]
    correlation: Float[np.ndarray, "first second"]


def sample_losses(draws: xr.DataTree, observable: str) -> Reader:
    """Read an observable's losses minus those at w*, sample by sample, loading no more than is requested.

    Raises:
        InvalidArgument: for a name that the draws do not contain.
    """
    base = at_center(draws, observable)
    losses = draws[f"posterior/{observable}"]

    def read(chain: int, part: slice) -> np.ndarray:
        return np.asarray(losses.isel(chain=chain, draw=part), dtype=np.float64) - base

    return read


def cross_covariance(draws: xr.DataTree, first: Reader, second: Reader) -> CrossCovariance:
    """Cov(aᵢ, bⱼ) in two passes over the draws, one segment in memory at a time.

    The error is the spread of the covariance over segments of the chains. Chains that share minibatches are not
    independent, so their mean is used. The error accounts for autocorrelation shorter than a segment.

    Raises:
        InvalidArgument: if there are too few draws for segments.
    """
    parts, readers = list(_segments(draws)), (first, second)
    count = len(parts) * len(parts[0]) * (parts[0][0][1].stop - parts[0][0][1].start)
    means = [sum(read(*block).sum(0) for part in parts for block in part) / count for read in readers]
    total, of_squares, variances = 0.0, 0.0, [0.0, 0.0]
    for part in parts:
        one, other = (
            np.concatenate([read(*block) for block in part]) - mean for read, mean in zip(readers, means, strict=True)
        )
        product = one.T @ other / len(one)
        total, of_squares = total + product, of_squares + product**2
        variances = [variances[0] + (one**2).mean(0), variances[1] + (other**2).mean(0)]
    number = len(parts)
    value = np.asarray(total) / number
    error = np.sqrt(np.maximum(of_squares / number - value**2, 0) / (number - 1))
    with np.errstate(invalid="ignore"):  # the correlation of a constant loss is NaN
        correlation = value / np.sqrt(np.multiply.outer(variances[0] / number, variances[1] / number))
    return CrossCovariance(value * count / (count - 1), error, correlation)


def enough_draws(draws: xr.DataTree) -> bool:
    """Whether the draws suffice for `cross_covariance`, and some chain stayed finite."""
    return bool(finite_chains(draws)) and draws["posterior"].sizes["draw"] >= _MIN_SEGMENT * _per_chain(draws)


def _per_chain(draws: xr.DataTree) -> int:
    """The number of segments that each chain is cut into."""
    chains = len(finite_chains(draws))
    return _SEGMENTS if settings_of(draws).control_variate or not chains else max(-(-_SEGMENTS // chains), 2)


def _segments(draws: xr.DataTree) -> Iterator[list[tuple[int, slice]]]:
    """Segments of equal size, as lists of (chain, draws): of one chain, or of all if they share minibatches."""
    chains = finite_chains(draws)
    length, shared, number = draws["posterior"].sizes["draw"], settings_of(draws).control_variate, _per_chain(draws)
    if not enough_draws(draws):
        raise InvalidArgument(
            "draws",
            expected=f"at least {_MIN_SEGMENT * number} draws per chain, and a chain that stayed finite",
            found=f"{length} draws of {len(chains)} finite chains",
            instead="num_draws=200",
        )
    size = length // number
    for start in range(length - size * number, length, size):
        part = slice(start, start + size)
        if shared:
            yield [(chain, part) for chain in chains]
        else:
            yield from ([(chain, part)] for chain in chains)
