"""What a comparison may say: which losses have changed beyond twins and weight noise, where, and of what kind."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from ontogeny.comparison.config import CompareConfig
from ontogeny.comparison.one_more import FEWEST, one_more
from ontogeny.development import nulls

NONE, NARROW, BROAD = "not separable from weight noise", "narrow", "broad"


@dataclass(frozen=True)
class Verdict:
    """The kind of change, and what it rests on.

    Attributes:
        kind: "not separable from weight noise"; "narrow", if the loss on the trusted data is as after twins; or
            "broad".
        changed: dataset -> change of its mean loss in nats, of those that have changed.
        parts: the parts that undo the most of it, the strongest first, beyond what they undo of twins.
    """

    kind: str
    changed: dict[str, float]
    parts: list[str]


def tested(found: xr.Dataset, config: CompareConfig) -> xr.Dataset:
    """Add to the behaviour of a comparison `usual`, `p_value` and `changed`.

    The p-value is that of the change as one more draw from a Gaussian with the mean and the spread of the twins, by
    Student's t with K - 1 degrees of freedom for K of them; the same for weight noises; and the larger of both. Weight
    noise as far in every tensor may ruin the network on all data alike: with it, the change on any but the trusted
    dataset is held less that on the trusted one. `usual` is the mean of the twins. `changed` holds after Holm's
    correction over datasets.
    """
    null, change, kinds = found["null_change"].values, found["change"].values, found["kind"].values
    twins, noises = (null[:, kinds == kind] for kind in ("twin", "weight noise"))
    pairs = [(change, twins), (_less_trusted(change[:, None])[:, 0], _less_trusted(noises))]
    p_value = np.max([one_more(value, group) for value, group in pairs if group.shape[1] >= FEWEST], axis=0)
    usual = (twins if twins.shape[1] else noises).mean(axis=1)
    beyond = np.maximum(config.deviations * np.nan_to_num(found["change_error"].values), config.least)
    changed = (np.array(nulls.holm(p_value)) <= config.significance) & (np.abs(change - usual) > beyond)
    return found.assign(p_value=("dataset", p_value), changed=("dataset", changed), usual=("dataset", usual))


def _less_trusted(changes: np.ndarray) -> np.ndarray:
    """Changes, of which those of all datasets but the first are less those of the first."""
    return np.concatenate([changes[:1], changes[1:] - changes[:1]])


def verdict_on(behaviour: xr.Dataset, places: xr.Dataset) -> Verdict:
    """The verdict on what `tested` and `places` found. The first dataset is the trusted one."""
    names, flags = behaviour["dataset"].values.tolist(), behaviour["changed"].values
    changed = {
        name: float(value) for name, value, flag in zip(names, behaviour["change"].values, flags, strict=True) if flag
    }
    kind = NONE if not changed else BROAD if flags[0] else NARROW
    return Verdict(kind, changed, telling_parts(places, list(changed)))


def telling_parts(places: xr.Dataset, changed: list[str]) -> list[str]:
    """Parts by how much of the changes they undo, beyond the largest that they undo of any twin."""
    if not changed or not places.sizes["part"]:
        return []
    undone = abs(places["restored"].sel(dataset=changed)).sum("dataset")
    usual = abs(places["twin_restored"].sel(dataset=changed)).sum("dataset")
    limit = usual.max("like").values if usual.sizes["like"] else np.zeros(places.sizes["part"])
    order = np.argsort(-undone.values)
    return [str(places["part"].values[at]) for at in order if undone.values[at] > limit[at]]
