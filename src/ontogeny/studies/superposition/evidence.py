"""Claims of the superposition study."""

import numpy as np
import torch
import xarray as xr

from ontogeny.circuits import feature_dimensionality
from ontogeny.development import nulls
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.superposition.config import Config
from ontogeny.studies.superposition.pairs import KINDS, of_pairs
from ontogeny.studies.superposition.theory import GEOMETRIES

claims = Claims(source="Elhage et al., Toy Models of Superposition, 2022")
Rng = np.random.Generator
_DRAWS = 199


@claims.add(
    "geometries",
    "Training settles features into the geometries that theory names",
    expects="at least three of tetrahedra, triangles, opposite pairs, pentagons and square antiprisms hold half of the "
    "represented features of some network, by dimensionalities within 0.02",
    unit="geometries reached",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    values = found["geometry"]["dimensionality"].values
    shares = {name: _share(values, level, config.near) for name, level in GEOMETRIES.items()}
    best = {name: float(each.max()) for name, each in shares.items()}
    reached = [name for name, share in best.items() if share >= config.plateau]
    near = _near_any(values, config.near)
    drawn = np.array([_near_any(_turned(found, rng), config.near) for _ in range(_DRAWS)])
    null = nulls.simulated("columns turned at random", near, drawn)
    said = "largest share of a network's features: " + ", ".join(f"{name} {best[name]:.2f}" for name in best)
    said += f"; near any of the five {near:.2f}, turned at random {null.typical:.2f}"
    return Evidence(float(len(reached)), len(reached) >= config.reached, None, said, null)


@claims.add(
    "sparser-is-more",
    "Sparser features share fewer dimensions",
    expects="the number of represented features falls with their density",
    unit="rank correlation of the number with the density",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["geometry"]
    counts = np.isfinite(table["dimensionality"].values).sum(axis=1).astype(float)
    ranks = np.argsort(np.argsort(table["density"].values)).astype(float)

    def falls(order: np.ndarray) -> float:
        return -float(np.corrcoef(np.argsort(np.argsort(counts)), order)[0, 1])

    null = nulls.permutations(falls, ranks, rng)
    said = f"{counts.max():.0f} features at density {table['density'].values[counts.argmax()]:.2f}, {counts.min():.0f} "
    said += f"at {table['density'].values[counts.argmin()]:.2f}, in {table.sizes['hidden']} dimensions"
    return Evidence(-falls(ranks), falls(ranks) > 0, None, said, null)


@claims.add(
    "diagram",
    "Two features in one dimension are kept or given up where the exact losses say",
    expects="the best of the networks at a cell is of the kind of lowest exact loss at nine of ten cells away from "
    "boundaries",
    unit="share of these cells",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    return _as_exact_losses_say(found["diagram"], config.agreement, rng)


@claims.add(
    "diagram-of-three",
    "So are three features in two dimensions",
    expects="the third feature is given up, has a dimension of its own or shares one, as in the solution of lowest "
    "exact loss, at nine of ten cells away from boundaries",
    unit="share of these cells",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    return _as_exact_losses_say(found["diagram-of-three"], config.agreement, rng)


def _as_exact_losses_say(table: xr.Dataset, least: float, rng: Rng) -> Evidence | NotTested:
    """Share of the cells away from boundaries whose best network is of the kind of lowest exact loss."""
    clear = (table["gap"] > table.attrs["margin"]).values
    trained, theory = table["trained"].values[clear], table["theory"].values[clear]
    if len(set(theory.tolist())) < 2:
        return NotTested("theory names one kind of solution at all cells away from boundaries")

    def agrees(labels: np.ndarray) -> float:
        return float((labels == theory).mean())

    null = nulls.permutations(agrees, trained, rng)
    said = f"{int(clear.sum())} of {clear.size} cells; with kinds permuted {null.typical:.2f}"
    return Evidence(agrees(trained), agrees(trained) >= least, None, said, null)


@claims.add(
    "pairs",
    "Features that exclude each other point in opposite directions, those that go together at right angles",
    expects="of exclusive pairs eight of ten have a cosine of at most -0.8, and of pairs that go together eight of ten "
    "one within 0.2 of zero",
    unit="share of pairs, the smaller of both",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["angles"]

    def share(order: np.ndarray | None = None) -> float:
        exclusive, together = (of_pairs(table, kind, order) for kind in ("exclusive", "together"))
        return min(float((exclusive <= config.opposite).mean()), float((np.abs(together) <= config.orthogonal).mean()))

    size = table.sizes["network"], table.sizes["feature"]
    drawn = np.array([share(rng.permuted(np.tile(np.arange(size[1]), (size[0], 1)), axis=1)) for _ in range(_DRAWS)])
    null = nulls.simulated("features paired at random", share(), drawn)
    cosines = {kind: float(np.median(of_pairs(table, kind))) for kind in KINDS}
    said = "median cosine of a pair: " + ", ".join(f"{kind} {cosine:.2f}" for kind, cosine in cosines.items())
    return Evidence(share(), share() >= config.paired, None, f"{said}; paired at random {null.typical:.2f}", null)


def _share(values: np.ndarray, level: float, near: float) -> np.ndarray:
    """Of each network's represented features, those of this dimensionality."""
    close = (np.abs(values - level) <= near).sum(axis=1)
    return close / np.maximum(np.isfinite(values).sum(axis=1), 1)


def _near_any(values: np.ndarray, near: float) -> float:
    """Share of all represented features whose dimensionality is that of a geometry."""
    levels = np.array(list(GEOMETRIES.values()))
    close = np.abs(values[np.isfinite(values)][:, None] - levels) <= near
    return float(close.any(axis=1).mean())


def _turned(found: Findings, rng: Rng) -> np.ndarray:
    """Dimensionalities of columns of the same lengths in random directions."""
    table = found["geometry"]
    directions = rng.standard_normal(table["W"].shape)
    directions *= table["length"].values[:, None, :] / np.linalg.norm(directions, axis=1, keepdims=True)
    turned = feature_dimensionality(torch.from_numpy(directions)).numpy()
    return np.where(np.isfinite(table["dimensionality"].values), turned, np.nan)
