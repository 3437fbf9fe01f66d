"""Claims of the memorised-items study."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from ontogeny.development import curves, nulls
from ontogeny.development.correlations import partial_correlation, rank_correlation
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.memorised_items.config import Config

claims = Claims(source="Panickssery and Vaintrob 2023, in our form")
Rng = np.random.Generator
BOTH = 2.24  # standard errors from the middle to the edge of each of two intervals that hold both with 95 %


class Line(NamedTuple):
    """A weighted line of values with known errors: slope and intercept with their errors, and R²."""

    slope: float
    intercept: float
    slope_error: float
    intercept_error: float
    r2: float


def line(x: np.ndarray, y: np.ndarray, errors: np.ndarray) -> Line:
    """Least squares, weighted by 1/error."""
    (slope, intercept), covariance = np.polyfit(x, y, 1, w=1 / errors, cov="unscaled")
    left = y - slope * x - intercept
    r2 = 1 - (left**2).sum() / ((y - y.mean()) ** 2).sum()
    return Line(slope, intercept, covariance[0, 0] ** 0.5, covariance[1, 1] ** 0.5, r2)


def of_tables(found: Findings, kind: str, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """λ̂ of each table and its error, at fixed nβ/N or at the same nβ."""
    each = [found[f"{kind}-{n}"] for n in config.tables.items]
    value, error = (np.array([float(item[name].squeeze()) for item in each]) for name in ("llc", "llc_mcse"))
    return value, error


@claims.add(
    "linear",
    "The coefficient of look-up tables is linear in the items, at fixed nβ/N",
    expects="slope and intercept are those of the exact values within intervals that hold both with 95 %, and R² is "
    "above 0.99",
    unit="nats an item",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    items, exact = np.array(config.tables.items, float), found["exact"]["llc"].values
    value, error = of_tables(found, "fixed", config)
    ours, true = line(items, value, error), line(items, exact, error)
    same = line(items, *of_tables(found, "same", config))
    apart = (value - exact) / error
    half, other = BOTH * ours.slope_error, BOTH * ours.intercept_error
    inside = abs(ours.slope - true.slope) < half and abs(ours.intercept - true.intercept) < other
    control = f"exact {true.slope:.4f}; intercept {ours.intercept:.2f} ± {other:.2f}, exact "
    control += f"{true.intercept:.2f}; R² {ours.r2:.4f}, at one nβ {same.r2:.3f}; from the exact values "
    control += f"{apart.min():.1f} to {apart.max():.1f} errors"
    met = bool(inside and ours.r2 > config.straight)
    return Evidence(ours.slope, met, (ours.slope - half, ours.slope + half), control)


def beside(found: Findings, config: Config) -> xr.Dataset | NotTested:
    """The networks that have learned all pairs: exceptions, λ̂, loss and witnesses."""
    table = found["witnesses"]
    value, loss = found["beside"]["llc_complexity"].values.ravel(), found["beside"]["loss"].values.ravel()
    table = table.assign(complexity=("network", value), loss=("network", loss))
    learned = (table["accuracy"] >= config.learned).values
    if learned.sum() < 8:
        return NotTested(f"{learned.sum()} networks have learned all pairs; 8 are needed")
    return table.isel(network=learned)


@claims.add(
    "exceptions",
    "Beside a rule, each memorised exception adds to the coefficient",
    expects="the slope of λ̂ over the number of exceptions, at one n, nβ and γ, is above 0 with its interval",
    unit="nats an exception",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    table = beside(found, config)
    if isinstance(table, NotTested):
        return table
    count, value = table["exceptions"].values, table["complexity"].values

    def slope(count: np.ndarray, chosen: np.ndarray | slice = slice(None)) -> float:
        return float(np.polyfit(count[chosen], value[chosen], 1)[0])

    again = curves.bootstrap(lambda chosen: slope(count, chosen), len(count), config.resamples, rng)
    interval = curves.interval(again)
    null = nulls.permutations(slope, count, rng, count=999)
    means = {int(n): value[count == n].mean() for n in np.unique(count)}
    told = ", ".join(f"{mean:.1f} with {n}" for n, mean in means.items())
    loss = table["loss"].values
    given = partial_correlation(value, count, np.log(loss)[:, None])
    control = f"{told}; {len(count)} networks; R² of the line {np.corrcoef(count, value)[0, 1] ** 2:.2f}; partial "
    control += f"correlation given log training loss {given:.2f}"
    return Evidence(slope(count), interval[0] > 0, interval, control, null)


def _witness(found: Findings, config: Config, rng: Rng, name: str) -> Evidence | NotTested:
    table = beside(found, config)
    if isinstance(table, NotTested):
        return table
    value, other = table["complexity"].values, table[name].values

    def correlation(other: np.ndarray, chosen: np.ndarray | slice = slice(None)) -> float:
        return rank_correlation(value[chosen], other[chosen])

    again = curves.bootstrap(lambda chosen: correlation(other, chosen), len(value), config.resamples, rng)
    interval = curves.interval(again[np.isfinite(again)])
    null = nulls.permutations(correlation, other, rng, count=999)
    count = table["exceptions"].values
    means = [np.array([each[count == n].mean() for n in count]) for each in (value, other)]
    control = f"from {other.min():.3g} to {other.max():.3g}; within a number of exceptions "
    control += f"{rank_correlation(value - means[0], other - means[1]):.2f}; of the number of exceptions "
    control += f"{rank_correlation(count, other):.2f}, of the norm {rank_correlation(table['norm'].values, other):.2f}"
    return Evidence(correlation(other), interval[0] > 0, interval, control, null)


COMPRESSIBILITY = "Compressibility measures complexity, 2510.12077, in our form"


@claims.add(
    "bits",
    "Networks with larger coefficients need more bits a weight",
    expects="the rank correlation of λ̂ and critical bits is above 0 with its interval",
    unit="rank correlation",
    source=COMPRESSIBILITY,
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    return _witness(found, config, rng, "bits")


@claims.add(
    "rank",
    "Networks with larger coefficients need a larger rank",
    expects="the rank correlation of λ̂ and critical rank is above 0 with its interval",
    unit="rank correlation",
    source=COMPRESSIBILITY,
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    return _witness(found, config, rng, "rank")
