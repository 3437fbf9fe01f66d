"""The search for nβ and γ: which trial comes next, and what the rules make of all of them."""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from ontogeny.sampling import PosteriorConfig

# Tuned on networks and seeds that are not reported; see docs/choosing-temperature.md.
RISE = 0.1  # mean rise of the loss, as a share of the run's total decrease
DESCENT = 0.2  # largest descent at any pilot, as a share of that rise, both in nats
PILOT_RESOLUTION = 1.0  # nats: resolution of a trial, before the run's largest complexity is known
FIRST_RATIO = 0.1  # nβ/γ of the first trial, as in published settings for language models (30/300)
FACTOR = 4.0  # ratio between ρ of successive trials
MOST_TRIALS = 6
AFFORDED = 0.15  # error of a trial below which the budget of an estimate, five times as large, suffices
LEAST_LOCALIZATION = 1.0


class Search:
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
