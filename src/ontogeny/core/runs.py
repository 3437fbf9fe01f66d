"""The form of a trajectory, and splitting trajectories of several runs joined along a further dimension."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ontogeny.core.errors import InvalidArgument

# The dimensions of each variable besides `step`. Any other dimension is one along which runs were joined.
_COEFFICIENT = {"component", "dataset", "chain", "draw", "warmup_draw"}  # of all variables that start with `llc`
_OWN = {
    **{"loss": {"dataset"}, "loss_sem": {"dataset"}, "training_diverged": set()},
    **{"test_loss": {"distribution"}, "loss_by_position": {"distribution", "position"}},
    **{"icl_score": set(), "icl_by_sequence": {"sequence"}, "repeated_gain": set()},
    **{"ngram_cross_entropy": {"order"}, "ngram_by_sequence": {"order", "ngram_sequence"}, "ngram_entropy": {"order"}},
    **{"head_score": {"score", "layer", "head"}, "head_score_by_sequence": {"score", "layer", "head", "repeat"}},
    **{"belief_r2": {"site"}, "belief_distance_r2": {"site", "against"}},
    **{"loss_by_length": {"length"}, "optimal_loss": {"length"}, "outputs": {"output"}},
}
POSTERIOR = {"llc_nbeta": "nβ", "llc_localization": "γ"}  # settings of a run's posterior, as recorded by `measure`


def runs_of(trajectory: xr.Dataset, argument: str = "trajectory") -> dict[str, xr.Dataset]:
    """One trajectory for each run, by its label, with increasing steps.

    `xr.concat(trajectories, dim="seed")` joins runs along a dimension of any name; labels are "seed 0" and so on, from
    the dimension's coordinate if it has one. Each run keeps only the steps at which it was measured. A trajectory of
    one run is returned under the empty label, with the dimension `step` restored if it was selected away.

    Raises:
        InvalidArgument: for anything that is not a trajectory, steps that cannot be ordered, several further
            dimensions, and duplicate labels.
    """
    trajectory = _along_steps(trajectory, argument)
    dimension = run_dimension(trajectory, argument)
    if dimension is None:
        return {"": trajectory}
    alone = {dim: 0 for dim in _further(trajectory) if dim != dimension}
    trajectory = trajectory.isel(alone, drop=True)
    runs = {
        label: trajectory.isel({dimension: i}, drop=True)
        for i, label in enumerate(run_labels(trajectory, dimension, argument))
    }
    if len(runs) > 1:
        own = [name for name, values in trajectory.data_vars.items() if {dimension, "step"} <= set(values.dims)]
        runs = {label: _where_measured(run, own) for label, run in runs.items()}
    return runs


def one_run(trajectory: xr.Dataset, argument: str = "trajectory") -> xr.Dataset:
    """The trajectory of the only run. Several are refused, with the way to select one."""
    runs = runs_of(trajectory, argument)
    if len(runs) > 1:
        dimension = run_dimension(trajectory, argument) or ""
        found = f"{len(runs)} along the dimension `{dimension}`"
        raise InvalidArgument(argument, expected="one run", found=found, instead=f"{argument}{_first_of(dimension)}")
    return next(iter(runs.values()))


def run_dimension(trajectory: xr.Dataset, argument: str = "trajectory") -> str | None:
    """The dimension along which runs were joined; None for a trajectory of one run.

    Raises:
        InvalidArgument: for several such dimensions, unless all but one are of length one.
    """
    found = _further(trajectory)
    wide = [dim for dim in found if trajectory.sizes[dim] != 1]
    if len(wide) > 1:
        others = " and ".join(f"`{dim}` ({trajectory.sizes[dim]})" for dim in wide)
        stacked = f"{argument}.stack(run={wide})".replace("'", '"')
        raise InvalidArgument(
            argument,
            expected="runs joined along one dimension besides `step`, `component` and `dataset`",
            found=f"the dimensions {others}",
            instead=f"{argument}{_first_of(wide[0])}, or {stacked}, which makes each combination a run",
        )
    if wide and not trajectory.sizes[wide[0]]:
        raise InvalidArgument(argument, expected="at least one run", found=f"none along the dimension `{wide[0]}`")
    return (wide or found or [None])[0]


def run_labels(joined: xr.Dataset, dimension: str, argument: str = "trajectory") -> list[str]:
    """A distinct label for each run: the dimension and its coordinate's value, or the run's number."""
    index = joined.indexes.get(dimension)
    if isinstance(index, pd.MultiIndex):
        labels = [", ".join(_named(*each) for each in zip(index.names, values, strict=True)) for values in index]
    else:
        values = joined[dimension].values if dimension in joined.coords else np.arange(joined.sizes[dimension])
        labels = [_named(dimension, value) for value in values]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        numbered = f"range({len(labels)})"
        keyword = f"{dimension}={numbered}" if dimension.isidentifier() else f'{{"{dimension}": {numbered}}}'
        raise InvalidArgument(
            argument,
            expected=f"a distinct name for each run along `{dimension}`",
            found=f"{twice[0]!r} twice",
            instead=f"{argument}.assign_coords({keyword})",
        )
    return labels


def labels_along(values: xr.DataArray | xr.Dataset, dimension: str, default: str = "") -> list[str]:
    """Names along `component` or `dataset`, whether a dimension, selected to one name, or absent."""
    if dimension in values.dims or dimension in values.coords:
        return [str(name) for name in np.atleast_1d(values[dimension].values)]
    return [default]


def differing_posteriors(trajectory: xr.Dataset) -> str:
    """Which nβ and γ differ within a trajectory, so that its coefficients are not comparable; empty if none do.

    As a clause: "nβ is 30 (seed 0, seed 1) and 100 (seed 2)".
    """
    told = []
    for name, symbol in POSTERIOR.items():
        labels: dict[float, list[str]] = {}
        for label, values in recorded_posterior(trajectory, name).items():
            for value in values:
                labels.setdefault(value, []).append(label)
        if len(labels) > 1:
            where = [f"{value:g} ({', '.join(runs)})" if any(runs) else f"{value:g}" for value, runs in labels.items()]
            told.append(f"{symbol} is {' and '.join(where)}")
    return "; ".join(told)


def recorded_posterior(trajectory: xr.Dataset, name: str) -> Mapping[str, list[float]]:
    """The values of `llc_nbeta` or `llc_localization` by run; empty lists if they were not recorded."""
    found = {}
    for label, run in runs_of(trajectory).items():
        values = np.unique(run[name].values.astype(float)) if name in run else np.array([])
        found[label] = values[np.isfinite(values)].tolist()
    return found


def _further(trajectory: xr.Dataset) -> list[str]:
    """Unexpected dimensions of known variables, in the order of the trajectory."""
    further = {
        str(dim)
        for name, values in trajectory.data_vars.items()
        for dim in values.dims
        if (own := _COEFFICIENT if str(name).startswith("llc") else _OWN.get(str(name))) is not None
        and dim != "step"
        and dim not in own
    }
    return [str(dim) for dim in trajectory.dims if str(dim) in further]


def _along_steps(trajectory: xr.Dataset, argument: str) -> xr.Dataset:
    """The trajectory with `step` as a dimension of increasing numbers."""
    if not isinstance(trajectory, xr.Dataset):
        instead = f'{argument}.to_dataset(name="llc")' if isinstance(trajectory, xr.DataArray) else ""
        expected = "an xarray.Dataset as returned by og.measure"
        raise InvalidArgument(argument, expected=expected, found=type(trajectory).__name__, instead=instead)
    if "step" not in trajectory.dims and "step" in trajectory.coords:
        trajectory = trajectory.expand_dims("step")
    if "step" not in trajectory.dims or "step" not in trajectory.coords:
        raise _no_steps(trajectory, argument)
    steps = trajectory["step"].values
    if steps.dtype.kind not in "iuf" or not (np.isfinite(steps) & (steps >= 0)).all():
        found = f"{steps.dtype} values such as {next((str(s) for s in steps if not _is_step(s)), '')!r}"
        instead = f"{argument}.assign_coords(step=[...]) with a number for each checkpoint"
        raise InvalidArgument(argument, expected="training steps that are numbers", found=found, instead=instead)
    if len(np.unique(steps)) < len(steps):
        twice = next(step for step in steps if (steps == step).sum() > 1)
        instead = f'{argument}.drop_duplicates("step")'
        raise InvalidArgument(argument, expected="each step once", found=f"step {twice:g} repeated", instead=instead)
    return trajectory if (np.diff(steps) > 0).all() else trajectory.sortby("step")


def _no_steps(trajectory: xr.Dataset, argument: str) -> InvalidArgument:
    if "step" in trajectory.dims:
        found = f"{trajectory.sizes['step']} places along it without their steps"
        instead = f"{argument}.assign_coords(step=[...]) with the step of each checkpoint"
    else:
        found = f"only the dimensions {', '.join(f'`{dim}`' for dim in trajectory.dims) or 'of a single value'}"
        instead = f"{argument}.isel(step=[0]), which keeps the dimension when one step is selected"
        numbered = [
            dim for dim in _further(trajectory) if dim in trajectory.coords and trajectory[dim].dtype.kind in "iuf"
        ]
        if numbered:
            longest = max(numbered, key=lambda dim: trajectory.sizes[dim])
            key = f'{longest}="step"' if longest.isidentifier() else f'{{"{longest}": "step"}}'
            instead = f"{argument}.rename({key}), if that is the training step"
    return InvalidArgument(argument, expected="a dimension `step` with its coordinate", found=found, instead=instead)


def _is_step(value: object) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value)) and bool(value >= 0)


def _where_measured(run: xr.Dataset, names: list) -> xr.Dataset:
    """The run at the steps where any of these variables has a value."""
    there = np.zeros(run.sizes["step"], dtype=bool)
    for name in names:
        there |= run[name].notnull().transpose("step", ...).values.reshape(len(there), -1).any(axis=1)
    return run.isel(step=there)


def _named(dimension: object, value: object) -> str:
    text = f"{value:g}" if isinstance(value, float | np.floating) else str(value)
    return f"{str(dimension).replace('_', ' ')} {text}"


def _first_of(dimension: str) -> str:
    return f".isel({dimension}=0)" if dimension.isidentifier() else f'.isel({{"{dimension}": 0}})'
