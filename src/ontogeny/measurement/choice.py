"""Choice of one nβ and γ for a whole training run from a few pilot checkpoints, with the masses found there."""

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
from ontogeny.sampling import LocalPosterior, Mass, PosteriorConfig, calibrate, sample_until
from ontogeny.stores import read_tree, write_tree

# Tuned on networks and seeds that are not reported; see docs/choosing-temperature.md.
RISE = 0.1  # mean rise of the loss, as a share of the run's total decrease
DESCENT = 0.2  # largest descent at any pilot, as a share of that rise, both in nats
NUM_PILOTS = 4
PILOT_RESOLUTION = 1.0  # nats: resolution of a trial, before the run's largest complexity is known
PILOT = (0.2, 0.1)  # share of an estimate's budget that a trial takes, and the trial's target error
FIRST_RATIO = 0.1  # nβ/γ of the first trial, as in published settings for language models (30/300)
FACTOR = 4.0  # ratio between ρ of successive trials
MOST_TRIALS = 6
MOST_CHECKS = 3  # checks of the choice, each at a smaller ρ if the budget did not suffice
AFFORDED = 0.15  # error of a trial below which the budget of an estimate, five times as large, suffices
_RULE = 3  # raised whenever the rule changes
LEAST_LOCALIZATION = 1.0


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
    pilots = pilot_steps(run.checkpoints.steps)
    kept = _kept(store, keys.of("choice", _RULE, data, loss_fn, posterior, budget, seed, *_origin(run)))
    before = _read(kept, run)
    if before is not None:
        pilots = before["pilot"].values.tolist()
    sample = partial(
        measure_cells, run, store=store, executor=executor, progress=progress, task="choosing temperature", keys=keys
    )

    def trial(nbeta: float, localization: float) -> xr.Dataset:
        there = posterior.model_copy(update={"nbeta": nbeta, "localization": localization})
        return sample(pilots, [Trial(data, loss_fn, there, int(PILOT[0] * budget), seed)])

    if before is not None:
        nbeta, localization = float(before.attrs["nbeta"]), float(before.attrs["localization"])
        return _choice(nbeta, localization, trial(nbeta, localization), before)
    losses = sample(pilots, [Losses({"data": data}, loss_fn, seed=seed)])["loss"].isel(dataset=0).values
    search = _Search(posterior, float(losses[0] - losses.min()), len(Samples.of(data)))
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


def pilot_steps(steps: Sequence[int]) -> list[int]:
    """Checkpoints evenly spaced by index, including the first and the last."""
    places = np.linspace(0, len(steps) - 1, NUM_PILOTS).round().astype(int)
    return [steps[place] for place in dict.fromkeys(places.tolist())]


