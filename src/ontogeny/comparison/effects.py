"""What differs between base and tuned, each with the same of twins and of weight noise."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.comparison.networks import Flat, Network
from ontogeny.comparison.one_more import FEWEST, one_more
from ontogeny.core.restriction import Restriction
from ontogeny.core.samples import Samples
from ontogeny.measurement.rivals import last_hidden, mahalanobis

_EDGE = 1e-3
LIKE = "like"  # dimension of twins and weight noises, the null


def behaviour(
    base: Network, tuned: Network, twins: Sequence[Network], noises: Sequence[Flat], sets: Mapping[str, Samples]
) -> xr.Dataset:
    """The change of the mean loss on each dataset, and the same of each twin and of each weight noise.

    Returns:
        Over `dataset`: `base`, `tuned`, `change` and `change_error`, of pairs of losses of the same sample. Over
        `dataset` and `like`: `null_change`; `kind` tells twins from weight noise.
    """
    means, nulls = [], []
    for samples in sets.values():
        before, after = base.losses(samples), tuned.losses(samples)
        moved = after - before
        error = float(moved.std(ddof=1) / len(moved) ** 0.5) if len(moved) > 1 else np.nan
        means.append([before.mean(), after.mean(), moved.mean(), error])
        others = [*(each.losses(samples) for each in twins), *(base.losses(samples, each) for each in noises)]
        nulls.append([float((each - before).mean()) for each in others])
    names, kinds = ("base", "tuned", "change", "change_error"), ["twin"] * len(twins) + ["weight noise"] * len(noises)
    numbers = {name: ("dataset", column) for name, column in zip(names, np.array(means).T, strict=True)}
    null = {"null_change": (("dataset", LIKE), np.array(nulls).reshape(len(sets), len(kinds)))}
    return xr.Dataset(numbers | null, {"dataset": list(sets), "kind": (LIKE, kinds)})


def places(
    base: Network,
    tuned: Network,
    twins: Sequence[Network],
    parts: Mapping[str, Restriction],
    sets: Mapping[str, Samples],
) -> xr.Dataset:
    """How far each part has moved, and how much of each change goes if its base weights are put back.

    Returns:
        Over `part`: `moved`, |Δw| of the part over its |w|; over `part` and `dataset`: `restored`, the mean loss of the
        tuned network less that with this part as in the base. `twin_moved` and `twin_restored` are the same of twins,
        over `like` too.
    """
    masks = {name: base.mask(part) for name, part in parts.items()}
    mine = [_restored(base, tuned, masks, samples) for samples in sets.values()]
    theirs = [[_restored(base, each, masks, samples) for samples in sets.values()] for each in twins]
    shape = (len(twins), len(sets), len(parts))
    return xr.Dataset(
        {
            "moved": ("part", _moved(base, tuned, masks)),
            "restored": (("dataset", "part"), np.array(mine)),
            "twin_moved": ((LIKE, "part"), np.reshape([_moved(base, each, masks) for each in twins], shape[::2])),
            "twin_restored": ((LIKE, "dataset", "part"), np.reshape(theirs, shape)),
        },
        {"part": list(parts), "dataset": list(sets)},
    )


def activations(base: Network, tuned: Network, twins: Sequence[Network], sets: Mapping[str, Samples]) -> xr.Dataset:
    """The cheap rivals: what the last hidden layer shows of each dataset.

    Returns:
        Over `dataset`: `shift`, |mean of tuned - mean of base| over the root of the total variance of base, on the
        first five positions; and `apart`, how well the Mahalanobis distance from the trusted data tells the samples
        from held-out trusted ones in the tuned network: the area under the ROC curve. Both are NaN without a hidden
        layer. `twin_shift` and `twin_apart` are the same of twins, over `like` too; `shift_p_value` and
        `apart_p_value` hold the tuned network against these as one more twin, on the scale of log and of logit, towards
        larger values; NaN with fewer than three twins.
    """
    trusted, networks = next(iter(sets.values())), [tuned, *twins]
    shifts, aparts = list[list[float]](), list[list[float]]()
    known = [mahalanobis(each.posterior, trusted, each.posterior.samples) for each in networks]
    for samples in sets.values():
        before = last_hidden(base.posterior, samples, positions=5)
        shifts.append([_shift(before, last_hidden(each.posterior, samples, positions=5)) for each in networks])
        far = [mahalanobis(each.posterior, samples, each.posterior.samples) for each in networks]
        aparts.append([_above(high, low) for high, low in zip(far, known, strict=True)])
    shift, apart = np.array(shifts), np.array(aparts)
    bounded = np.clip(apart, _EDGE, 1 - _EDGE)
    return xr.Dataset(
        {
            "shift": ("dataset", shift[:, 0]),
            "twin_shift": (("dataset", LIKE), shift[:, 1:]),
            "shift_p_value": ("dataset", _larger(np.log(np.maximum(shift, _EDGE)))),
            "apart": ("dataset", apart[:, 0]),
            "twin_apart": (("dataset", LIKE), apart[:, 1:]),
            "apart_p_value": ("dataset", _larger(np.log(bounded / (1 - bounded)))),
        },
        {"dataset": list(sets)},
    )


def _restored(base: Network, other: Network, masks: Mapping[str, Tensor], samples: Samples) -> list[float]:
    as_it_is = other.losses(samples)
    mixed = (torch.where(mask, base.weights, other.weights) for mask in masks.values())
    return [float((as_it_is - other.losses(samples, weights)).mean()) for weights in mixed]


def _moved(base: Network, other: Network, masks: Mapping[str, Tensor]) -> list[float]:
    away = other.weights - base.weights
    return [float(away[mask].norm() / base.weights[mask].norm().clamp(min=1e-12)) for mask in masks.values()]


def _shift(before: np.ndarray | None, after: np.ndarray | None) -> float:
    if before is None or after is None:
        return float("nan")
    return float(np.linalg.norm(after.mean(0) - before.mean(0)) / np.sqrt(max(before.var(0).sum(), 1e-12)))


def _above(high: np.ndarray, low: np.ndarray) -> float:
    """The share of pairs in which the first is larger; ties count half."""
    if not (np.isfinite(high).all() and np.isfinite(low).all()):
        return float("nan")
    return float(((high[:, None] > low).mean() + (high[:, None] >= low).mean()) / 2)


def _larger(values: np.ndarray) -> np.ndarray:
    """p-value of the first column as one more of the others, Student's t, towards larger values."""
    own, null = values[:, 0], values[:, 1:]
    if null.shape[1] < FEWEST:
        return np.full(len(values), np.nan)
    return one_more(own, null, sides=1)
