"""Claims of the parity study."""

import numpy as np
import xarray as xr

from ontogeny.development import curves, nulls
from ontogeny.development.correlations import rank_correlation
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.parity.config import Config

claims = Claims(source="Michaud et al., 2303.13506, in our form")
Rng = np.random.Generator


def first_learned(found: Findings, config: Config) -> np.ndarray:
    """The first step at which each network has learned each task, over (network, task); infinite if it never has."""
    each = []
    for i in range(config.networks):
        learned = found[f"curves-{i}"]["accuracy"].transpose("task", "step") >= config.learned
        steps = learned["step"].values
        each.append(np.where(learned.any("step"), steps[learned.argmax("step").values], np.inf))
    return np.array(each)


def along(found: Findings, config: Config) -> xr.Dataset:
    """λ̂, its error, the loss and the number of learned tasks over (network, step)."""
    steps, table = found["steps"]["at"].values, found["coefficients"]
    shape = (config.networks, len(steps))
    names = {"complexity": "llc_complexity", "error": "llc_complexity_mcse", "loss": "loss"}
    values = {name: table[key].values.reshape(shape) for name, key in names.items()}
    counts = [
        (found[f"curves-{i}"]["accuracy"].sel(step=steps) >= config.learned).sum("task").values
        for i in range(config.networks)
    ]
    values["learned"] = np.array(counts)
    return xr.Dataset({name: (("network", "step"), each) for name, each in values.items()}, coords={"step": steps})


@claims.add(
    "one-by-one",
    "Tasks are learned one by one, the frequent ones first",
    expects="the rank correlation of a task's frequency with how early it is learned is above 0.5, over networks",
    unit="rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    when = first_learned(found, config)
    places = np.broadcast_to(np.arange(when.shape[1]), when.shape)

    def mean(places: np.ndarray) -> float:
        return float(
            np.mean([rank_correlation(own, step) for own, step in zip(places.reshape(when.shape), when, strict=True)])
        )

    network = np.repeat(np.arange(len(when)), when.shape[1])
    null = nulls.permutations(mean, places.ravel(), rng, within=network, count=config.resamples)
    value = mean(places)
    known = np.isfinite(when)
    apart = [np.diff(np.sort(own[own < np.inf])) for own in when]
    control = f"{known.sum(1).min()} to {known.sum(1).max()} of {when.shape[1]} tasks are learned; at most "
    control += f"{max(int((each == 0).sum()) + 1 for each in apart if len(each))} at one checkpoint"
    return Evidence(value, value > config.order, None, control, null)


@claims.add(
    "along-training",
    "Along training the coefficient grows with the number of tasks that are learned",
    expects="the rank correlation is above 0.8, mean of the networks; against chance, networks that have learned more "
    "than others by a step have a larger one there",
    unit="rank correlation",
    source="a hypothesis that has been told of in interviews",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = along(found, config)
    value, learned, loss = (table[name].values for name in ("complexity", "learned", "loss"))

    def ahead(learned: np.ndarray) -> float:
        """The correlation of what both are above their means over networks at the same step."""
        above = [(each - each.mean(0)).ravel() for each in (value, learned)]
        return float(np.corrcoef(*above)[0, 1]) if all(np.ptp(each) for each in above) else 0.0

    null = nulls.exchanged(ahead, learned, rng)
    each = np.array([rank_correlation(own, count) for own, count in zip(value, learned, strict=True)])
    given = [rank_correlation(own, count, of) for own, count, of in zip(value, learned, loss, strict=True)]
    falls = [1 - own[-1] / own.max() for own in value]
    control = (
        f"{each.min():.2f} to {each.max():.2f}; given the loss {np.mean(given):.2f}; between networks at one step "
    )
    control += f"{ahead(learned):.2f}; from its peak λ̂ falls by up to {max(falls):.0%}"
    mean = float(each.mean())
    return Evidence(mean, mean > config.along, None, control, null)


@claims.add(
    "answers",
    "The mixture holds a task's loss least firmly while the task is being learned",
    expects="tasks that are learned earlier have the peak of their cross-coefficient earlier: the rank correlation of "
    "both steps is above 0.5 over the tasks that the first network has learned",
    unit="rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    table = found["responses"].squeeze("component")
    steps, value = table["step"].values, table["cross_llc"].transpose("probe", "step").values[1:]
    when = first_learned(found, config)[0]
    known = np.isfinite(when)
    if known.sum() < 5:
        return NotTested(f"{known.sum()} tasks are learned; 5 are needed")
    when, peaks = when[known], steps[value[known].argmax(1)].astype(float)
    null = nulls.permutations(
        lambda order: rank_correlation(peaks[order], when), np.arange(len(when)), rng, count=config.resamples
    )
    falls = 1 - value[known, -1] / value[known].max(1)
    largest = np.sort(value[:, -1])[::-1]
    control = f"{known.sum()} tasks; from its peak the cross-coefficient falls by {falls.min():.0%} to "
    control += f"{falls.max():.0%}; at the end {largest[0]:.0f} to {largest[-1]:.0f} nats; "
    control += f"{int((table['outcome'] == 'converged').sum())} of {len(steps)} checkpoints converged"
    return Evidence(rank_correlation(peaks, when), rank_correlation(peaks, when) > config.order, None, control, null)


def swept(found: Findings, config: Config) -> xr.Dataset:
    """λ̂, loss, number of learned tasks and exponent of each network of the sweep."""
    table, kept = found["coefficients-swept"], found["swept"]
    values = {"complexity": table["llc_complexity"].values.ravel(), "loss": table["loss"].values.ravel()}
    values["learned"] = kept["learned"].values
    values["exponent"] = kept["exponent"].values
    return xr.Dataset({name: ("network", each) for name, each in values.items()})


@claims.add(
    "over-networks",
    "Over networks the coefficient grows with the number of learned tasks, at equal loss too",
    expects="the rank correlation given the loss is above 0 with its interval",
    unit="partial rank correlation",
    source="a hypothesis that has been told of in interviews",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    table = swept(found, config)
    value, learned, loss, exponent = (table[name].values for name in ("complexity", "learned", "loss", "exponent"))
    if len(np.unique(learned)) < 3:
        return NotTested(f"all networks have learned {np.unique(learned).tolist()} tasks")

    def partial(learned: np.ndarray, chosen: np.ndarray | slice = slice(None)) -> float:
        return rank_correlation(value[chosen], learned[chosen], loss[chosen])

    again = curves.bootstrap(lambda chosen: partial(learned, chosen), len(value), config.resamples, rng)
    interval = curves.interval(again[np.isfinite(again)])
    null = nulls.permutations(partial, learned, rng, within=exponent, count=config.resamples)
    inside = [rank_correlation(value[exponent == law], learned[exponent == law]) for law in np.unique(exponent)]
    control = f"given nothing {rank_correlation(value, learned):.2f}; with one law of frequencies each "
    control += f"{', '.join(f'{each:.2f}' for each in inside)}; of the loss {rank_correlation(value, loss):.2f}; "
    control += f"{learned.min()} to {learned.max()} tasks, {len(value)} networks"
    return Evidence(partial(learned), interval[0] > 0, interval, control, null)
