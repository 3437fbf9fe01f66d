"""`og.measure` with no settings but the run: `python -m benchmarks.runs --help`.

Everything found is kept under runs/runs as it is made; a benchmark that was stopped goes on from there.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import ontogeny as og
from benchmarks.__main__ import write_section
from benchmarks.runs.networks import NAMES, Network, network
from ontogeny.execution import Serial
from ontogeny.measurement import choice_of
from ontogeny.measurement.choice import pilot_steps
from ontogeny.measurement.quantities import LEAST, RESOLVED
from ontogeny.stores import Checkpoints, load_into, read_tree, write_tree

TITLE = "Runs measured with no settings"
FOLDER = Path("runs/runs")
MORE = 10  # draws of a reference, times those of the estimate
HEADER = """
Command: `python -m benchmarks.runs`. `og.measure(run, model_fn, data, loss_fn)` with parts named and nothing else
set, one thread. Whole and parts: converged checkpoints, and checkpoints times parts. Gradients: median per-sample
gradients of a converged estimate of the whole, calibration included. References are `og.estimate_llc` of ten times
the gradients and another seed at the same nβ and γ, of the whole and one part at checkpoints of the first seed that
are evenly spaced by number; only pairs of which both converged count. Further seeds are measured at the four pilot
checkpoints alone, since they are there to show how nβ and γ vary. An interval covers if the difference is below 1.96
times both errors. Errors are shares of a reference above the resolution of its curve, a quarter of the largest
complexity of that part in the run and a quarter of a nat at least, of which the median is told, and in nats below it,
of which the worst.

| network | weights | seed | nβ | γ | whole | parts | gradients | minutes | covered | median above | worst below |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    """Measure what is asked for, and write the table of all that has been measured."""
    asked = _arguments()
    torch.set_num_threads(1)
    for name in asked.networks:
        case = network(name)
        for seed in asked.seeds:
            folder = FOLDER / name.replace(" ", "_") / str(seed)
            run = case.train(folder / "training", seed)
            first = seed == asked.seeds[0]
            found = _measured(case, run, folder, seed, run.steps if first else pilot_steps(run.steps))
            if first and asked.references:
                _references(case, run, found, folder, asked.references)
    rows = [_row(name, int(path.parent.name), path.parent) for name in NAMES for path in _measured_of(name)]
    write_section(TITLE, HEADER + "\n".join(rows))


def _measured_of(name: str) -> list[Path]:
    return sorted((FOLDER / name.replace(" ", "_")).glob("*/trajectory.zarr"))


def _measured(case: Network, run: Checkpoints, folder: Path, seed: int, steps: Sequence[int]) -> xr.Dataset:
    path, begun = folder / "trajectory.zarr", time.time()
    if not path.exists():
        found = og.measure(
            run,
            case.model_fn,
            case.data,
            case.loss_fn,
            components=["all", *case.components],
            store=folder / "store",
            seed=seed,
            steps=steps,
            executor=Serial(),
            progress=True,
        )
        write_tree(path, found.assign_attrs(minutes=(time.time() - begun) / 60))
    return read_tree(path).to_dataset()


def _references(case: Network, run: Checkpoints, found: xr.Dataset, folder: Path, number: int) -> None:
    choice = choice_of(found)
    assert choice is not None
    steps = found["step"].values[np.linspace(0, len(found["step"]) - 1, number).round().astype(int)]
    for step in steps.tolist():
        for component in found["component"].values.tolist()[:2]:
            path = folder / "references" / f"{step}_{component}.json"
            if path.exists():
                continue
            model = case.model_fn()
            load_into(model, run.load(step))
            spent = int(found["llc_gradients"].sel(step=step, component=component).item())
            estimate = og.estimate_llc(
                model,
                case.data,
                case.loss_fn,
                nbeta=choice.attrs["nbeta"],
                localization=choice.attrs["localization"],
                restriction=None if component == "all" else og.restrict(model, component),
                sampler=og.Calibrated(error=1e-4, budget=MORE * spent),
                seed=1000,
                progress=True,
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            known = (estimate.complexity, estimate.complexity_mcse, estimate.sampled.value)
            path.write_text(json.dumps(known), encoding="utf-8")


def _row(name: str, seed: int, folder: Path) -> str:
    found = read_tree(folder / "trajectory.zarr").to_dataset()
    choice = choice_of(found)
    assert choice is not None
    good = found["llc_outcome"].isel(dataset=0) == "converged"
    whole, parts = good.sel(component="all"), good.drop_sel(component="all")
    spent = float(found["llc_gradients"].isel(dataset=0).sel(component="all").where(whole).median())
    compared = _compared(list(_pairs(found, folder)))
    weights = json.loads(found.attrs["settings"])["num_parameters"] if "settings" in found.attrs else "–"
    return (
        f"| {name} | {weights} | {seed} | {choice.attrs['nbeta']:g} | {choice.attrs['localization']:g} | "
        f"{int(whole.sum())} of {whole.size} | {int(parts.sum())} of {parts.size} | {spent:,.0f} | "
        f"{found.attrs['minutes']:.1f} | {compared} |"
    )


def _compared(pairs: list[tuple[float, float, float, float, float]]) -> str:
    """How many intervals cover, the median error above the resolution with its number, the largest below."""
    if not pairs:
        return "– | – | –"
    covered = [abs(value - known) < 1.96 * np.hypot(error, other) for value, error, known, other, _ in pairs]
    above = [abs(value / known - 1) for value, _, known, _, resolved in pairs if known >= resolved]
    below = [abs(value - known) for value, _, known, _, resolved in pairs if known < resolved]
    median = f"{np.median(above):.1%} of {len(above)}" if above else "–"
    return f"{sum(covered)} of {len(pairs)} | {median} | " + (f"{max(below):.2f} of {len(below)}" if below else "–")


def _pairs(found: xr.Dataset, folder: Path) -> Any:
    """Complexity and error of an estimate and of its reference, where both converged, and the curve's resolution."""
    for path in sorted((folder / "references").glob("*.json")):
        step, _, component = path.stem.partition("_")
        here = found.isel(dataset=0).sel(step=int(step), component=component)
        value, error, outcome = json.loads(path.read_text(encoding="utf-8"))
        if outcome == here["llc_outcome"].item() == "converged":
            largest = float(found["llc_complexity"].sel(component=component).max())
            resolved = max(RESOLVED * largest, LEAST)
            yield here["llc_complexity"].item(), here["llc_complexity_mcse"].item(), value, error, resolved


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--references", type=int, default=6, help="checkpoints of the first seed that have one")
    return parser.parse_args()


if __name__ == "__main__":
    main()
