"""Choice of one nβ and γ for a whole training run from a few pilot checkpoints, with the masses found there."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive
from ontogeny.estimators import llc
from ontogeny.execution import Executor
from ontogeny.measurement.jobs import Run, measure_cells
from ontogeny.measurement.keys import Keys
from ontogeny.measurement.protocol import Cell
from ontogeny.measurement.quantities import Losses
from ontogeny.measurement.search import MOST_TRIALS, PILOT_RESOLUTION, Search
from ontogeny.sampling import LocalPosterior, Mass, PosteriorConfig, calibrate, sample_until
from ontogeny.stores import read_tree, write_tree

NUM_PILOTS = 4
PILOT = (0.2, 0.1)  # share of an estimate's budget that a trial takes, and the trial's target error
MOST_CHECKS = 3  # checks of the choice, each at a smaller ρ if the budget did not suffice
_RULE = 3  # raised whenever the rule changes


@dataclass(frozen=True)
class Choice:
    """The posterior settings of a training run, and how they were chosen.

    Attributes:
        nbeta, localization: one value for all checkpoints and components.
        masses: step of a pilot -> the mass found by its calibration.
        largest: largest complexity of the whole network over the pilots; 0 without trials.
        trials: Dataset over `pilot` and `trial`, for `reports.fig_choice`; None if both values were given.
    """

    nbeta: float
    localization: float
    masses: dict[int, Mass] = field(default_factory=dict, repr=False)
    largest: float = 0.0
    trials: xr.Dataset | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Trial:
    """A short calibrated estimate of the whole network at one nβ and γ: complexity, descent and mass."""

    data: Any
    loss_fn: LossFn
    posterior: PosteriorConfig
    budget: int
    seed: int
    name: str = "pilot"

    def cells(self) -> Sequence[Cell]:
        inputs = (self.data, self.loss_fn, self.posterior, self.budget, self.seed)
        shown = f"pilot at nβ {self.posterior.nbeta:.3g}, γ {self.posterior.localization:.3g}"
        return [Cell(shown, self._at, inputs, weight=3 * self.budget / 1000)]

    def _at(self, model: nn.Module, step: int, progress: Progress) -> xr.Dataset:
        posterior = LocalPosterior(model, self.data, self.loss_fn, **self.posterior.options())
        options = {"seed": derive(self.seed, "pilot", step), "budget": self.budget, "progress": progress}
        calibration = calibrate(posterior, resolution=PILOT_RESOLUTION, **options)
        estimate = llc(sample_until(posterior, calibration, error=PILOT[1], **options))
        found = calibration.mass.values.items()
        mass = {f"mass:{name}": (f"entry of {name}", value.flatten().cpu().numpy()) for name, value in found}
        numbers = {"complexity": estimate.complexity, "descent": estimate.descent, "outcome": estimate.outcome.value}
        numbers |= {"error": estimate.complexity_mcse}
        return xr.Dataset(numbers | mass)


def choose(
    run: Run,
    data: Any,
    loss_fn: LossFn,
    posterior: PosteriorConfig,
    *,
    budget: int,
    seed: int,
    store: Path | None,
    executor: Executor | None,
    progress: Progress,
    keys: Keys,
) -> Choice:
    """Choose nβ and γ by three rules, from trials at pilot checkpoints evenly spaced over the run.

    For a quadratic loss, complexity and descent in nats, the minimum of L + |w - w*|²/2ρ, depend only on ρ = nβ/γ.
    Hence the rules:

    1. At the pilot where it is highest, the posterior's mean loss lies above L(w*) by a tenth of ΔL, the run's decrease
       in loss: nβ = max complexity / (0.1 ΔL). This rise is the resolution at which structure is seen.
    2. Descent is at most a fifth of that rise at every pilot, so that the coefficient describes the checkpoint and not
       a minimum far below it. ρ is the largest for which this holds, with γ at least 1. A negative complexity, where
       chains go below the tangent of the loss, counts as descent.
    3. The budget suffices: a trial's error exceeds 15 % at no more than one pilot. The error is relative to the
       complexity, to a quarter of the largest complexity, or to one nat, whichever is largest. A smaller ρ has a
       smaller complexity. Rule 1 then gives a smaller nβ, with less minibatch noise.

    Of a remote run that keeps only some of its checkpoints on disk, so many are pilots: the first and the last of two.

    The choice is then tried itself, and again at a smaller ρ if the budget does not suffice after all.

    Trials vary ρ by factors of four, starting from 0.1, until the last two rules are bracketed. Between trials,
    descent, error and complexity are interpolated as powers of ρ. Both values are rounded to 1, 1.5, 2, 3, 5 or 7 times
    a power of ten. Values given by the caller are kept. If the loss does not decrease over the run, nβ is n / log n.

    Args:
        budget: per-sample gradients of one estimate; a trial takes a fifth of it.

    Returns:
        The choice, with the masses of a last trial at the chosen values. A stored choice for the same network, data and
        first checkpoint is reused, so that a run that has grown is measured at its original values.
    """
    pilots = pilot_steps(run.checkpoints.steps, run.checkpoints.at_once)
    kept = _kept(store, keys.of("choice", _RULE, data, loss_fn, posterior, budget, seed, *_origin(run)))
    before = _read(kept, run)
    if before is not None:
        pilots = before["pilot"].values.tolist()
    sample = partial(
        measure_cells, run, store=store, executor=executor, progress=progress, keys=keys, task="choosing nβ and γ"
    )
    number = itertools.count(1)

    def trial(nbeta: float, localization: float) -> xr.Dataset:
        there = posterior.model_copy(update={"nbeta": nbeta, "localization": localization})
        task = f"choosing nβ and γ, trial {next(number)} of at most {MOST_TRIALS + MOST_CHECKS}"
        return sample(pilots, [Trial(data, loss_fn, there, int(PILOT[0] * budget), seed)], task=task)

    if before is not None:
        nbeta, localization = float(before.attrs["nbeta"]), float(before.attrs["localization"])
        return _choice(nbeta, localization, trial(nbeta, localization), before)
    losses = sample(pilots, [Losses({"data": data}, loss_fn, seed=seed)])["loss"].isel(dataset=0).values
    search = Search(posterior, float(losses[0] - losses.min()), len(Samples.of(data)))
    while (setting := search.next()) is not None:
        search.add(*setting, trial(*setting))
    most = math.inf
    for _ in range(MOST_CHECKS):
        nbeta, localization = search.chosen(most)
        search.add(nbeta, localization, last := trial(nbeta, localization))
        if (excess := search.unaffordable(last)) <= 1:
            break
        most = nbeta / localization / max(excess, 1.5)
    table = search.table(pilots, nbeta, localization)
    if kept is not None and table is not None:
        write_tree(kept, table)
    return _choice(nbeta, localization, last, table)


def _choice(nbeta: float, localization: float, last: xr.Dataset, trials: xr.Dataset | None) -> Choice:
    known = last["complexity"].values
    largest = max(float(np.nanmax(known)), 0.0) if np.isfinite(known).any() else 0.0
    return Choice(nbeta, localization, _masses(last), largest, trials)


def _origin(run: Run) -> tuple[Any, ...]:
    """What stays fixed in a growing run: its network and its first checkpoint."""
    first = run.checkpoints.steps[0]
    return run.model_fn, first, run.checkpoints.checksum(first)


def _kept(store: Path | None, key: str) -> Path | None:
    return None if store is None else store / "choice" / f"{key[:24]}.zarr"


def _read(kept: Path | None, run: Run) -> xr.Dataset | None:
    """A stored choice, unless the checkpoints it was made at are gone."""
    if kept is None or not kept.exists():
        return None
    found = read_tree(kept).to_dataset()
    return found if set(found["pilot"].values.tolist()) <= set(run.checkpoints.steps) else None


def pilot_steps(steps: Sequence[int], at_once: int | None = None) -> list[int]:
    """Checkpoints evenly spaced by index, including the first and the last: four, or as many as are within reach.

    Trials go round all pilots again and again, so pilots beyond that number would be fetched at every trial.
    """
    number = NUM_PILOTS if at_once is None else min(NUM_PILOTS, at_once)
    places = np.linspace(0, len(steps) - 1, number).round().astype(int)
    return [steps[place] for place in dict.fromkeys(places.tolist())]


def _masses(trials: xr.Dataset) -> dict[int, Mass]:
    """The mass of each pilot, from the variables of its trial."""
    found: dict[int, Mass] = {}
    names = [str(name) for name in trials.data_vars if str(name).startswith("mass:")]
    for step in trials["step"].values.tolist():
        values = {
            name.removeprefix("mass:"): torch.from_numpy(trials[name].sel(step=step).values.copy()) for name in names
        }
        found[step] = Mass(values, dict.fromkeys(values))
    return found
