"""Networks over densities, their geometry, phase diagrams of few features, and coefficients along one training."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.circuits import feature_dimensionality
from ontogeny.core.seeds import generator
from ontogeny.stores import Checkpoints
from ontogeny.studies.superposition.config import Config, Diagram
from ontogeny.studies.superposition.pairs import KINDS, PairedFeatures, angles
from ontogeny.studies.superposition.theory import exact_losses, kind_of
from ontogeny.studies.workspace import Workspace
from ontogeny.testing.superposition import Autoencoder


@dataclass(frozen=True)
class SparseFeatures:
    """A task: every feature is on with probability `density`, by itself, and then U[0, 1]; with importances.

    Samples are (x, importance), so that networks of different importances have one loss.
    """

    density: float
    importance: tuple[float, ...]

    def sample(self, num_samples: int, seed: int) -> tuple[Tensor, Tensor]:
        source, size = generator(seed, "features"), (num_samples, len(self.importance))
        on = torch.rand(size, generator=source) < self.density
        x = torch.where(on, torch.rand(size, generator=source), 0.0)
        return x, torch.tensor(self.importance).expand(size)


def weighted_error(model: Autoencoder, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Σ_i I_i (x_i - x̂_i)² of each row."""
    x, importance = batch
    return (importance * (x - model(x)).square()).sum(dim=-1)


def network(hidden: int, features: int) -> Autoencoder:
    """Weights N(0, 1/(4 hidden)) and no biases."""
    return Autoencoder(torch.randn(hidden, features) / (4 * hidden) ** 0.5, torch.zeros(features))


def run(work: Workspace, config: Config) -> None:
    """Makes the networks `sweep` with their `geometry`, and `along` the training of one; the networks `cells` with the
    `diagram` of two features, and `cells-of-three` with `diagram-of-three`; the networks `pairs` with the `angles` of
    their features; and `trajectory`, coefficients along that training.
    """
    sweep = config.sweep
    densities = np.geomspace(*sweep.densities, sweep.count)
    tasks = [SparseFeatures(float(each), (1.0,) * sweep.features) for each in densities]
    make = partial(network, sweep.hidden, sweep.features)
    trained = work.train_instances("sweep", make, sweep.count, tasks, weighted_error, sweep.training)
    work.step("geometry", geometry, trained, densities, config.length)
    at = int(np.abs(np.log(densities / config.followed)).argmin())
    along = work.step("along", followed, trained, at, config.length)
    data = tasks[at].sample(config.num_samples, work.seed("samples"))
    steps = along["step"].values.tolist()[1:]
    options = {"steps": steps, "posterior": config.posterior, "sampler": config.sampler}
    work.measure("trajectory", trained[at], make, data, weighted_error, **options)
    for suffix, settings in (("", config.diagram), ("-of-three", config.three)):
        asked, make = _cells(settings), partial(network, settings.features - 1, settings.features)
        cells = work.train_instances(f"cells{suffix}", make, len(asked), asked, weighted_error, settings.training)
        work.step(f"diagram{suffix}", diagram, cells, settings)
    paired = config.pairs
    each = paired.copies * paired.tries
    kinds = [PairedFeatures(kind, paired.pairs, paired.density) for kind in KINDS for _ in range(each)]
    make = partial(network, paired.hidden, 2 * paired.pairs)
    networks = work.train_instances("pairs", make, len(kinds), kinds, weighted_error, paired.training)
    work.step("angles", angles, networks, kinds, paired.tries)


def geometry(trained: Sequence[Checkpoints], densities: np.ndarray, length: float) -> xr.Dataset:
    """Dimensionality and length of every feature of every network at the end, NaN where it is shorter than `length`."""
    weights = torch.stack([each.load(each.steps[-1])["W"] for each in trained])
    lengths = weights.norm(dim=1)
    found = torch.where(lengths > length, feature_dimensionality(weights.double()).float(), torch.nan)
    each = weights.shape[1] / weights.square().sum(dim=(1, 2))
    return xr.Dataset(
        {
            "dimensionality": (("density", "feature"), found.numpy()),
            "length": (("density", "feature"), lengths.numpy()),
            "per_feature": ("density", each.numpy()),
            "W": (("density", "hidden", "feature"), weights.numpy()),
        },
        {"density": densities},
    )


def followed(trained: Sequence[Checkpoints], at: int, length: float) -> xr.Dataset:
    """Dimensionality of every feature of one network along its training."""
    one = trained[at]
    weights = torch.stack([one.load(step)["W"] for step in one.steps])
    found = torch.where(weights.norm(dim=1) > length, feature_dimensionality(weights.double()).float(), torch.nan)
    return xr.Dataset({"dimensionality": (("step", "feature"), found.numpy())}, {"step": one.steps})


def _cells(diagram: Diagram) -> list[SparseFeatures]:
    """The task of each network: `tries` of them at each cell."""
    densities, importances = (np.geomspace(*ends, diagram.side) for ends in (diagram.densities, diagram.importances))
    others = (1.0,) * (diagram.features - 1)
    cells = product(densities.tolist(), importances.tolist(), range(diagram.tries))
    return [SparseFeatures(density, (*others, importance)) for density, importance, _ in cells]


def diagram(cells: Sequence[Checkpoints], settings: Diagram) -> xr.Dataset:
    """The kind of solution of the best network at each cell, that of the lowest exact loss, and how clear that is.

    Returns:
        Over (density, importance): `trained` and `theory`, kinds of `theory.KINDS` by number; `gap`, the relative
        difference between the two lowest exact losses.
    """
    side, tasks = settings.side, _cells(settings)
    kinds, losses = [], []
    for task, one in zip(tasks, cells, strict=True):
        weights = one.load(one.steps[-1])
        model = Autoencoder(weights["W"], weights["b"])
        with torch.no_grad():
            losses.append(float(weighted_error(model, task.sample(20_000, 0)).mean()))
        kinds.append(kind_of(weights["W"].numpy()))
    shape = (side, side, settings.tries)
    best = np.reshape(losses, shape).argmin(axis=2)
    exact = np.array(
        [exact_losses(settings.features, each.density, each.importance[-1]) for each in tasks[:: settings.tries]]
    )
    ordered = np.sort(exact, axis=1)
    dims = ("density", "importance")
    return xr.Dataset(
        {
            "trained": (dims, np.take_along_axis(np.reshape(kinds, shape), best[..., None], 2)[..., 0]),
            "theory": (dims, exact.argmin(axis=1).reshape(side, side)),
            "gap": (dims, ((ordered[:, 1] - ordered[:, 0]) / ordered[:, 0]).reshape(side, side)),
        },
        {"density": np.geomspace(*settings.densities, side), "importance": np.geomspace(*settings.importances, side)},
        {"margin": settings.margin},
    )
