"""Claims of the many-shot study about log-odds and losses along the context."""

import numpy as np
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.development import curves, nulls
from ontogeny.development.correlations import rank_correlation
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence
from ontogeny.studies.findings import Findings
from ontogeny.studies.many_shot.config import Config

claims = Claims(source="Anil et al., Many-shot jailbreaking, 2024; Arora et al., 2410.16531; in our form")
Rng = np.random.Generator


@claims.add(
    "exact",
    "The exact laws agree with Bayes' rule by brute force",
    expects="posteriors, predictive laws and losses at every position differ by at most 1e-10, over all short words",
    unit="largest difference",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["exact"]
    worst = float(table["difference"])
    return Evidence(worst, worst <= config.thresholds.exact, None, f"{int(table['words'])} words")


@claims.add(
    "bayesian",
    "Before fine-tuning the network weighs evidence as an exact observer does",
    expects="the slope of its log-odds over the exact evidence, 1 for the observer, is 0.8 to 1.25 in the mean over "
    "languages",
    unit="slope",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["behaviour"]
    chosen = table.isel(case=np.flatnonzero(table["network"].values == 0))
    slopes, errors = chosen["slope"].values, chosen["slope_error"].values
    value, half = float(slopes.mean()), Z95 * float(np.sqrt((errors**2).sum())) / len(slopes)
    met = config.thresholds.slope <= value <= 1 / config.thresholds.slope
    prior = [-config.mixture.against(int(language), 0.0) for language in chosen["language"].values]
    control = f"{listed(slopes)}; offsets {listed(chosen['offset'].values)} where the prior is {listed(prior)}; "
    control += f"with tokens shuffled {listed(chosen['slope_shuffled'].values)}"
    return Evidence(value, met, (value - half, value + half), control)


def compared(found: Findings) -> xr.Dataset:
    """The suppressed networks, with offset and slope of the base on the same language beside theirs."""
    table = found["behaviour"]
    base = {int(one["language"]): one for one in rows_of(table) if int(one["network"]) == 0}
    kept = np.flatnonzero((table["network"].values > 0) & np.isfinite(table["shift"].values) & (table["shift"] > 0))
    chosen = table.isel(case=kept)
    before = {
        f"{name}_before": ("case", [float(base[int(language)][name]) for language in chosen["language"].values])
        for name in ("offset", "slope", "offset_error", "slope_error", "crossing")
    }
    return chosen.assign(before)


@claims.add(
    "offset",
    "Fine-tuning shifts the offset of the log-odds as it shifts the prior",
    expects="the ratio of measured to predicted shift of the offset, by least squares, is within a quarter of 1",
    unit="ratio",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = compared(found)
    moved, predicted = (table["offset_before"] - table["offset"]).values, table["shift"].values
    error = np.hypot(table["offset_error"].values, table["offset_error_before"].values)

    def ratio(predicted: np.ndarray) -> float:
        return float((moved * predicted).sum() / (predicted**2).sum())

    null = nulls.permutations(ratio, predicted, rng, count=config.resamples)
    value, half = ratio(predicted), Z95 * float(np.sqrt(((error * predicted) ** 2).sum()) / (predicted**2).sum())
    prior = table["offset_before"].values - predicted
    control = f"shifts {listed(moved)} where {listed(predicted)} are predicted; {_others(found, 'offset')}; "
    control += f"largest distance of an offset from its prediction {abs(table['offset'].values - prior).max():.1f}"
    return Evidence(value, abs(value - 1) <= config.thresholds.offset, (value - half, value + half), control, null)


@claims.add(
    "slope",
    "Fine-tuning leaves the slope, the gain of evidence, as it was",
    expects="the mean |log| of the ratio of slopes after to before is at most 0.2",
    unit="mean |log ratio|",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = compared(found)
    ratio = np.log((table["slope"] / table["slope_before"]).values)
    again = curves.bootstrap(lambda chosen: float(abs(ratio[chosen]).mean()), len(ratio), config.resamples, rng)
    value = float(abs(ratio).mean())
    told = "; ".join(
        f"language {int(one['language'])}, shift {float(one['shift']):g}: {float(one['slope']):.2f} ± "
        f"{Z95 * float(one['slope_error']):.2f} after {float(one['slope_before']):.2f}"
        for one in rows_of(table)
    )
    control = f"{told}; {_others(found, 'slope')}"
    return Evidence(value, value <= config.thresholds.stays, curves.interval(again), control)


@claims.add(
    "crossing",
    "A suppressed language re-emerges after m/d tokens",
    expects="the rank correlation of the lengths at which log-odds cross 0 with n* = m/d is above 0.8, over networks "
    "and languages",
    unit="rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = shifted(found)
    seen, expected = table["crossing"].values, table["expected"].values

    def follows(expected: np.ndarray) -> float:
        return rank_correlation(seen, expected)

    null = nulls.permutations(follows, expected, rng, count=config.resamples)
    crossed = np.isfinite(seen)
    apart = abs(seen - expected)[crossed]
    control = f"{listed(seen)} where n* is {listed(expected)}; median distance {np.median(apart):.1f} tokens; "
    control += f"{int((~crossed).sum())} never cross"
    return Evidence(follows(expected), follows(expected) > config.thresholds.crossing, None, control, null)


def shifted(found: Findings) -> xr.Dataset:
    """Cases with a finite m: the base on each language and the suppressed networks, with `expected`, n* = m/d."""
    table = found["behaviour"]
    kept = ((table["network"] == 0) | (table["shift"] > 0)) & np.isfinite(table["shift"])
    return table.isel(case=np.flatnonzero(kept.values))


@claims.add(
    "laws",
    "The Bayesian law predicts losses at lengths it was not fitted to better than power laws do",
    expects="it has the least error of four laws in more than half of the networks, fitted on the first half of the "
    "lengths and judged on the second, on other sequences",
    unit="share of the networks",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    errors = found["behaviour"]["held_out"].transpose("case", "split", "law")
    names = errors["law"].values.tolist()
    later, between = (errors.sel(split=split).values for split in ("later", "between"))
    place = names.index("Bayesian")
    wins = int((later.argmin(axis=1) == place).sum())
    drawn = rng.binomial(len(later), 1 / len(names), size=4999) / len(later)
    share = wins / len(later)
    null = nulls.simulated("each law as likely to win", share, drawn)
    told = [
        f"{name} {1000 * np.median(errors[:, at]):.0f}" for errors in (later, between) for at, name in enumerate(names)
    ]
    control = f"median error in thousandths of a nat on later lengths: {', '.join(told[: len(names)])}; between: "
    exact = 1000 * float(np.median(shifted(found)["exact_error"].values))
    control += f"{', '.join(told[len(names) :])}; the exact mixture, without a parameter, {exact:.0f}"
    return Evidence(share, share > config.thresholds.wins, None, control, null)


def _others(found: Findings, name: str) -> str:
    """The twin, and the networks that never saw the language in fine-tuning."""
    table = found["behaviour"]
    twin = table.isel(case=np.flatnonzero((table["shift"] == 0) & (table["network"] > 0)))[name].values
    absent = table.isel(case=np.flatnonzero(np.isposinf(table["shift"].values)))[name].values
    return f"{name} of the twin {listed(twin)}, never shown {listed(absent)}"


def rows_of(table: xr.Dataset) -> list[xr.Dataset]:
    """The cases one by one."""
    return [table.isel(case=i) for i in range(table.sizes["case"])]


def listed(values: object) -> str:
    """Numbers as text."""
    return ", ".join(f"{float(value):.2g}" for value in np.atleast_1d(np.asarray(values)))