class _Search:
    """The trials so far, and the setting to try next."""

    def __init__(self, posterior: PosteriorConfig, gain: float, num_samples: int) -> None:
        self._given, self.gain = posterior, gain
        self._default = num_samples / math.log(max(num_samples, 3))
        self.rows: list[tuple[float, float, xr.Dataset]] = []

    @property
    def _both_given(self) -> bool:
        return self._given.nbeta is not None and self._given.localization is not None

    def next(self) -> tuple[float, float] | None:
        """nβ and γ of the next trial; None if no more are needed."""
        if self._both_given or self.gain <= 0 or len(self.rows) == MOST_TRIALS:
            return None
        if not self.rows:
            return self._at(FIRST_RATIO, min(self._default, 100.0))
        ratios = [nbeta / localization for nbeta, localization, _ in self.rows]
        allowed = [self._excess(number) <= 1 for number in range(len(self.rows))]
        nbeta = self._nbeta(self.rows[-1][2])
        if all(allowed):
            largest = max(ratios)
            return None if nbeta / largest <= LEAST_LOCALIZATION else self._at(largest * FACTOR, nbeta)
        return self._at(min(ratios) / FACTOR, nbeta) if not any(allowed) else None

    def add(self, nbeta: float, localization: float, found: xr.Dataset) -> None:
        self.rows.append((nbeta, localization, found))

    def chosen(self, most: float = math.inf) -> tuple[float, float]:
        """Rounded nβ and γ by the rules, with at most this ratio, or the caller's own values."""
        if not self.rows:
            nbeta = self._default if self._given.nbeta is None else self._given.nbeta
            localization = LEAST_LOCALIZATION if self._given.localization is None else self._given.localization
            return nbeta, localization
        order = sorted(range(len(self.rows)), key=lambda number: self.rows[number][0] / self.rows[number][1])
        ratios = np.log([self.rows[number][0] / self.rows[number][1] for number in order])
        excess = np.log(np.maximum([self._excess(number) for number in order], 1e-12))
        complexities = np.log([self._complexity(self.rows[number][2]) for number in order])
        ratio = min(_crossing(ratios, excess, 0.0), math.log(most))
        complexity = math.exp(np.interp(ratio, ratios, complexities))
        nbeta = self._given.nbeta or rounded(complexity / (RISE * self.gain))
        if self._given.localization is not None:
            return nbeta, self._given.localization
        return nbeta, max(rounded(nbeta / math.exp(ratio)), LEAST_LOCALIZATION)

    def unaffordable(self, found: xr.Dataset) -> float:
        """Factor by which the error of a trial at the choice exceeds what the budget affords; 0 where moot."""
        given = self._given.nbeta is not None or self._given.localization is not None
        return 0.0 if given or self.gain <= 0 else self._relative_error(found) / AFFORDED

    def table(self, pilots: Sequence[int], nbeta: float, localization: float) -> xr.Dataset | None:
        """The trials as `reports.fig_choice` draws them."""
        if self._both_given:
            return None
        columns = {
            name: (("pilot", "trial"), np.stack([found[name].values for _, _, found in self.rows], 1))
            for name in ("complexity", "descent", "error")
        }
        betas, gammas = (np.array(column) for column in zip(*((row[0], row[1]) for row in self.rows), strict=True))
        found = xr.Dataset(columns, coords={"pilot": list(pilots)})
        found = found.assign(nbeta=("trial", betas), localization=("trial", gammas))
        found["rise"] = found.complexity / found.nbeta
        return found.assign_attrs(nbeta=nbeta, localization=localization, loss_gain=self.gain)

    def _at(self, ratio: float, nbeta: float) -> tuple[float, float]:
        nbeta = self._given.nbeta or nbeta
        return nbeta, self._given.localization or nbeta / ratio

    def _excess(self, number: int) -> float:
        """Factor by which a trial exceeds the limits of the last two rules: the larger of the two."""
        return max(self._descent(number) / (DESCENT * RISE * self.gain), self._error(number) / AFFORDED)

    def _error(self, number: int) -> float:
        """The error at the nβ that rule 1 gives for this ρ.

        Batches that keep noise down grow with nβ. Chains then take fewer steps, and their errors grow as fast.
        """
        nbeta, _, found = self.rows[number]
        return self._relative_error(found) * self._nbeta(found) / nbeta

    def _relative_error(self, found: xr.Dataset) -> float:
        """The second largest over the pilots."""
        values = np.abs(np.nan_to_num(found["complexity"].values))
        errors = np.nan_to_num(found["error"].values, nan=math.inf)
        relative = np.sort(errors / np.maximum(values, max(float(values.max()) / 4, PILOT_RESOLUTION)))
        return float(relative[-2:][0])

    def _descent(self, number: int) -> float:
        """The largest descent of a pilot in nats: to ŵ, and of its chains below the tangent there."""
        nbeta, _, found = self.rows[number]
        below = found["descent"] + np.maximum(-found["complexity"], 0.0)
        return max(float(np.nanmax(below.values)), 0.0) / nbeta

    def _complexity(self, found: xr.Dataset) -> float:
        known = found["complexity"].values
        return max(float(np.nanmax(known)), 1e-6) if np.isfinite(known).any() else math.nan

    def _nbeta(self, found: xr.Dataset) -> float:
        return self._complexity(found) / (RISE * self.gain)


def rounded(value: float) -> float:
    """The nearest of 1, 1.5, 2, 3, 5 and 7 times a power of ten, by ratio."""
    decade = 10.0 ** math.floor(math.log10(value))
    steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)
    return float(f"{decade * min(steps, key=lambda step: abs(math.log(value / (decade * step)))):.6g}")


def _crossing(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """The largest x at which the line through the points is at or below the level; the smallest x if none is."""
    below = np.flatnonzero(y <= level)
    if not below.size:
        return float(x[0])
    last = int(below[-1])
    if last == len(x) - 1:
        return float(x[last])
    share = (level - y[last]) / (y[last + 1] - y[last])
    return float(x[last] + share * (x[last + 1] - x[last]))


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
