"""Claims of the linear-networks study about influence along training and about staircases of many networks."""

import numpy as np
import xarray as xr

from ontogeny.development import curves, nulls
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.linear_networks.config import Config
from ontogeny.studies.linear_networks.evidence import Rng, claims
from ontogeny.studies.linear_networks.hierarchy import parted_at

STAGEWISE = "Lee et al., 2510.12071"
_DRAWS = 999


@claims.add(
    "influence",
    "Sampled influence predicts what training without an item does to the loss of another",
    expects="correlation of at least 0.5 over pairs of items and checkpoints",
    unit="correlation",
    source=STAGEWISE,
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    tables = _tables(found, config)
    pairs = parted_at(len(config.hierarchy.singular_values)) > 0
    sampled = np.stack([table["sampled"].values for table in tables])  # network, step, item, other
    retrained = np.stack([table["retrained"].values for table in tables])

    def agreement(order: np.ndarray) -> float:
        moved = sampled[..., order, :][..., order]
        return float(np.corrcoef(moved[..., pairs].ravel(), retrained[..., pairs].ravel())[0, 1])

    null = nulls.permutations(agreement, np.arange(len(pairs)), rng, count=_DRAWS)
    one, other = (np.moveaxis(each[..., pairs], -1, 0).reshape(pairs.sum(), -1) for each in (sampled, retrained))
    drawn = curves.bootstrap(
        lambda chosen: float(np.corrcoef(one[chosen].ravel(), other[chosen].ravel())[0, 1]), len(one), _DRAWS, rng
    )
    seen = agreement(np.arange(len(pairs)))
    said = f"with items permuted {null.typical:.2f}; over {len(tables)} networks, interval over pairs"
    return Evidence(seen, seen >= config.hierarchy.correlation, curves.interval(drawn), said, null)


@claims.add(
    "flow",
    "Training without an item changes losses as the exact flow says",
    expects="correlation of at least 0.95 over pairs of items and checkpoints, of influence with that of the flow",
    unit="correlation",
    source="the closed form of the flow in `linear_networks.hierarchy`",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    pairs = parted_at(len(config.hierarchy.singular_values)) > 0
    exact, retrained = (
        np.stack([table[name].values for table in _tables(found, config)])[..., pairs]
        for name in ("exact", "retrained")
    )

    def agreement(order: np.ndarray) -> float:
        return float(np.corrcoef(exact[..., order].ravel(), retrained.ravel())[0, 1])

    places = np.arange(exact.shape[-1])
    null = nulls.permutations(agreement, places, rng, count=_DRAWS)
    said = f"with pairs permuted {null.typical:.2f}; largest difference {np.abs(exact - retrained).max():.2f} "
    said += f"of {np.abs(retrained).max():.2f}"
    return Evidence(agreement(places), agreement(places) >= 0.95, None, said, null)


@claims.add(
    "timing",
    "Influence changes its sign, and is strongest, where theory says",
    expects="for pairs that part at each level, the sampled influence becomes negative and is most negative within "
    "0.15 decades of the steps of the exact flow",
    unit="largest distance in log10 step",
    source=STAGEWISE,
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    apart, told, spans = list[float](), dict[str, list[float]](), list[tuple[float, float, float]]()
    levels = range(1, len(config.hierarchy.singular_values))
    for table in _tables(found, config):
        steps = np.log10(np.maximum(table["step"].values, 1))[1:]
        for level in levels:
            at = {name: _times(table, name, level) for name in ("exact", "sampled", "retrained")}
            for place, what in enumerate(("sign", "extreme")):
                exact = at["exact"][place]
                apart.append(abs(at["sampled"][place] - exact))
                told.setdefault(what, []).append(apart[-1])
                told.setdefault("retrained", []).append(abs(at["retrained"][place] - exact))
                spans.append((exact, steps[0], steps[-1]))
    drawn = np.array([-max(abs(rng.uniform(low, high) - x) for x, low, high in spans) for _ in range(_DRAWS)])
    worst = float(np.nan_to_num(np.array(apart), nan=np.inf).max())
    null = nulls.simulated("anywhere in log step", -worst, drawn)
    said = f"signs {max(told['sign']):.2f}, extremes {max(told['extreme']):.2f}; of retraining at most "
    said += f"{max(told['retrained']):.2f}; anywhere {-np.median(drawn):.2f}"
    return Evidence(worst, worst <= config.hierarchy.apart, None, said, null)


@claims.add(
    "two-phases",
    "The covariance of losses over networks is largest where two phases have equal weights",
    expects="at each level within 0.05 decades of the step at which half of the networks have learned it",
    unit="largest distance in log10 step",
    source=STAGEWISE,
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    table = found["phases"]
    steps, total = np.log10(np.maximum(table["step"].values, 1)), table["total"].values
    apart, shares, windows = list[float](), list[float](), list[tuple[float, np.ndarray]]()
    for share, between in zip(table["share"].values, table["between"].values, strict=True):
        inside = np.flatnonzero((share > 0) & (share < 1))
        if len(inside) < 5:
            return NotTested("networks pass a level within fewer than five checkpoints")
        peak = inside[total[inside].argmax()]
        equal = steps[inside[np.abs(share[inside] - 0.5).argmin()]]
        apart.append(abs(steps[peak] - equal))
        shares.append(float(between[peak] / total[peak]))
        windows.append((equal, steps[inside]))
    drawn = np.array([-max(abs(rng.uniform(x[0], x[-1]) - equal) for equal, x in windows) for _ in range(_DRAWS)])
    null = nulls.simulated("anywhere in log step while networks pass the level", -max(apart), drawn)
    said = "distances " + ", ".join(f"{value:.3f}" for value in apart) + "; between the phases lie "
    said += ", ".join(f"{share:.2f}" for share in shares) + f" of it; anywhere {-np.median(drawn):.2f}"
    worst = float(max(apart))
    return Evidence(worst, worst <= config.hierarchy.equal, None, said, null)


@claims.add(
    "staircases",
    "Over many initial weights, the loss steps down where complexity steps up",
    expects="complexity is larger after at least 80 % of the transitions between plateaus at which the loss falls",
    unit="share of the transitions",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    table, values = found["stairs-found"], found["stairs-measured"]["complexity"].values
    path = table["path"].values
    falls = (np.diff(path) == 0) & (np.diff(table["loss"].values) < 0)
    if not falls.any():
        return NotTested("no network has two plateaus")

    def rises(values: np.ndarray) -> float:
        return float(np.mean((np.diff(values) > 0)[falls]))

    null = nulls.permutations(rises, values, rng, within=path)
    said = f"{falls.sum()} transitions of {len(np.unique(path))} networks; in random order {null.typical:.2f}"
    return Evidence(rises(values), rises(values) >= config.stairs.opposed, None, said, null)


def _tables(found: Findings, config: Config) -> list[xr.Dataset]:
    return [found[f"influence-{number}"] for number in range(config.hierarchy.networks)]


def _times(table: xr.Dataset, name: str, level: int) -> tuple[float, float]:
    """log10 of the steps at which influence between items that part at a level becomes negative, and is most so.

    The change of sign is the last one before the extreme, interpolated; NaN if there is none.
    """
    of_level = parted_at(table.sizes["level"]) == level
    curve = table[name].values[1:, of_level].mean(axis=1)
    steps, lowest = np.log10(table["step"].values[1:]), int(curve.argmin())
    positive = np.flatnonzero(curve[:lowest] > 0)
    if not len(positive):
        return float("nan"), float(steps[lowest])
    at = positive[-1]
    share = curve[at] / (curve[at] - curve[at + 1])
    return float(steps[at] + share * (steps[at + 1] - steps[at])), float(steps[lowest])
