"""The values that samplers are held against, and the script that makes and stores them.

`python -m ontogeny.testing.reference` makes those that are not stored yet, with names of cases behind it these again.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from arviz_stats.base import array_stats
from jaxtyping import Float

from ontogeny.core.losses import LossFn
from ontogeny.testing.cases import CASES, Case, Reference, Target, store_references, stored_references
from ontogeny.testing.classification import Interpolator
from ontogeny.testing.curvature import FlatLoss
from ontogeny.testing.gibbs import gibbs_energies
from ontogeny.testing.hmc import run_hmc, tempered
from ontogeny.testing.linear_networks import DeepLinear
from ontogeny.testing.regression import LinearRegression
from ontogeny.testing.superposition import Superposition

SEEDS = (0, 1)


def reference(
    target: Target, nbeta: float, localization: float = 1.0, *, num_chains: int = 8, num_draws: int = 400
) -> Reference:
    """nβ (E[L(w)] - L(w*)) of a target, exactly or by two independent runs over all data in float64.

    Linear regression has an exact answer. Deep linear networks are drawn layer by layer (`gibbs_energies`), everything
    else by `reference_by_hmc` with fewer but dearer draws.

    Args:
        target: model, data and loss.
        nbeta, localization: n·β and γ > 0.
        num_chains, num_draws: of each run; more draws come first and are dropped.
    """
    center_loss = loss_at_center(target)
    if isinstance(target, LinearRegression):
        value = target.llc(nbeta, localization)
        return Reference(value, 0.0, (value,), 1.0, nbeta, localization, center_loss, "exact")
    if isinstance(target, DeepLinear):
        potential, counts = target.potential(nbeta), {"num_chains": num_chains, "num_draws": num_draws}
        runs = [gibbs_energies(potential, target.weights, localization, **counts, seed=seed) for seed in SEEDS]
        return summarize(runs, nbeta, localization, center_loss, "layerwise Gibbs")
    few = isinstance(target, (Interpolator, Superposition))
    loss = FlatLoss(target.model(), target.condensed() if few else target.data(), target.loss)
    # With few rows chains cost next to nothing, and steps their overhead; with many both cost what they compute.
    counts = (2 * num_chains, num_draws // 3, 96) if few else (num_chains, num_draws // 2, 16)
    names = ("num_chains", "num_draws", "num_leapfrogs")
    found = reference_by_hmc(loss, nbeta, localization, **dict(zip(names, counts, strict=True)))
    return replace(found, loss_at_center=center_loss)


def reference_by_hmc(
    loss: FlatLoss,
    nbeta: float,
    localization: float = 1.0,
    *,
    num_chains: int = 8,
    num_draws: int = 200,
    num_leapfrogs: int = 128,
) -> Reference:
    """nβ (E[L(w)] - L(w*)) under exp(-nβ L(w) - (γ/2)|w - w*|²), for any model, data and loss.

    Read `rhat` before `value`: where chains do not cross between parts of the posterior, no number of draws helps.

    Args:
        loss: `FlatLoss(model, data, loss_fn)`, with w* the model's present weights.
        nbeta, localization: n·β and γ > 0.
        num_chains, num_draws, num_leapfrogs: of each of two runs, as `run_hmc` takes them.
    """
    counts = {"num_chains": num_chains, "num_draws": num_draws, "num_leapfrogs": num_leapfrogs}
    potential = tempered(loss, nbeta)
    runs = [run_hmc(potential, loss.center, localization, **counts, seed=seed).energies for seed in SEEDS]
    return summarize(runs, nbeta, localization, float(loss(loss.center)), "HMC")


def summarize(
    runs: Sequence[Float[np.ndarray, "chain draw"]], nbeta: float, localization: float, center_loss: float, sampler: str
) -> Reference:
    """Independent runs of energies as one value; their disagreement is part of its error."""
    values = [float(run.mean()) for run in runs]
    errors = [float(array_stats.mcse(run, method="mean", chain_axis=0, draw_axis=1)) for run in runs]
    error = max(math.hypot(*errors) / len(runs), (max(values) - min(values)) / 2)
    rhat = max(float(array_stats.rhat(run, chain_axis=0, draw_axis=1)) for run in runs)
    value = float(np.mean(values))
    return Reference(value, error, tuple(values), rhat, nbeta, localization, center_loss, sampler)


def loss_at_center(target: Target) -> float:
    """L(w*) of all data, summed in float64."""
    with torch.no_grad():
        loss: LossFn = target.loss
        return float(loss(target.model(), target.data()).double().mean())


def make(cases: Sequence[Case]) -> None:
    """Compute and store the values of `cases`, each as soon as it is there."""
    for case in cases:
        found = reference(case.make(), case.nbeta, case.localization)
        store_references(stored_references() | {case.name: found})
        sys.stdout.write(f"{case.name}: {found.value:.3f} ± {found.standard_error:.3f}, R-hat {found.rhat:.3f}\n")
        sys.stdout.flush()


def main(names: Sequence[str]) -> None:
    """Make the values of the named cases, or of those that have none."""
    chosen = [case for case in CASES if (case.name in names if names else case.name not in stored_references())]
    make(chosen)


if __name__ == "__main__":
    main(sys.argv[1:])
