"""Claims of the many-shot study about coefficients and susceptibilities by position."""

import numpy as np
import xarray as xr

from ontogeny.development import curves, nulls
from ontogeny.development.correlations import rank_correlation
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.many_shot.changes import change_point
from ontogeny.studies.many_shot.config import Config
from ontogeny.studies.many_shot.evidence import Rng, claims, listed, rows_of, shifted


def change_points(found: Findings, config: Config, rng: Rng) -> xr.Dataset:
    """Over cases with a finite m: change points of λ_k, its bootstrap error over sequences, of weight noise and of the
    loss, with `expected`.
    """
    table, rows = shifted(found), list[dict[str, float]]()
    for one in rows_of(table):
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
    control = f"{listed(first)} before, {listed(second)} after; at nβ = 0 {listed(first_noise)} and "
    control += f"{listed(second_noise)}"
    return Evidence(later / len(first), later > len(first) / 2, None, control, null)


def _step(positions: xr.Dataset, language: int, rng: Rng | None = None) -> float:
    """λ_k in the second half of the lengths less its value at the first three."""
    rise = positions.isel(part=0).sel(set=f"language {language}")["rise"].transpose("sequence", "length").values
    chosen = rise if rng is None else rise[rng.integers(len(rise), size=len(rise))]
    mean = chosen.mean(axis=0)
    return float(mean[len(mean) // 2 :].mean() - mean[:3].mean())
