"""Claims of the grokking study."""

from itertools import combinations

import numpy as np
import xarray as xr

from ontogeny.development import curves, nulls
from ontogeny.development.correlations import partial_correlation
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.grokking.config import Config

claims = Claims(source="Panickssery and Vaintrob 2023")
Rng = np.random.Generator


def reached(curve: xr.DataArray, level: float) -> float:
    """The first step at which a curve is at least `level`; infinite if it never is."""
    steps = curve["step"].values[curve.values >= level]
    return float(steps[0]) if len(steps) else np.inf


def delay(found: Findings, name: str, config: Config) -> float:
    """Steps from training to test accuracy."""
    shown = found[f"curves-{name}"]
    return reached(shown["test_accuracy"], config.learned) - reached(shown["train_accuracy"], config.learned)


def by_network(found: Findings, config: Config) -> xr.Dataset:
    """The coefficients of all networks on sums, and how these behave there, over (network, step)."""
    steps, shape = found["steps"]["at"].values, (config.networks, -1)
    values = {name: found["coefficients"][f"llc_{name}"].values.reshape(shape) for name in ("complexity", "descent")}
    values["error"] = found["coefficients"]["llc_complexity_mcse"].values.reshape(shape)
    shown = [found[f"curves-sums-{i}"].sel(step=steps) for i in range(config.networks)]
    for name in ("train_loss", "train_accuracy", "test_accuracy", "norm", "embedding_norm", "other_norm"):
        values[name] = np.stack([each[name].values for each in shown])
    return xr.Dataset({k: (("network", "step"), v) for k, v in values.items()}, coords={"step": steps})


