"""Which samples of the fine-tuning carry a change: their Bayesian influence on the losses that have changed."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ontogeny.comparison.config import CompareConfig
from ontogeny.comparison.networks import Network
from ontogeny.core.protocols import Progress
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive
from ontogeny.development.nulls import simulated
from ontogeny.estimators import influence, llc
from ontogeny.estimators.quantity import finite
from ontogeny.sampling import LocalPosterior, as_sampler, sample, weight_noise

TUNING, HELD = "tuning", "held_out"


def carriers(
    tuned: Network,
    tuning: Samples,
    held: Samples,
    changed: Mapping[str, float],
    sets: Mapping[str, Samples],
    config: CompareConfig,
    seed: int,
    progress: Progress,
) -> xr.Dataset:
    """How much each fine-tuning sample carries each change, by Bayesian influence.

    The posterior of the fine-tuning data around the tuned weights is sampled. More weight on sample i moves the loss ℓⱼ
    by -(nβ/n) Cov(ℓᵢ, ℓⱼ), and

        carried = -sign(change) meanⱼ Corr(ℓᵢ, ℓⱼ)   over the samples j of the dataset

    is positive if the sample, given more weight, would change the loss further. Correlations stand in for covariances,
    which are large for every sample that the network is unsure of. A loss that is constant has none. Held-out trusted
    samples are scored in the same chains, and give

        p = (1 + number of held-out trusted samples that carry at least as much) / (1 + number of them)

    Args:
        tuned: the fine-tuned network.
        tuning: what it was fine-tuned on.
        held: trusted samples that it was not fine-tuned on.
        changed: dataset -> change of its mean loss.
        sets: the datasets.
        config: its `posterior` and `sampler` are used.
        seed, progress: as in `compare`.

    Returns:
        Over `dataset` and `sample`: `carried`, between -1 and 1, and `p_value`; `carried_noise` and `p_value_noise`,
        the same under weight noise at the same distance (nβ = 0). NaN where chains diverged. In `attrs`: `outcome`, the
        verdict on the draws, `nbeta` and `localization`.

    When not to trust it: p-values are of single samples, and hold if clean fine-tuning samples are drawn like trusted
        ones and are not memorised. What weight noise shows as well is likeness of inputs, not evidence of the loss.

    References:
        Kreer et al., "Bayesian Influence Functions for Hessian-Free Data Attribution", arXiv 2509.26544.
    """
    posterior = LocalPosterior(tuned.model, tuning, tuned.posterior.loss_fn, **config.posterior.options())
    # names of datasets are the caller's, and might be those of other observables
    named = {f"changed_{number}": sets[name] for number, name in enumerate(changed)}
    observables = {TUNING: tuning, HELD: held, **named}
    draws = sample(posterior, as_sampler(config.sampler), observables=observables, seed=seed, progress=progress)
    outcome, distances = llc(draws).outcome.value, finite(draws, "sample_stats/distance")
    diverged = not (distances.size and np.isfinite(distances).all())
    chains = {"": draws}
    if not diverged:
        noise_seed = derive(seed, "noise")
        chains["_noise"] = weight_noise(posterior, draws, observables=observables, seed=noise_seed, progress=progress)
    columns = {}
    for suffix in ("", "_noise"):
        here = None if diverged else chains[suffix]
        rows = [_row(here, name, change, len(tuning)) for name, change in zip(named, changed.values(), strict=True)]
        for name, values in zip(("carried", "p_value"), zip(*rows, strict=True), strict=True):
            columns[name + suffix] = (("dataset", "sample"), np.array(values))
    attrs = {"outcome": outcome, "nbeta": posterior.nbeta, "localization": posterior.localization}
    return xr.Dataset(columns, {"dataset": list(changed)}, attrs)


def _row(draws: xr.DataTree | None, observable: str, change: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """What each of `count` fine-tuning samples carries, and its p-value among held-out ones."""
    if draws is None:
        return np.full(count, np.nan), np.full(count, np.nan)
    own, held = (
        -np.sign(change) * np.nan_to_num(influence(draws, name, observable)["correlation"].values).mean(1)
        for name in (TUNING, HELD)
    )
    return own, np.array([simulated("held-out trusted samples", value, held).p_value for value in own])
