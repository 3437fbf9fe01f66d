"""Claims of the study of networks of equal loss."""

import numpy as np
import xarray as xr

from ontogeny.development import nulls
from ontogeny.studies.claims import Claims
from ontogeny.studies.equal_loss.config import Config
from ontogeny.studies.equal_loss.recipe import PAIRS
from ontogeny.studies.evidence import Evidence
from ontogeny.studies.findings import Findings

claims = Claims(source="Pepin Lehalleur et al., 2502.05475, in our form")
Rng = np.random.Generator
CHEAP = {
    "loss": "training loss",
    "norm": "norm of the weights",
    "dimension": "dimension of what the last layer reads",
    "readout": "readout of the state that one algorithm needs (R²)",
}


def instruments(found: Findings, pair: str) -> xr.Dataset:
    """`value` and its own `error`, NaN where there is none, over (instrument, algorithm, network)."""
    geometry, coefficients, responses = (found[f"{name}-{pair}"] for name in ("geometry", "coefficients", "responses"))
    measured = {title: (geometry[name], geometry[f"{name}_error"]) for name, title in CHEAP.items()}
    measured["norm of the weights"] = (geometry["norm"], geometry["norm"] * np.nan)
    for part in coefficients["component"].values:
        own = coefficients.sel(component=part).squeeze("dataset")
        name = "coefficient" if part == "all" else f"coefficient of {part}"
        measured[name] = (own["llc_complexity"], own["llc_complexity_mcse"])
    own = responses.squeeze("component").isel(perturbation=0)
    measured["susceptibility to a group of samples"] = (own["susceptibility"], own["mcse"])
    own = responses.squeeze("component").isel(probe=1)
    measured["cross-coefficient of a group of samples"] = (own["cross_llc"], own["cross_llc_mcse"])
    shape = (len(measured), 2, -1)
    value, error = (np.stack([each[i].values for each in measured.values()]).reshape(shape) for i in (0, 1))
    dims = ("instrument", "algorithm", "network")
    return xr.Dataset(
        {"value": (dims, value), "error": (dims, error)},
        {"instrument": list(measured), "algorithm": list(PAIRS[pair])},
    )


def told(table: xr.Dataset, certain: float) -> xr.Dataset:
    """Over instruments: the share of pairs of two algorithms, `told`, and of two networks of one algorithm, `alarms`,
    further apart than `certain` errors; and `separation`, the distance of the means in standard deviations of networks.
    """
    value, error = (table[name].transpose("instrument", "algorithm", "network").values for name in ("value", "error"))

    def share(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Of pairs of networks (…, value or error), over instruments; NaN without errors."""
        apart = np.abs(one[0] - other[0]) / np.hypot(one[1], other[1])
        return np.where(np.isfinite(apart).all(1), (apart > certain).mean(1), np.nan)

    both = np.stack([value, error])
    even = value.shape[2] // 2 * 2
    twins = [both[..., start:even:2].reshape(2, len(value), -1) for start in (0, 1)]
    spread = np.sqrt(value.var(2, ddof=1).mean(1))
    return xr.Dataset(
        {
            "told": ("instrument", share(both[:, :, 0], both[:, :, 1])),
            "alarms": ("instrument", share(*twins)),
            "separation": ("instrument", (value[:, 0].mean(1) - value[:, 1].mean(1)) / spread),
        },
        {"instrument": table["instrument"].values},
    )


def _matched(found: Findings, config: Config, pair: str) -> Evidence:
    geometry = found[f"geometry-{pair}"]
    loss, rest = (geometry[name].values.reshape(2, -1) for name in ("loss", "rest"))
    apart = np.abs(loss[0] - loss[1])
    first, second = PAIRS[pair]
    ranges = [f"{each.min():.2f} to {each.max():.2f}" for each in rest]
    said = (
        f"accuracy outside of training by the rule of {first} networks: {ranges[0]}, of {second} networks {ranges[1]}"
    )
    said += f"; losses {loss.min():.4f} to {loss.max():.4f}"
    met = bool((apart <= config.close).all() and (rest[0] >= config.rule).all() and (rest[1] <= 1 - config.rule).all())
    return Evidence(float(apart.max()), met, None, said)


def _coefficient(found: Findings, config: Config, rng: Rng, pair: str) -> Evidence:
    table = instruments(found, pair).sel(instrument=["coefficient"])
    value = table["value"].values[0]
    labels = np.repeat([True, False], value.shape[1])

    def distance(labels: np.ndarray) -> float:
        return float(abs(value.ravel()[labels].mean() - value.ravel()[~labels].mean()))

    null = nulls.permutations(distance, labels, rng, count=config.resamples)
    seen = told(table, config.certain).isel(instrument=0)
    said = " against ".join(
        f"{each.mean():.1f} ± {each.std(ddof=1):.1f} ({name})" for name, each in zip(PAIRS[pair], value, strict=True)
    )
    said += f", mean and standard deviation of networks; told apart by its own error {float(seen['told']):.2f} of pairs"
    said += f", and {float(seen['alarms']):.2f} of pairs of one algorithm"
    separation = abs(float(seen["separation"]))
    return Evidence(separation, separation >= config.separation, None, said, null)


@claims.add(
    "sums-matched",
    "Networks that add and networks that remember have the same training loss",
    expects="each pair within 0.005 nats; test accuracy above 0.9 of all that add, and below 0.1 of all that remember",
    unit="largest difference, nats",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    return _matched(found, config, "sums")


@claims.add(
    "sums-told-apart",
    "The coefficient tells adding from remembering at equal loss",
    expects="the mean coefficients of both are at least 3 standard deviations of networks apart",
    unit="standard deviations",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    return _coefficient(found, config, rng, "sums")


@claims.add(
    "brackets-matched",
    "Networks that count and networks that match nested brackets have the same training loss",
    expects="each pair within 0.005 nats; of sequences on which the rules differ, those that nest call above 0.9 "
    "unbalanced, and those that count below 0.1",
    unit="largest difference, nats",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    return _matched(found, config, "brackets")


@claims.add(
    "brackets-told-apart",
    "The coefficient tells counting from nesting at equal loss",
    expects="the mean coefficients of both are at least 3 standard deviations of networks apart",
    unit="standard deviations",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    return _coefficient(found, config, rng, "brackets")
