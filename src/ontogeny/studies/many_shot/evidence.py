"""Claims of the many-shot study."""

import numpy as np
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.development import curves, nulls
from ontogeny.development.correlations import rank_correlation
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.many_shot.changes import change_point
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
    control = f"{_listed(slopes)}; offsets {_listed(chosen['offset'].values)} where the prior is {_listed(prior)}; "
    control += f"with tokens shuffled {_listed(chosen['slope_shuffled'].values)}"
    return Evidence(value, met, (value - half, value + half), control)


def compared(found: Findings) -> xr.Dataset:
    """The suppressed networks, with offset and slope of the base on the same language beside theirs."""
    table = found["behaviour"]
    base = {int(one["language"]): one for one in _rows(table) if int(one["network"]) == 0}
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
    control = f"shifts {_listed(moved)} where {_listed(predicted)} are predicted; {_others(found, 'offset')}; "
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
        for one in _rows(table)
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
    control = f"{_listed(seen)} where n* is {_listed(expected)}; median distance {np.median(apart):.1f} tokens; "
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


def change_points(found: Findings, config: Config, rng: Rng) -> xr.Dataset:
    """Over cases with a finite m: change points of λ_k, its bootstrap error over sequences, of weight noise and of the
    loss, with `expected`.
    """
    table, rows = shifted(found), list[dict[str, float]]()
    for one in _rows(table):
        here = found[f"positions-{int(one['network'])}"].isel(part=0)
        here = here.sel(set=f"language {int(one['language'])}").transpose("sequence", "length")
        lengths, rise = here["length"].values, here["rise"].values
        again = curves.bootstrap(
            lambda chosen, rise=rise, lengths=lengths: change_point(lengths, rise[chosen].mean(0)), len(rise), 199, rng
        )
        noise, loss = here["rise_noise"].values.mean(0), here["loss"].values
        points = {"point": change_point(lengths, rise.mean(0)), "error": float(again.std())}
        points |= {"noise": change_point(lengths, noise), "loss": change_point(lengths, loss)}
        rows.append(points | {"expected": float(one["expected"]), "converged": float(here["outcome"] == "converged")})
    return xr.Dataset({name: ("case", [row[name] for row in rows]) for name in rows[0]})


