"""What errors of this room say to write instead."""

from typing import Any

import numpy as np
import xarray as xr
from tests.advice import Mistake, follow, mistakes

import ontogeny as og
from ontogeny.development.correlations import partial_correlation


def trajectory(outcome: str = "converged", components: int = 6, points: int = 12, runs: int = 1) -> xr.Dataset:
    """Curves of components that rise at different steps; from the half on their estimates are of this outcome."""
    step = np.unique(np.round(np.geomspace(1, 10_000, points)).astype(int))
    names = ["all", *(f"L0H{number}" for number in range(components))]
    value = np.random.default_rng(0).normal(0, 0.1, (len(step), len(names)))
    value += 9 / (1 + np.exp(np.arange(len(names)) - 3 * np.log10(step)[:, None]))
    verdicts = np.where(np.arange(len(step))[:, None] >= 2, outcome, "converged") + np.full(value.shape, "")
    found = xr.Dataset(
        {
            name: (("step", "component"), values)
            for name, values in {
                "llc": value,
                "llc_mcse": np.full(value.shape, 0.1),
                "llc_outcome": verdicts.astype(object),
            }.items()
        },
        coords={"step": step, "component": names},
    )
    return (
        found
        if runs == 1
        else xr.concat([found.isel(step=slice(2 + run)) for run in range(runs)], dim="seed", join="outer")
    )


def staged(**settings: Any) -> Any:
    return og.stages(trajectory(**settings))


def grouped(chosen: list[str] | None = None, **settings: Any) -> Any:
    return og.signatures([trajectory(**settings)], components=chosen)


def partial(units: int) -> float:
    x, y, z = np.random.default_rng(0).standard_normal((3, units))
    return partial_correlation(x, y, z[:, None])


# fmt: off
MISTAKES = (
    ("development/correlations.py:partial_correlation", "partial(3)", "x", "more units or fewer controls",
     "partial(9)"),
    ("development/clusters.py:_too_few", "grouped(['L0H0', 'L0H1'])", "components", 'components=["L0H0", …]',
     "grouped(['L0H0', 'L0H1', 'L0H2', 'L0H3'])"),
    ("development/clusters.py:_too_few#2", "grouped(outcome='too_few_draws_')", "trajectories",
     "measure more components, or more checkpoints of each", "grouped(points=30)"),
    ("development/clusters.py:_too_few#2", "grouped(outcome='not_a_minimum')", "trajectories", "lower nbeta",
     "grouped(outcome='converged')"),
    ("development/stagewise.py:_none_staged", "staged(points=30, runs=3)", "trajectory", "measure more checkpoints",
     "staged(points=30)"),
    ("development/stagewise.py:_too_few", "staged(points=3)", "trajectory", "measure more checkpoints",
     "staged(points=30)"),
    ("development/stagewise.py:_too_few", "staged(outcome='diverged')", "trajectory", "measure again", "staged()"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake) -> None:
    follow(mistake, globals())
