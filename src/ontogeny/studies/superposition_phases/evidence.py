"""Claims of the superposition-phases study."""

import numpy as np
import xarray as xr

from ontogeny.core.intervals import Z95
from ontogeny.development import nulls
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.superposition_phases.config import Config
from ontogeny.studies.superposition_phases.free_energies import MORSE_BOTT, Phase, critical_n
from ontogeny.studies.superposition_phases.polygons import NONE
from ontogeny.studies.superposition_phases.posterior import log_odds, sampled_crossing

claims = Claims(source="Chen et al., 2310.06301")
Rng = np.random.Generator

# The source's table: losses to five decimals, learning coefficients, and the sample size of the transition from 5 to 6.
LOSSES = {"4": 0.11111, "4+": 0.10417, "4++": 0.09722, "5": 0.06874, "5+": 0.06180, "6": 0.04819}
COEFFICIENTS = {"5": 7.0, "5+": 8.5, "6": 8.5}
CRITICAL_N = 601
TERMS = ("loss", "coefficient", "prior_term", "log_volume")


@claims.add(
    "losses",
    "The critical points have the losses of the source",
    expects="to 1e-5, the source's last digit",
    unit="largest difference of the loss",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    exact = found["points"]["loss"].sel(point=list(LOSSES)).values
    apart = np.abs(exact - list(LOSSES.values())).max()
    nearest = np.abs(np.diff(np.sort(exact))).min()
    return Evidence(float(apart), bool(apart < 1e-5), None, f"the nearest two points are {nearest:.4f} apart")


@claims.add(
    "ranks",
    "The Hessian has the rank that the symmetries leave",
    expects="14, 17 and 17 at 5, 5+ and 6",
    unit="points with this rank",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    ranks = 2 * found["points"]["coefficient"].sel(point=list(COEFFICIENTS)).values
    same = ranks == 2 * np.array(list(COEFFICIENTS.values()))
    return Evidence(float(same.sum()), bool(same.all()), None, f"of 18 weights: {', '.join(f'{r:g}' for r in ranks)}")


@claims.add(
    "coefficients",
    "The measured coefficients are the exact ones",
    expects="within 5 % of 7, 8.5 and 8.5 at 5, 5+ and 6",
    unit="largest relative difference",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    values, exact = found["coefficients"]["complexity"].values, np.array([COEFFICIENTS[each] for each in MORSE_BOTT])
    apart = np.abs(values / exact - 1)
    errors = found["coefficients"]["complexity_mcse"].values
    told = "; ".join(f"{n}: {v:.2f} ± {Z95 * e:.2f}" for n, v, e in zip(MORSE_BOTT, values, errors, strict=True))
    control = f"{told}; half the number of weights, 9, is {np.abs(9 / exact - 1).max():.2f} away"
    return Evidence(float(apart.max()), bool((apart < config.error).all()), None, control)


@claims.add(
    "critical-n",
    "Free energies without volumes cross where the source says",
    expects="within 2 % of n = 601 from 5 to 6",
    unit="samples",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    crossing, laplace = (critical_n(*phases(found["points"], ("5", "6")), volumes) for volumes in (False, True))
    control = f"with the volumes of Laplace's approximation {laplace:.0f}"
    return Evidence(crossing, bool(abs(crossing / CRITICAL_N - 1) < 0.02), None, control)


@claims.add(
    "late",
    "Training ends at the critical points",
    expects="nine late checkpoints of ten are at one of them",
    unit="share of the late checkpoints",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    path = found["path"]
    at, late = path["point"].values != NONE, path["step"].values > config.late * path["step"].values[-1]
    ends, counts = np.unique(path["point"].values[:, -1], return_counts=True)
    told = ", ".join(f"{count} at {end}" for end, count in zip(ends, counts, strict=True))
    control = f"of the earlier ones {at[:, ~late].mean():.2f}; {told} at the end"
    return Evidence(float(at[:, late].mean()), bool(at[:, late].mean() >= config.recognised), None, control)


@claims.add(
    "opposed",
    "The coefficient steps up where the loss steps down",
    expects="it is larger after at least 80 % of the transitions at which the loss falls",
    unit="share of the transitions",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    table, values = found["plateaus"], found["measured"]["complexity"].values
    path, point = table["path"].values, table["point"].values
    falls = (np.diff(path) == 0) & (np.diff(table["loss"].values) < 0)
    if not falls.any():
        return NotTested("no path has two plateaus")

    def rises(values: np.ndarray) -> float:
        return float(np.mean((np.diff(values) > 0)[falls]))

    kinds = np.char.add(np.char.add(point[:-1].astype(str), " to "), point[1:].astype(str))[falls]
    up = (np.diff(values) > 0)[falls]
    told = ", ".join(f"{up[kinds == kind].sum()} of {(kinds == kind).sum()} from {kind}" for kind in np.unique(kinds))
    null = nulls.permutations(rises, values, rng, within=path)
    control = f"{told}; in random order {null.typical:.2f}"
    return Evidence(rises(values), rises(values) >= config.opposed, None, control, null)


def phases(points: xr.Dataset, names: tuple[str, str]) -> tuple[Phase, Phase]:
    """Two phases of the table `points`."""

    def made(name: str) -> Phase:
        values = points.sel(point=name)
        loss, coefficient, prior_term, log_volume = (float(values[key]) for key in TERMS)
        rises = points["rise"].values if name == "5" else np.zeros(1)
        return Phase(name, loss, coefficient, prior_term, log_volume, rises)

    return made(names[0]), made(names[1])


def _preferred(found: Findings, config: Config, volumes: bool) -> Evidence:
    """Whether the draws are of the predicted phase at every n far enough from the predicted critical n."""
    posterior, first_second = found["posterior"], phases(found["points"], config.phases)
    critical, other = critical_n(*first_second, volumes), critical_n(*first_second, not volumes)
    n, odds = posterior["n"].values, log_odds(posterior, config.phases)
    far = np.abs(np.log(n / critical)) > np.log(config.apart)
    right = (np.sign(odds) == np.sign(n - critical))[far]
    halves = [sampled_crossing(posterior.sel(start=[start]), config.phases) for start in posterior["start"].values]
    control = f"predicted {critical:.0f}, {'without' if volumes else 'with'} volumes {other:.0f}; sampled "
    control += f"{sampled_crossing(posterior, config.phases):.0f} (from {config.phases[0]} {halves[0]:.0f}, "
    control += f"from {config.phases[1]} {halves[1]:.0f})"
    return Evidence(float(right.mean()), bool(right.all()), None, control)


@claims.add(
    "posterior",
    "The posterior prefers the phase of the lower free energy",
    expects="more draws of 5 below the critical n and of 6 above, at every n away from it by a factor of 1.5",
    unit="share of the values of n",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    return _preferred(found, config, volumes=False)


@claims.add(
    "volumes",
    "The posterior prefers the phase of the lower free energy with the volumes of Laplace's approximation",
    expects="as above, with the critical n of these",
    unit="share of the values of n",
    source="Laplace's approximation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    return _preferred(found, config, volumes=True)