@claims.add(
    "change-point",
    "The coefficient by position changes where the language re-emerges",
    expects="the rank correlation of the change points of λ_k with n* = m/d is above 0.8, and the median distance is "
    "at most 3 tokens",
    unit="rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = change_points(found, config, rng)
    seen, expected = table["point"].values, table["expected"].values

    def follows(expected: np.ndarray) -> float:
        return rank_correlation(seen, expected)

    null = nulls.permutations(follows, expected, rng, count=config.resamples)
    apart = abs(seen - expected)
    pairs = zip(seen, table["error"].values, expected, strict=True)
    told = ", ".join(f"{point:.1f} ± {error:.1f} ({star:.1f})" for point, error, star in pairs)
    control = f"{told}; median distance {np.median(apart):.1f}; at nβ = 0 the correlation is "
    control += f"{rank_correlation(table['noise'].values, expected):.2f}, of the loss "
    control += f"{rank_correlation(table['loss'].values, expected):.2f}; "
    control += f"{int(table['converged'].sum())} of {len(seen)} converged"
    met = follows(expected) > config.thresholds.crossing and np.median(apart) <= config.thresholds.tokens
    return Evidence(follows(expected), bool(met), None, control, null)


@claims.add(
    "beyond-noise",
    "Those change points are nearer to n* than those of weight noise and of the loss",
    expects="the median distance is smaller by more than a token than the smaller of both",
    unit="tokens",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = change_points(found, config, rng)
    apart = {name: abs(table[name] - table["expected"]).values for name in ("point", "noise", "loss")}
    rival = min(("noise", "loss"), key=lambda name: float(np.median(apart[name])))

    def nearer(signs: np.ndarray) -> float:
        swapped = np.where(signs > 0, [apart["point"], apart[rival]], [apart[rival], apart["point"]])
        return float(np.median(swapped[1]) - np.median(swapped[0]))

    drawn = np.array([nearer(rng.choice([-1, 1], len(apart[rival]))) for _ in range(config.resamples)])
    value = nearer(np.ones(len(apart[rival])))
    null = nulls.simulated("measures exchanged in each network", value, drawn)
    control = ", ".join(f"{name} {np.median(each):.1f}" for name, each in apart.items())
    return Evidence(value, value > 1, None, f"median distances: {control}", null)


@claims.add(
    "flat",
    "Where one language is certain, the coefficient does not change along the context",
    expects="the difference of λ_k between its two levels is less than half of that in the network in which the same "
    "language is suppressed most",
    unit="ratio of the differences",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["behaviour"]
    alone = int(table["network"].values[np.isneginf(table["shift"].values)][0])
    language = int(table["language"].values[np.isneginf(table["shift"].values)][0])
    wanted = (table["language"] == language) & (table["shift"] == max(config.shifts))
    suppressed = int(table["network"].values[wanted.values][0])
    steps = [_step(found[f"positions-{number}"], language) for number in (alone, suppressed)]
    again = np.array([_step(found[f"positions-{alone}"], language, rng) for _ in range(199)]) / steps[1]
    value = steps[0] / steps[1]
    control = f"{steps[0]:.1f} beside {steps[1]:.1f} nats"
    return Evidence(value, abs(value) < 0.5, curves.interval(again), control)


@claims.add(
    "heads",
    "Heads answer to later positions once the language is suppressed",
    expects="the change point of |χ(k)| is later than in the base for more than half of the heads",
    unit="share of the heads",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    if not config.heads:
        return NotTested("heads were not sampled")
    language = len(config.mixture.weights) - 1
    strongest = config.arms().index((language, max(config.shifts))) + 1
    before, after = (found[f"heads-{number}"].sel(set=f"language {language}") for number in (0, strongest))
    points = [
        [change_point(one["length"].values, abs(one[name].sel(part=part).values)) for part in one["part"].values]
        for one in (before, after)
        for name in ("susceptibility", "susceptibility_noise")
    ]
    first, first_noise, second, second_noise = np.array(points)
    later, tied = int((second > first).sum()), int((second == first).sum())
    null = nulls.even_odds(later, len(first) - tied)
    control = f"{_listed(first)} before, {_listed(second)} after; at nβ = 0 {_listed(first_noise)} and "
    control += f"{_listed(second_noise)}"
    return Evidence(later / len(first), later > len(first) / 2, None, control, null)


def _step(positions: xr.Dataset, language: int, rng: Rng | None = None) -> float:
    """λ_k in the second half of the lengths less its value at the first three."""
    rise = positions.isel(part=0).sel(set=f"language {language}")["rise"].transpose("sequence", "length").values
    chosen = rise if rng is None else rise[rng.integers(len(rise), size=len(rise))]
    mean = chosen.mean(axis=0)
    return float(mean[len(mean) // 2 :].mean() - mean[:3].mean())


def _others(found: Findings, name: str) -> str:
    """The twin, and the networks that never saw the language in fine-tuning."""
    table = found["behaviour"]
    twin = table.isel(case=np.flatnonzero((table["shift"] == 0) & (table["network"] > 0)))[name].values
    absent = table.isel(case=np.flatnonzero(np.isposinf(table["shift"].values)))[name].values
    return f"{name} of the twin {_listed(twin)}, never shown {_listed(absent)}"


def _rows(table: xr.Dataset) -> list[xr.Dataset]:
    return [table.isel(case=i) for i in range(table.sizes["case"])]


def _listed(values: object) -> str:
    return ", ".join(f"{float(value):.2g}" for value in np.atleast_1d(np.asarray(values)))