@claims.add(
    "delayed",
    "Test accuracy rises long after training accuracy",
    expects="at least 1,000 steps from 95 % of the pairs that are trained on to 95 % of the others, in every network",
    unit="fewest steps",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    delays = np.array([delay(found, f"sums-{i}", config) for i in range(config.networks)])
    ends = float(found["curves-labels"]["test_accuracy"][-1])
    control = (
        f"{', '.join(f'{each:.0f}' for each in delays)}; with random labels the accuracy on the rest is {ends:.2f}"
    )
    met = bool((delays >= config.delay).all() and np.isfinite(delays).all())
    return Evidence(float(delays.min()), met, None, control)


@claims.add(
    "other-optimizer",
    "It does so with the other optimizer as well",
    expects="at least 1,000 steps with AdamW, whose weight decay is not in the gradient",
    unit="steps",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    value = delay(found, "other", config)
    return Evidence(value, bool(config.delay <= value < np.inf), None)


@claims.add(
    "few-frequencies",
    "What generalises is made of few frequencies of a + b",
    expects="at the end, the loss on all pairs with the key frequencies alone is below 0.1 log p, and the training "
    "loss without them above 0.5 log p, in every network",
    unit="largest restricted loss, share of log p",
    source="in the manner of Nanda et al., 2301.05217",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    chance = np.log(config.modulus)
    ends = [
        found[f"curves-{name}"].isel(step=-1) for name in (*(f"sums-{i}" for i in range(config.networks)), "labels")
    ]
    kept, without = (np.array([float(end[f"{k}_loss"]) for end in ends]) / chance for k in ("restricted", "excluded"))
    control = (
        f"smallest excluded loss {without[:-1].min():.2f}; with random labels {kept[-1]:.2f} and {without[-1]:.2f}"
    )
    met = bool((kept[:-1] < config.restricted).all() and (without[:-1] > config.excluded).all())
    return Evidence(float(kept[:-1].max()), met, None, control)


@claims.add(
    "rises-and-falls",
    "The coefficient rises in memorisation and falls with generalisation",
    expects="at least twofold to its peak, which comes before the test accuracy; then by at least half; its steepest "
    "fall is near the steepest rise of the test accuracy",
    unit="share by which it falls",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = by_network(found, config)
    steps, value = table["step"].values, table["complexity"].values
    peak = value.argmax(1)
    rises = value.max(1) / value[:, 0]
    falls = 1 - value[:, -1] / value.max(1)
    accuracy = table["test_accuracy"].values
    grokked = np.array([reached(found[f"curves-sums-{i}"]["test_accuracy"], config.learned) for i in range(len(value))])
    start, stop = (float(np.log10(each)) for each in (steps[0], steps[-1]))
    falling = np.log10([curves.steepest(steps, -each, first_step=int(steps[0])) for each in value])
    rising = np.log10([curves.steepest(steps, each, first_step=int(steps[0])) for each in accuracy])

    def apart(places: np.ndarray) -> float:
        gap = np.abs(places - rising)
        return float(np.mean(np.minimum(gap, stop - start - gap)))

    null = nulls.circular_shifts(apart, falling, start, stop)
    other = found["coefficients-labels"]["llc_complexity"].values.ravel()
    control = (
        f"rises {rises.min():.1f}-fold or more; with random labels it falls by {1 - other[-1] / other.max():.2f}; "
    )
    control += f"steepest fall {10 ** np.mean(falling):.0f}, steepest rise of test accuracy {10 ** np.mean(rising):.0f}"
    before = (steps[peak] < grokked).all()
    met = bool((rises >= config.rise).all() and (falls >= config.fall).all() and before)
    return Evidence(float(falls.min()), met, None, control, null)


@claims.add(
    "beyond-loss",
    "The coefficient says of the test accuracy what neither training loss nor weight norm says",
    expects="the partial correlation of log λ̂ with test accuracy, given log training loss and log norm, is below 0, "
    "with its interval, over networks and checkpoints after memorisation",
    unit="partial correlation",
    source="the null that Cullen et al., 2603.01192, is criticised for leaving out",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    table = by_network(found, config)
    memorised = (table["train_accuracy"] >= config.learned).all("network").values
    if memorised.sum() < 3:
        return NotTested(f"{memorised.sum()} checkpoints at which every network has memorised its pairs")
    late = table.isel(step=memorised)
    late = late.where(late["complexity"] > 0)
    coefficient, loss, norm = (np.log(late[name].values) for name in ("complexity", "train_loss", "norm"))
    accuracy = late["test_accuracy"].values

    def partial(accuracy: np.ndarray, chosen: np.ndarray | slice = slice(None), *controls: np.ndarray) -> float:
        given = np.column_stack([each[chosen].ravel() for each in controls or (loss, norm)])
        return partial_correlation(coefficient[chosen].ravel(), accuracy[chosen].ravel(), given)

    value = partial(accuracy)
    null = nulls.exchanged(lambda each: -partial(each), accuracy, rng)
    again = curves.bootstrap(lambda chosen: partial(accuracy, chosen), len(accuracy), config.resamples, rng)
    low, high = curves.interval(again)
    parts = [np.log(late[name].values) for name in ("embedding_norm", "other_norm")]
    plain = np.corrcoef(coefficient.ravel(), accuracy.ravel())[0, 1]
    of_norm = partial_correlation(norm.ravel(), accuracy.ravel(), np.column_stack([loss.ravel(), coefficient.ravel()]))
    control = (
        f"given the norms of embedding and other weights apart {partial(accuracy, slice(None), loss, *parts):.2f}, "
    )
    control += (
        f"given nothing {plain:.2f}; of the norm, given loss and λ̂ {of_norm:.2f}; exchanged {-(null.typical or 0):.2f}"
    )
    return Evidence(value, bool(high < 0), (low, high), control, null)


@claims.add(
    "equal-loss",
    "Of two solutions of one training loss, the one that generalises has the smaller coefficient",
    expects="by at least three errors of the difference, in every network",
    unit="least difference, in errors",
    source="Pepin Lehalleur et al., 2502.05475, in our form",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table, count = found["pairs"], config.networks
    value, error = (table[f"llc_{name}"].values.ravel() for name in ("complexity", "complexity_mcse"))
    losses, n = table["loss"].values.ravel(), int(config.train_share * config.modulus**2)
    apart = (value[count:] - value[:count]) / np.hypot(error[count:], error[:count])
    gap = np.abs(losses[count:] - losses[:count]).max()
    gain = np.mean(value[count:] - value[:count]) * np.log(n)
    kinds = range(count), range(count, 2 * count)
    pairs = np.array([(i, j) for kind in kinds for i, j in combinations(kind, 2)]).reshape(-1, 2).T
    alike = np.abs(value[pairs[0]] - value[pairs[1]]) / np.hypot(error[pairs[0]], error[pairs[1]])
    control = f"λ̂ {value[:count].mean():.0f} and {value[count:].mean():.0f}; losses differ by {gap:.1e} nats at most; "
    control += f"so n ΔL + Δλ log n prefers it by {gain:.0f} nats at n = {n}; of networks of one kind "
    control += f"{np.mean(alike >= config.part):.2f} are as far apart"
    null = nulls.even_odds(int((apart > 0).sum()), count)
    met = bool((apart >= config.part).all() and gap < 0.005)
    return Evidence(float(apart.min()), met, None, control, null)


def power(x: np.ndarray, y: np.ndarray) -> float:
    """The slope of log y over log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


@claims.add(
    "slope",
    "Coefficients of networks that generalise grow as a power of the modulus a little above one",
    expects="the slope of log λ̂ over log p is between 1.34 and 1.57, the range of the two-point slopes in the "
    "source's data",
    unit="slope",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    rows, copies = list[tuple[int, float, float]](), config.sweeps.copies
    for p in config.sweeps.moduli:
        value, test = found[f"moduli-{p}"]["llc"].values.ravel(), found[f"accuracy-{p}"]["test"].values
        rows += [
            (p, value[i], value[copies + i])
            for i in range(copies)
            if test[i] >= config.learned and min(value[i], value[copies + i]) > 0
        ]
    moduli, sums, labels = np.array(rows).T
    if len(np.unique(moduli)) < 3:
        return NotTested(f"networks on {len(np.unique(moduli))} moduli generalise")
    again = [
        power(moduli[chosen], sums[chosen])
        for chosen in curves.resamples(len(rows), config.resamples, rng)
        if len(np.unique(moduli[chosen])) > 1
    ]
    n = (config.sweeps.train_share * moduli**2).astype(int)
    chance = n / np.log(n) * np.log(moduli)
    value = power(moduli, sums)
    control = (
        f"of {len(rows)} networks that generalise; random labels {power(moduli, labels):.2f}; the coefficient of a "
    )
    control += f"posterior at chance, nβ log p, {power(moduli, chance):.2f}, of which they have "
    control += f"{(sums / chance).min():.2f} to {(sums / chance).max():.2f}"
    met = config.slopes[0] <= value <= config.slopes[1]
    return Evidence(value, bool(met), curves.interval(np.array(again)), control)


@claims.add(
    "linear",
    "Coefficients of networks on random labels are linear in the number of items, at fixed nβ/n and loss",
    expects="the slope of log λ̂ over log n is 1 within its interval, and R² of the line is above 0.98",
    unit="slope",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    items = np.repeat(config.sweeps.items, config.sweeps.copies).astype(float)
    value = np.concatenate([found[f"labels-{n}"]["llc_complexity"].values.ravel() for n in config.sweeps.items])
    line = np.polyval(np.polyfit(items, value, 1), items)
    r2 = 1 - ((value - line) ** 2).sum() / ((value - value.mean()) ** 2).sum()
    again = np.array(
        [
            power(items[chosen], value[chosen])
            for chosen in curves.resamples(len(items), config.resamples, rng)
            if len(np.unique(items[chosen])) > 1
        ]
    )
    low, high = curves.interval(again)
    told = ", ".join(f"{value[items == n].mean() / n:.2f} at {n}" for n in config.sweeps.items)
    control = f"R² of the line {r2:.3f}; nats an item {told}"
    return Evidence(power(items, value), bool(low <= 1 <= high and r2 > config.linear), (low, high), control)
