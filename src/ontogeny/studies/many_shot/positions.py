"""Coefficients and susceptibilities at every position of a context, from one posterior of the whole sequences."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from torch import Tensor, nn

from ontogeny.core.draws import settings_of
from ontogeny.core.losses import next_token
from ontogeny.core.samples import Samples
from ontogeny.core.seeds import derive
from ontogeny.estimators import llc
from ontogeny.estimators.quantity import at_center, per_sample
from ontogeny.estimators.summary import summarize
from ontogeny.sampling import Calibrated, Fixed, LocalPosterior, PosteriorConfig, weight_noise

_BASE = "mixture"
Weights = dict[str, Tensor]


def by_position(
    make: Callable[[], nn.Module],
    weights: Weights,
    data: Tensor,
    sets: Mapping[str, Tensor],
    part: str,
    posterior: PosteriorConfig,
    sampler: Calibrated | Fixed,
    seed: int,
) -> xr.Dataset:
    """λ_k and χ(k) of a network or a part on each set, from one posterior on the data, and the same at nβ = 0.

    λ_k = nβ E[L_k(w) − L_k(w*)], with L_k the loss on the token after k tokens of the set. Its mean over k is the
    uncorrected cross-coefficient of the set. χ(k) = −Cov(φ, L_k − L), with φ the loss on the data, is the
    susceptibility to more of that position. Positions share their draws, so that their errors are correlated.

    Args:
        make: makes the module that weights are loaded into.
        data: sequences of the posterior; the first of them are its base.
        sets: name -> sequences whose losses are recorded token by token.
        part: pattern for `ontogeny.restrict`; "" for all weights.
        posterior, sampler: nβ, γ and how it is sampled.

    Returns:
        Over `set`, `sequence` and `length` k = 1, 2, …: `rise`, λ_k of single sequences, and `rise_noise`; over `set`
        and `length`: `loss`, `mcse`, `susceptibility`, `susceptibility_mcse` and `susceptibility_noise`; `complexity`,
        its `complexity_mcse`, and `outcome`.

    When not to trust it: λ_k falls where losses saturate, and rises with the level of the loss. Hold it against
    `rise_noise`, weights perturbed at random as far away.
    """
    model = make()
    model.load_state_dict(weights)
    target = LocalPosterior(model, data, next_token, restriction=part or None, **posterior.options())
    first = next(iter(sets.values()))
    observed = {name: Samples(each, per_token=True) for name, each in sets.items()}
    observed[_BASE] = Samples(data[: len(first)])
    draws = sampler.draw(target, observables=observed, seed=seed)
    noise = weight_noise(target, draws, observables=observed, seed=derive(seed, "noise"))
    positions, found = first.shape[1] - 1, list[xr.Dataset]()
    for name in sets:
        here, there = _of_set(draws, name, target.nbeta, positions), _of_set(noise, name, target.nbeta, positions)
        found.append(here.assign({f"{key}_noise": there[key] for key in ("rise", "susceptibility")}))
    joined = xr.concat(found, xr.DataArray(list(sets), dims="set", name="set"))
    estimate = llc(draws)
    joined["complexity"], joined["complexity_mcse"] = estimate.complexity, estimate.complexity_mcse
    return joined.assign(outcome=np.array(estimate.sampled.value, dtype="U16"))


def _of_set(draws: xr.DataTree, name: str, nbeta: float, positions: int) -> xr.Dataset:
    center = at_center(draws, name).reshape(-1, positions)
    losses = per_sample(draws, name)
    rises = (losses - at_center(draws, name)).reshape(*losses.shape[:2], -1, positions)
    loss = (per_sample(draws, _BASE) - at_center(draws, _BASE)).mean(axis=-1)
    change = rises.mean(axis=2) - loss[..., None]
    about = -(loss - loss.mean())[..., None] * (change - change.mean(axis=(0, 1))) * loss.size / max(loss.size - 1, 1)
    shared = settings_of(draws).control_variate
    each = [summarize(nbeta * rises[..., k].mean(axis=2), shared=shared) for k in range(positions)]
    answers = [summarize(about[..., k], shared=shared) for k in range(positions)]
    return xr.Dataset(
        {
            "rise": (("sequence", "length"), nbeta * rises.mean(axis=(0, 1))),
            "loss": ("length", center.mean(axis=0)),
            "mcse": ("length", [one[1] for one in each]),
            "susceptibility": ("length", [one[0] for one in answers]),
            "susceptibility_mcse": ("length", [one[1] for one in answers]),
        },
        {"length": np.arange(1, positions + 1)},
    )
