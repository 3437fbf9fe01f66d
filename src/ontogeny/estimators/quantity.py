"""A number computed from draws, with its error and verdict, and the losses behind it."""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from ontogeny.core.draws import settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.outcome import Outcome
from ontogeny.estimators.coefficient import llc
from ontogeny.estimators.diagnostics import MAX_RHAT, MIN_ESS
from ontogeny.estimators.summary import summarize

Trace = Float[np.ndarray, "chain draw"]

_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Quantity:
    """A number with its error and verdict.

    Attributes:
        name: its symbol, for printing.
        value: the number.
        error: its standard error.
        outcome, advice: the verdict, and a sentence on what to do unless it is `converged`.
    """

    name: str
    value: float
    error: float
    outcome: Outcome
    advice: str

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `error`."""
        half = _NORMAL_95 * self.error
        return self.value - half, self.value + half

    def __str__(self) -> str:
        verdict = self.outcome.value.replace("_", " ")
        return f"{self.name} {self.value:.4g} ± {_NORMAL_95 * self.error:.2g} (95%), {verdict}"


def mean_of(name: str, trace: Trace, draws: xr.DataTree, other_error: float = 0.0) -> Quantity:
    """The mean of a trace with its Monte Carlo error, and the worse of the verdicts on the draws and on the trace.

    Args:
        trace: values over the chains that stayed finite (see `finite`).
        other_error: standard error from another, independent source, added in quadrature.
    """
    mean, error, rhat, ess, _ = summarize(trace, shared=settings_of(draws).control_variate)
    outcome = llc(draws).outcome
    if outcome is Outcome.CONVERGED:
        outcome = Outcome.CONVERGED
        if math.isnan(error) or math.isnan(rhat) or ess < MIN_ESS:
            outcome = Outcome.TOO_FEW_DRAWS
        if rhat > MAX_RHAT:
            outcome = Outcome.NOT_CONVERGED
    return Quantity(name, mean, math.hypot(error, other_error), outcome, outcome.advice)


def finite_chains(draws: xr.DataTree) -> list[int]:
    """Indices of the chains that never diverged."""
    return np.flatnonzero(np.isnan(np.asarray(draws["sample_stats"]["failed_at"], dtype=np.float64))).tolist()


def finite(draws: xr.DataTree, variable: str) -> Float[np.ndarray, "chain draw ..."]:
    """`group/variable` of the chains that never diverged, in double precision."""
    return np.asarray(draws[variable], dtype=np.float64)[finite_chains(draws)]


def at_center(draws: xr.DataTree, observable: str) -> Float[np.ndarray, " sample"]:
    """An observable's losses at w*, sample by sample.

    Raises:
        InvalidArgument: for a name that the draws do not hold.
    """
    constants = draws["constant_data"].data_vars if "constant_data" in draws.children else {}
    held = [str(name) for name in draws["posterior"].data_vars if f"{name}_at_center" in constants]
    if observable not in held:
        found = f"{observable!r}, but the draws contain {', '.join(held) or 'none'}"
        instead = f'sample(…, observables={{"{observable}": data}})'
        raise InvalidArgument("observable", expected="an observable of the draws", found=found, instead=instead)
    return np.asarray(draws[f"constant_data/{observable}_at_center"], dtype=np.float64)


def per_sample(draws: xr.DataTree, observable: str) -> Float[np.ndarray, "chain draw sample"]:
    """An observable's losses, sample by sample, for the chains that never diverged.

    Raises:
        InvalidArgument: for a name that the draws do not hold.
    """
    at_center(draws, observable)
    return finite(draws, f"posterior/{observable}")


def loss_differences(draws: xr.DataTree, observable: str | None) -> tuple[Trace, Trace | None]:
    """L(w) - L(w*) twice, with independent minibatch noise, so that their product is unbiased.

    Without noise, when batches or the observable are all samples, the two are equal. The second is None if a minibatch
    was recorded only once, because its noise would bias a variance or an exponential.
    """
    settings = settings_of(draws)
    first = finite(draws, "posterior/loss_difference")
    if observable is not None:
        base = at_center(draws, observable)
        second = (per_sample(draws, observable) - base).mean(axis=-1)
        return (second if len(base) == settings.num_samples else first), second
    if settings.batch_size >= settings.num_samples:
        return first, first
    if "loss_difference_again" in draws["posterior"]:
        return first, finite(draws, "posterior/loss_difference_again")
    return first, None
