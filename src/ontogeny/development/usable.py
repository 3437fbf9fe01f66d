"""The estimates of a trajectory that may enter a fit, by their verdicts, with their errors."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Real

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.outcome import Outcome
from ontogeny.core.runs import labels_along

Coefficient = Literal["llc_complexity", "llc"]
NOT_FINITE, NOT_JUDGED, NOT_MEASURED = "not_finite", "not_judged", "not_measured"  # reasons other than outcomes


class Points(NamedTuple):
    """Usable estimates past step 0 with their standard errors (0 where unknown), and what was left out and why."""

    step: Real[np.ndarray, " point"]
    value: Float[np.ndarray, " point"]
    error: Float[np.ndarray, " point"]
    excluded_steps: list[int | float]
    excluded_outcome: list[str]


def coefficient_of(trajectory: xr.Dataset, wanted: Coefficient | None = None) -> Coefficient:
    """The variable to use: the requested one, or by default the complexity if it was measured, else the LLC."""
    return wanted or ("llc_complexity" if "llc_complexity" in trajectory else "llc")


def usable_points(
    trajectory: xr.Dataset, coefficient: Coefficient, component: str | None = None, dataset: str | None = None
) -> Points:
    """The estimates of a coefficient over `step` that may enter a fit.

    Converged estimates are used. Those with too few draws are used if their error is known, which gives them little
    weight. All other estimates are excluded, as are values and errors that are not finite. If the trajectory has no
    `llc_outcome`, every finite estimate is used. Step 0 has no place in log step and is dropped silently.

    Args:
        trajectory: of one run (see `runs_of`), with the coefficient and, if known, `{coefficient}_mcse` and
            `llc_outcome`.
        coefficient: from `coefficient_of`.
        component: its name; None if the variable has no such dimension.
        dataset: its name; default the first.

    Raises:
        InvalidArgument: without the coefficient, or without the component or dataset.
    """
    value = over_steps(trajectory, coefficient, component, dataset).astype(float)
    step = value["step"].values
    name = f"{coefficient}_mcse"
    known = name in trajectory
    error = over_steps(trajectory, name, component, dataset).astype(float) if known else xr.zeros_like(value)
    outcome = None
    if "llc_outcome" in trajectory:
        outcome = over_steps(trajectory, "llc_outcome", component, dataset).values
    reasons = [
        _reason(float(v), float(e), known, None if outcome is None else outcome[i])
        for i, (v, e) in enumerate(zip(value.values, error.values, strict=True))
    ]
    kept = np.array([not reason for reason in reasons], dtype=bool) & (step >= 1)
    left = [i for i in np.flatnonzero(step >= 1) if reasons[i]]
    excluded = [step[i].item() for i in left], [reasons[i] for i in left]
    return Points(step[kept], value.values[kept], error.values[kept], *excluded)


def counts(reasons: Sequence[str]) -> str:
    """How often each reason occurs, the most frequent first: "27 not_a_minimum, 1 diverged"."""
    return ", ".join(f"{count} {reason}" for reason, count in Counter(reasons).most_common())


def remedy(reasons: Sequence[str], otherwise: str) -> str:
    """What to do about the outcome that excluded most estimates; `otherwise` if no outcome excluded any."""
    outcomes = Counter(reason for reason in reasons if reason in set(Outcome))
    if not outcomes:
        return otherwise
    worst = Outcome(outcomes.most_common(1)[0][0])
    # The outcome's own advice, to read the complexity of a single estimate, does not make a curve usable.
    lower = "At these checkpoints lower nbeta or raise localization, the same for all, until descent is small."
    return f"measure again. {lower if worst is Outcome.NOT_A_MINIMUM else worst.advice}"


def over_steps(
    trajectory: xr.Dataset, name: str, component: str | None = None, dataset: str | None = None
) -> xr.DataArray:
    """A variable over `step` alone, for this dataset (default the first), and for the component if one is given."""
    if name not in trajectory or "step" not in trajectory[name].dims:
        raise InvalidArgument(
            "trajectory", expected=f"a variable `{name}` over `step`", found=f"only {sorted(map(str, trajectory))}"
        )
    array = trajectory[name]
    datasets, components = labels_along(array, "dataset"), labels_along(array, "component", "all")
    if dataset is not None and dataset not in datasets and datasets != [""]:
        raise InvalidArgument("dataset", expected=f"one of {datasets}", found=repr(dataset))
    if component is not None and component not in components:
        raise InvalidArgument("config.component", expected=f"one of {components}", found=repr(component))
    if "dataset" in array.dims:
        array = array.isel(dataset=0 if dataset is None else datasets.index(dataset))
    if component is not None and "component" in array.dims:
        array = array.isel(component=components.index(component))
    return array


def _reason(value: float, error: float, error_known: bool, outcome: object) -> str:
    """Why an estimate is excluded; empty if it is used."""
    finite = bool(np.isfinite(value) and np.isfinite(error))
    if outcome is None:
        return "" if finite else NOT_FINITE
    verdict = outcome if isinstance(outcome, str) else ""  # an entry never filled is NaN
    if not verdict:
        return NOT_JUDGED if np.isfinite(value) else NOT_MEASURED
    if verdict == Outcome.CONVERGED:
        return "" if finite else NOT_FINITE
    weighable = verdict == Outcome.TOO_FEW_DRAWS and finite and error_known and error > 0
    return "" if weighable else str(verdict)


def usable_curves(
    trajectory: xr.Dataset, components: Sequence[str], dataset: str | None = None
) -> tuple[Float[np.ndarray, "component step"], Float[np.ndarray, "component step"]]:
    """Coefficients of components and their errors along `step`, NaN for unusable estimates.

    Raises:
        InvalidArgument: for a component or dataset that was not measured.
    """
    coefficient, steps = coefficient_of(trajectory), trajectory["step"].values
    values, errors = np.full((2, len(components), len(steps)), np.nan)
    for row, component in enumerate(components):
        points = usable_points(trajectory, coefficient, component, dataset)
        at = np.searchsorted(steps, points.step)
        values[row, at], errors[row, at] = points.value, points.error
    return values, errors
