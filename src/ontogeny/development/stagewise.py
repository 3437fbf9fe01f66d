"""Stages of development: a training run divided where its learning coefficient pauses or turns."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.joined_stages import join_stages
from ontogeny.core.runs import differing_posteriors, labels_along, run_dimension, runs_of
from ontogeny.development.boundaries import Boundary, find_boundaries
from ontogeny.development.settings import StageConfig
from ontogeny.development.smoothing import SmoothCurve, smooth
from ontogeny.development.usable import Points, coefficient_of, counts, over_steps, remedy, usable_points

_NORMAL_95 = 1.959964
_MIN_CHECKPOINTS = 8  # three smoother parameters, level and trend, and degrees of freedom left


def stages(trajectory: xr.Dataset, config: StageConfig | None = None) -> xr.Dataset:
    """Divide a training run into stages at the plateaus and knees of its learning coefficient over log10(step).

    The coefficient is smoothed by a Gaussian process over x = log10(step), with its standard errors as known noise and
    additional fitted noise. A boundary is a zero of the slope between two significantly sloped stretches (a plateau),
    or a dip of |slope| below half of both without a zero (a knee). Its probability is the share of posterior curves
    that show it; boundaries are kept from 0.8 on. Its kind is the one that most of these curves show. Its place is the
    centre of the dip. That is the zero itself at a simple crossing, and the middle of a plateau, where the zero of a
    noisy slope could be anywhere.

    Verdicts decide which estimates are fitted. Converged estimates are used, and those with too few draws if their
    error is known. All others are left out and listed with their outcome. A trajectory without `llc_outcome` has no
    verdicts, and all its finite estimates are used.

    Runs joined along one further dimension, `xr.concat([t0, t1, t2], dim="seed")`, are divided separately, each at the
    steps at which it was measured.

    Args:
        trajectory: `llc_complexity` or `llc` over `step` and, if known, its `_mcse`, `llc_outcome` and `loss`.
            The config selects the `component` (a single one need not be named); the first `dataset` is used. Any other
            dimension is one of runs. Step 0 has no place on a log axis and is left out. At least eight estimates must
            be usable. The cost grows as the cube of their number.
        config: the coefficient (default: the complexity if it was measured) and the thresholds. Fix them before you
            look at the runs you report.

    Returns:
        Over `boundary`: `boundary_step`, `boundary_low`, `boundary_high` (95 % interval), `boundary_probability`,
        `boundary_kind` ("plateau" or "knee"). Over `stage`, one more than there are boundaries: `stage_start`,
        `stage_end`, `stage_delta_llc` with `_low` and `_high` (95 %), `stage_delta_loss` (NaN without a loss) and
        `stage_type`: "A" for loss down and coefficient up, "B" for both down, "-" otherwise, and if the change of the
            coefficient is not distinguishable from zero. Over `grid`: `grid_step`, `llc_smooth`, `llc_smooth_sd`, and
            `slope`,
        `slope_low`, `slope_high` (per decade, 95 % pointwise), all of the coefficient that was staged. Attributes:
        `coefficient` (its variable), `settings`, `excluded_steps` and `excluded_outcome` (what was left out, and why),
        `length_scale` (decades) and `extra_noise` (in units of the coefficient; if far above the MCSE, the estimates
        scatter more than their errors suggest).

        For joined runs all variables also have the dimension of the runs, and runs with fewer boundaries are padded
        with NaN and empty kinds. `unstaged` says why a run could not be divided; it is empty if it was. The last four
        attributes are lists over the runs. The attribute `not_comparable` says how nβ or γ differ, if they do: changes
        of the coefficient are then not comparable.

    Raises:
        InvalidArgument: without the coefficient, without the component, with repeated steps or several dimensions of
            runs, or with too few usable estimates in every run; the message counts the others by outcome.

    When not to trust it: the errors of neighbouring checkpoints are assumed independent, which is wrong for chains that
        share minibatches. A stage shorter than about twice the spacing of usable checkpoints cannot be seen. The curve
        is interpolated where neighbours were excluded. The bands hold the smoother's parameters fixed and are slightly
        too narrow with few points. Stretches within `resolution` of either end are never divided.

    Source: Hoogland et al. (arXiv 2402.02364) for stages at zeros of the LLC's derivative in log step and for types A
    and B. Knees, probabilities and the significance of the slopes around a boundary are this library's own.
    """
    config, runs = config or StageConfig(), runs_of(trajectory)
    found: dict[str, xr.Dataset] = {}
    refused: dict[str, InvalidArgument] = {}
    for label, run in runs.items():
        try:
            found[label] = _stages_of_run(run, config)
        except InvalidArgument as error:
            refused[label] = error
    if not found:
        raise _none_staged(refused)
    dimension, differing = run_dimension(trajectory), differing_posteriors(trajectory)
    if dimension is None:
        result = found[""]
    else:
        coordinate = trajectory[dimension] if dimension in trajectory.coords else None
        result = join_stages(
            [found.get(label) for label in runs],
            [_why(refused[label]) if label in refused else "" for label in runs],
            dimension,
            coordinate,
        )
    return result.assign_attrs(not_comparable=differing) if differing else result


def _stages_of_run(trajectory: xr.Dataset, config: StageConfig) -> xr.Dataset:
    coefficient = coefficient_of(trajectory, config.coefficient)
    points = usable_points(trajectory, coefficient, _component(trajectory, coefficient, config))
    if len(points.step) < _MIN_CHECKPOINTS:
        raise _too_few(points, coefficient)
    curve = smooth(np.log10(points.step), points.value, points.error, config)
    boundaries = find_boundaries(curve, config)
    edges = np.array([curve.log_step[0], *(boundary.log_step for boundary in boundaries), curve.log_step[-1]])
    grid = {
        "grid_step": 10**curve.log_step,
        "llc_smooth": curve.mean,
        "llc_smooth_sd": curve.sd,
        "slope": curve.slope,
        "slope_low": curve.slope - _NORMAL_95 * curve.slope_sd,
        "slope_high": curve.slope + _NORMAL_95 * curve.slope_sd,
    }
    return xr.Dataset(
        {
            **{name: ("boundary", values) for name, values in _describe_boundaries(boundaries).items()},
            **{name: ("stage", values) for name, values in _describe_stages(curve, edges, trajectory).items()},
            **{name: ("grid", values) for name, values in grid.items()},
        },
        attrs={
            "coefficient": coefficient,
            "settings": config.model_dump_json(),
            "excluded_steps": points.excluded_steps,
            "excluded_outcome": points.excluded_outcome,
            "length_scale": curve.length_scale,
            "extra_noise": curve.extra_noise,
        },
    )


def _component(trajectory: xr.Dataset, coefficient: str, config: StageConfig) -> str:
    """The config's component, or the trajectory's only one."""
    names = labels_along(trajectory[coefficient], "component", config.component) if coefficient in trajectory else []
    return names[0] if len(names) == 1 and "component" not in config.model_fields_set else config.component


def _why(error: InvalidArgument) -> str:
    return f"needs {error.expected}; found {error.found}"


def _none_staged(refused: Mapping[str, InvalidArgument]) -> InvalidArgument:
    first = next(iter(refused.values()))
    if len({error.found for error in refused.values()}) == 1:
        return first
    found = "; ".join(f"{error.found} ({label})" for label, error in refused.items())
    return InvalidArgument(first.argument, expected=first.expected, found=found, instead=first.instead)


def _too_few(points: Points, coefficient: str) -> InvalidArgument:
    left_out = f" (left out: {counts(points.excluded_outcome)})" if points.excluded_outcome else ""
    among = len(points.step) + len(points.excluded_steps)
    more = "measure more checkpoints, evenly spaced in log step; ten a decade show most stages."
    return InvalidArgument(
        "trajectory",
        expected=f"usable estimates of `{coefficient}` at {_MIN_CHECKPOINTS} or more steps past 0",
        found=f"{len(points.step)} among {among} checkpoints{left_out}",
        instead=remedy(points.excluded_outcome, more),
    )


def _describe_boundaries(boundaries: Sequence[Boundary]) -> dict[str, np.ndarray]:
    log_steps = np.array([(found.log_step, found.low, found.high) for found in boundaries]).reshape(-1, 3)
    step, low, high = 10.0**log_steps.T
    return {
        "boundary_step": step,
        "boundary_low": low,
        "boundary_high": high,
        "boundary_probability": np.array([found.probability for found in boundaries], dtype=float),
        "boundary_kind": np.array([found.kind for found in boundaries], dtype="U7"),
    }


def _describe_stages(
    curve: SmoothCurve, edges: Float[np.ndarray, " edge"], trajectory: xr.Dataset
) -> dict[str, np.ndarray]:
    """The changes between successive edges in log step. The loss is interpolated between its checkpoints."""
    delta_llc = np.diff(np.interp(edges, curve.log_step, curve.mean))
    samples = np.diff([np.interp(edges, curve.log_step, sample) for sample in curve.samples], axis=1)
    low, high = np.quantile(samples, [0.025, 0.975], axis=0)
    delta_loss = np.full(len(edges) - 1, np.nan)
    if "loss" in trajectory:
        loss = over_steps(trajectory, "loss").sel(step=slice(1, None)).dropna("step")
        if loss.sizes["step"]:
            delta_loss = np.diff(np.interp(edges, np.log10(loss["step"].values), loss.values.astype(float)))
    return {
        "stage_start": 10.0 ** edges[:-1],
        "stage_end": 10.0 ** edges[1:],
        "stage_delta_llc": delta_llc,
        "stage_delta_llc_low": low,
        "stage_delta_llc_high": high,
        "stage_delta_loss": delta_loss,
        "stage_type": np.select([(delta_loss < 0) & (low > 0), (delta_loss < 0) & (high < 0)], ["A", "B"], "-"),
    }
