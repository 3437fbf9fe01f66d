"""Claims of the memorisation study."""

import numpy as np
import torch

from ontogeny.circuits import feature_dimensionality
from ontogeny.development import nulls
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.memorisation.config import Config

claims = Claims(source="Henighan et al., Superposition, Memorization, and Double Descent, 2023")
Rng = np.random.Generator
_DRAWS = 999


@claims.add(
    "polygons",
    "Hidden vectors of four to six data points are regular polygons",
    expects="the median distance of a point's dimensionality from 2/T is less than a tenth of it at T = 4, 5 and 6",
    unit="largest median relative distance from 2/T",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    return _regular(found, config, rng, config.polygons)


@claims.add(
    "triangle",
    "Hidden vectors of three data points are regular triangles",
    expects="the median distance of a point's dimensionality from 2/3 is less than a tenth of it",
    unit="median relative distance from 2/3",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    return _regular(found, config, rng, (3,))


def _regular(found: Findings, config: Config, rng: Rng, sizes: tuple[int, ...]) -> Evidence | NotTested:
    """Whether points of these sizes have the dimensionality of a corner of a regular polygon."""
    if config.hidden != 2 or not set(sizes) <= set(config.sizes):
        return NotTested("not two hidden units, or not all of these sizes were trained")
    table = found["measures-weak"].sel(size=list(sizes))
    apart = table["apart"].mean("copy").values
    drawn = np.array([-_random_apart(sizes, table.sizes["copy"], rng).max() for _ in range(_DRAWS)])
    null = nulls.simulated("hidden vectors in random directions", -apart.max(), drawn)
    told = ", ".join(f"{value:.3f} at T = {size}" for value, size in zip(apart, sizes, strict=True))
    said = f"{told}; in random directions {drawn.mean() * -1:.2f}"
    return Evidence(float(apart.max()), bool(apart.max() < config.close), None, said, null)


@claims.add(
    "ordering",
    "Small datasets are stored as points, large ones as features",
    expects="the typical dimensionality is larger of data points at the smallest sizes and of features at the largest, "
    "in nine networks of ten",
    unit="share of the networks at both ends",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    table = found["measures-weak"]
    if table.sizes["size"] < 2 * config.ends:
        return NotTested("the ends overlap")
    data, features = (table[f"typical_{name}"].values for name in ("data", "features"))
    small, large = slice(None, config.ends), slice(-config.ends, None)
    right = np.concatenate([(data > features)[small].ravel(), (features > data)[large].ravel()])
    null = nulls.even_odds(int(right.sum()), right.size)
    turned = feature_dimensionality(torch.from_numpy(_turned(table["W"].values[large], rng))).numpy()
    by_chance = (turned**2).sum(-1) / turned.sum(-1)
    said = f"points {data[small].mean():.3f} and features {features[small].mean():.3f} at the smallest, "
    said += (
        f"{data[large].mean():.3f} and {features[large].mean():.3f} at the largest; features with columns turned at "
    )
    said += f"random {by_chance.mean():.3f}"
    return Evidence(float(right.mean()), bool(right.mean() >= config.ordered), None, said, null)


def bump(test: np.ndarray, ends: int) -> float:
    """Highest mean test loss between the ends, of (size, copy), over the larger of those at both ends."""
    mean = test.mean(axis=1)
    return float(mean[ends:-ends].max() / max(mean[:ends].mean(), mean[-ends:].mean()))


@claims.add(
    "bump",
    "Between points and features the test loss rises",
    expects="the highest mean test loss between the ends is at least 1.1 times that of either end",
    unit="ratio to the higher end",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    test = found["measures-weak"]["test"]
    if test.sizes["size"] < 2 * config.ends + 1:
        return NotTested("there is nothing between the ends")
    values, copies = test.values, np.broadcast_to(np.arange(test.sizes["copy"]), test.shape)

    def statistic(flat: np.ndarray) -> float:
        return bump(flat.reshape(values.shape), config.ends)

    null = nulls.permutations(statistic, values.ravel(), rng, within=copies.ravel(), count=499)
    at = int(test["size"][config.ends + values.mean(axis=1)[config.ends : -config.ends].argmax()])
    said = f"at T = {at}; {_levels(values, config.ends)}; sizes permuted {null.typical:.2f}"
    return Evidence(statistic(values), statistic(values) >= config.bump, None, said, null)


@claims.add(
    "decay",
    "Strong weight decay removes the rise",
    expects="with it the highest mean test loss between the ends is at most 1.05 times that of the higher end",
    unit="ratio to the higher end",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    weak, strong = (found[f"measures-{name}"]["test"].values for name in ("weak", "strong"))
    if bump(weak, config.ends) < config.bump:
        return NotTested("there is no rise to be removed")
    both = np.stack([weak, strong])

    def falls(swapped: np.ndarray) -> float:
        first, second = np.where(swapped, both[::-1], both)
        return float(np.log(bump(first, config.ends) / bump(second, config.ends)))

    drawn = np.array([falls(rng.random(weak.shape) < 0.5) for _ in range(_DRAWS)])
    null = nulls.simulated("decays exchanged in pairs", falls(np.zeros(weak.shape, bool)), drawn)
    ratio = bump(strong, config.ends)
    said = f"without {bump(weak, config.ends):.2f}; {_levels(strong, config.ends)}"
    return Evidence(ratio, ratio <= config.flat, None, said, null)


@claims.add(
    "repeated",
    "A repeated data point takes up more of a dimension, while others are stored as features",
    expects="its dimensionality rises with how often it occurs: a rank correlation above 0.5",
    unit="rank correlation",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["repeated"]
    values = table["dimensionality"].transpose("count", "copy").values
    places = np.repeat(np.arange(len(values)), values.shape[1]).astype(float)
    ranks = values.argsort(axis=None).argsort().astype(float)

    def rises(order: np.ndarray) -> float:
        return float(np.corrcoef(ranks, order)[0, 1])

    null = nulls.permutations(rises, places, rng)
    said = "; ".join(
        f"{int(count)} times {value:.4f}, features {feature:.2f}"
        for count, value, feature in zip(
            table["count"].values, values.mean(axis=1), table["typical_features"].mean("copy").values, strict=True
        )
    )
    seen = rises(places)
    return Evidence(seen, seen > 0.5, None, said, null)


def _random_apart(sizes: tuple[int, ...], copies: int, rng: Rng) -> np.ndarray:
    """What `apart` is, as a mean over so many copies, for T unit vectors in the plane at random angles."""
    means = []
    for size in sizes:
        angles = rng.uniform(0, 2 * np.pi, (copies, size))
        squares = np.cos(angles[:, :, None] - angles[:, None, :]) ** 2
        means.append(float(np.median(np.abs(size / 2 / squares.sum(axis=2) - 1), axis=1).mean()))
    return np.array(means)


def _turned(weights: np.ndarray, rng: Rng) -> np.ndarray:
    """Columns of the same lengths in random directions."""
    directions = rng.standard_normal(weights.shape)
    lengths = np.linalg.norm(weights, axis=-2, keepdims=True)
    return directions * lengths / np.linalg.norm(directions, axis=-2, keepdims=True)


def _levels(test: np.ndarray, ends: int) -> str:
    mean = test.mean(axis=1)
    low, high = mean[:ends].mean(), mean[-ends:].mean()
    most = mean[ends:-ends].max()
    return f"test loss {low:.2f} at the smallest sizes, at most {most:.2f} between, {high:.2f} at the largest"
