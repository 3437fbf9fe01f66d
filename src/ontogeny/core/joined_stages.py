"""Joining the stages of several runs into one Dataset, and splitting them again."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from ontogeny.core.runs import run_labels

_DIMS = {"boundary": "boundary_step", "stage": "stage_start", "grid": "grid_step"}  # NaN there pads a run
_BY_RUN = ("excluded_steps", "excluded_outcome", "length_scale", "extra_noise")  # attributes that are lists over runs


def join_stages(
    found: Sequence[xr.Dataset | None], unstaged: Sequence[str], dimension: str, coordinate: xr.DataArray | None
) -> xr.Dataset:
    """Join the stages of runs along a dimension, padded with NaN and empty strings.

    Args:
        found: the stages of each run; None for a run that could not be staged.
        unstaged: for each run why it could not be staged; empty if it was.
        dimension: of the runs.
        coordinate: of that dimension, if it has one.
    """
    known = [each for each in found if each is not None]
    none = known[0].isel({dim: slice(0, 0) for dim in _DIMS})
    numbered = [
        each.assign_coords({dim: np.arange(each.sizes[dim]) for dim in _DIMS})
        for each in (none if each is None else each for each in found)
    ]
    blanks = {name: "" if values.dtype.kind == "U" else np.nan for name, values in none.items()}
    joined = xr.concat(numbered, dimension, join="outer", fill_value=blanks, combine_attrs="override")
    by_run = {name: [None if each is None else each.attrs[name] for each in found] for name in _BY_RUN}
    joined = joined.drop_vars(list(_DIMS)).assign_attrs(known[0].attrs | by_run)
    joined = joined.assign(unstaged=(dimension, list(unstaged)))
    return joined if coordinate is None else joined.assign_coords({dimension: coordinate})


def stages_by_run(stages: xr.Dataset | None) -> dict[str, xr.Dataset]:
    """The stages of each staged run, by its label; those of a single trajectory under the empty label."""
    if stages is None:
        return {}
    dimension = joined_along(stages)
    if dimension is None:
        return {"": stages}
    runs = {}
    for i, label in enumerate(run_labels(stages, dimension, "stages")):
        one = stages.isel({dimension: i}, drop=True)
        for dim, name in _DIMS.items():
            if name in one:
                one = one.isel({dim: one[name].notnull().values})
        if one.sizes.get("stage", 1):
            own = {name: stages.attrs[name][i] for name in _BY_RUN if name in stages.attrs}
            runs[label] = one.drop_vars("unstaged", errors="ignore").assign_attrs(own)
    return runs


def unstaged_by_run(stages: xr.Dataset | None) -> Mapping[str, str]:
    """Why runs could not be staged, by label."""
    dimension = None if stages is None else joined_along(stages)
    if stages is None or dimension is None or "unstaged" not in stages:
        return {}
    reasons = zip(run_labels(stages, dimension, "stages"), stages["unstaged"].values, strict=True)
    return {label: str(reason) for label, reason in reasons if reason}


def joined_along(stages: xr.Dataset) -> str | None:
    """The dimension of the runs in stages; None for those of a single trajectory."""
    return next((str(dim) for dim in stages.dims if dim not in _DIMS), None)
