"""The tail of an activation's distribution: exponential, Gaussian, or Weibull between and beyond them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr
from scipy.stats import chi2

from ontogeny.core.errors import InvalidArgument

_LEAST = 50  # values beyond the threshold
_SHAPES = (0.1, 10.0)


@dataclass(frozen=True)
class Tail:
    """Fits by maximum likelihood to the values x beyond a threshold u, all given x > u.

    Attributes:
        threshold: u.
        num_values: beyond it.
        shape: k of the Weibull tail, P(x > t) ∝ exp(-(t/s)^k): 1 is exponential, 2 falls as a Gaussian does, below 1 is
            heavier than exponential.
        interval: 95 %, of the profile likelihood.
        log_likelihood: by name, `exponential`, `gaussian` (mean 0, its size fitted) and `weibull`.
        p_exponential: of the likelihood ratio of k = 1 against any k; small values speak against an exponential tail.
    """

    threshold: float
    num_values: int
    shape: float
    interval: tuple[float, float]
    log_likelihood: dict[str, float]
    p_exponential: float

    @property
    def best(self) -> str:
        """The law with the least AIC: the Weibull pays for its second parameter."""
        cost = {"exponential": 1, "gaussian": 1, "weibull": 2}
        return max(cost, key=lambda name: self.log_likelihood[name] - cost[name])


def tail_of(values: Float[np.ndarray, "..."], quantile: float = 0.9) -> Tail:
    """The law that the values beyond a quantile follow.

    Args:
        values: of one unit; independent ones, or p-values and the interval are too confident. Activations whose tail
            is on the other side are given with their sign turned. They are measured from 0.
        quantile: where the tail begins.

    Raises:
        InvalidArgument: for fewer than 50 values beyond the quantile, or a threshold that is not positive.

    When not to trust it: where `shape` changes with `quantile`, which then is not yet the tail.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    threshold = float(np.quantile(flat, quantile)) if flat.size and 0 < quantile < 1 else np.nan
    beyond = flat[flat > threshold]
    if not (threshold > 0 and len(beyond) >= _LEAST):
        raise InvalidArgument(
            "values",
            expected=f"at least {_LEAST} values beyond a positive quantile, which is between 0 and 1",
            found=f"{len(beyond)} of {flat.size} beyond {threshold:.3g}, the quantile {quantile}",
            instead="more samples, or a quantile at which the unit is active",
        )
    return _fitted(beyond / threshold, threshold)


def _fitted(beyond: Float[np.ndarray, " value"], threshold: float) -> Tail:
    """In units of the threshold, in which the tail begins at 1."""
    log_size = len(beyond) * np.log(threshold)

    def weibull(shape: float) -> float:
        """Log likelihood at the best scale: (t/s)^k - (1/s)^k is exponential."""
        rate = 1 / np.mean(beyond**shape - 1)
        return float(np.sum(np.log(shape * rate) + (shape - 1) * np.log(beyond) - rate * (beyond**shape - 1)))

    at = minimize_scalar(lambda log_shape: -weibull(np.exp(log_shape)), bounds=np.log(_SHAPES), method="bounded")
    shape, most, exponential = float(np.exp(at.x)), -float(at.fun), weibull(1.0)
    grid = np.geomspace(*_SHAPES, 800)
    inside = grid[np.array([weibull(each) for each in grid]) > most - chi2.ppf(0.95, 1) / 2]
    interval = (float(min(inside.min(initial=shape), shape)), float(max(inside.max(initial=shape), shape)))
    found = {"exponential": exponential, "gaussian": _gaussian(beyond), "weibull": max(most, exponential)}
    p_value = float(chi2.sf(2 * max(most - exponential, 0), 1))
    named = {name: value - log_size for name, value in found.items()}
    return Tail(threshold, len(beyond), shape, interval, named, p_value)


def _gaussian(beyond: Float[np.ndarray, " value"]) -> float:
    """Log likelihood at the best standard deviation, given x > 1."""

    def cost(log_size: float) -> float:
        size = np.exp(log_size)
        density = -0.5 * (beyond / size) ** 2 - np.log(size) - 0.5 * np.log(2 * np.pi)
        return -float(np.sum(density - log_ndtr(-1 / size)))

    return -float(minimize_scalar(cost, bounds=(-4, 6), method="bounded").fun)


def across_range(
    values: Float[np.ndarray, " sample"], num_bins: int = 5, each: int = 4, seed: int = 0
) -> list[Int[np.ndarray, " some"]]:
    """Samples drawn from every stretch of a unit's range, not from its maximum alone: what it responds to in general.

    Args:
        values: one a sample.
        num_bins: stretches of equal width between the least and the largest value, from the least.
        each: samples of a stretch, drawn without replacement; fewer where it holds fewer.
        seed: of the drawing.
    """
    edges = np.linspace(values.min(), values.max(), num_bins + 1)
    bins = np.clip(np.digitize(values, edges[1:-1]), 0, num_bins - 1)
    source = np.random.default_rng(seed)
    held = [np.flatnonzero(bins == number) for number in range(num_bins)]
    return [np.sort(source.choice(some, size=min(each, len(some)), replace=False)) for some in held]
