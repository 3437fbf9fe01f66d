"""Networks on datasets of every size, their losses and dimensionalities, and coefficients over the size."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.circuits import feature_dimensionality
from ontogeny.core.seeds import generator
from ontogeny.measurement import LLC
from ontogeny.stores import Checkpoints
from ontogeny.studies.memorisation.config import Config
from ontogeny.studies.own_data import MadeWithRows, OfRows, numbers_of, with_rows
from ontogeny.studies.workspace import Workspace
from ontogeny.testing.superposition import Autoencoder

ITEMS = "items"
Batch = tuple[Tensor, Tensor]


def run(work: Workspace, config: Config) -> None:
    """Makes the networks `weak` and, with stronger decay, `strong`, with their `measures-NAME`; the networks `repeats`
    with `repeated`, the dimensionality of the repeated point; and `coefficients` of the first network of each size.
    """
    sizes = [(size, copy) for size in config.sizes for copy in range(config.copies)]
    data = [points(config, size, work.seed("data", size, copy)) for size, copy in sizes]
    tasks, make = [FinitePoints(each) for each in data], partial(network, config.hidden, config.features)
    test = points(config, config.test_samples, work.seed("test"))
    trained = dict[str, list[Checkpoints]]()
    for name, decay in (("weak", config.training.weight_decay), ("strong", config.strong)):
        training = config.training.model_copy(update={"weight_decay": decay})
        trained[name] = work.train_instances(name, make, len(tasks), tasks, weighted_error, training)
        work.step(f"measures-{name}", measures, trained[name], data, test, config.sizes)
    again = [(count, copy) for count in config.repeats.counts for copy in range(config.repeats.copies)]
    several = [points(config, config.repeats.size, work.seed("repeats", copy)) for _, copy in again]
    tasks = [FinitePoints(repeated(each, count)) for each, (count, _) in zip(several, again, strict=True)]
    networks = work.train_instances("repeats", make, len(tasks), tasks, weighted_error, config.training)
    work.step("repeated", of_repeated, networks, several, test, config.repeats.counts)

    firsts = trained["weak"][:: config.copies]
    rows = [cycled(each, config.rows) for each in data[:: config.copies]]
    held, own = with_rows([each.load(each.steps[-1]) for each in firsts], rows), {ITEMS: numbers_of(rows[0])}
    asked = LLC(own, OfRows(weighted_error), config.posterior, config.sampler, seed=work.seed("sampler"))
    work.measure("coefficients", held, MadeWithRows(make, rows[0]), [asked])


def points(config: Config, count: int, seed: int) -> Tensor:
    """Data points of length 1, (point, feature): each feature is on with the density, by itself, and then U[0, 1].

    A point without any feature on is left at 0.
    """
    source, size = generator(seed, "points"), (count, config.features)
    on = torch.rand(size, generator=source) < config.density
    x = torch.where(on, torch.rand(size, generator=source), 0.0)
    return x / x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)


def repeated(data: Tensor, count: int) -> Tensor:
    """The data with the first point `count` times."""
    return torch.cat([data[:1].expand(count, -1), data[1:]])


def cycled(data: Tensor, rows: int) -> Batch:
    """The points over and over, as so many rows, with weights that make the mean over rows that over points."""
    places = torch.arange(rows) % len(data)
    return data[places], rows / (len(data) * torch.bincount(places, minlength=len(data))[places])


@dataclass(frozen=True)
class FinitePoints:
    """A task that draws from finitely many points: all of them, cycled, if they are no more than a batch.

    Samples are (x, weight), as of `cycled`.
    """

    data: Tensor

    def sample(self, num_samples: int, seed: int) -> Batch:
        if len(self.data) <= num_samples:
            return cycled(self.data, num_samples)
        drawn = torch.randint(len(self.data), (num_samples,), generator=generator(seed, "batch"))
        return self.data[drawn], torch.ones(num_samples)


def weighted_error(model: Autoencoder, batch: Batch) -> Tensor:
    """|x - x̂|² of each row, times its weight."""
    x, weight = batch
    return weight * (x - model(x)).square().sum(dim=-1)


def network(hidden: int, features: int) -> Autoencoder:
    """Xavier's weights, N(0, 2/(n + m)), and no biases."""
    return Autoencoder(torch.randn(hidden, features) * (2 / (hidden + features)) ** 0.5, torch.zeros(features))


@torch.no_grad()
def measures(networks: Sequence[Checkpoints], data: Sequence[Tensor], test: Tensor, sizes: Sequence[int]) -> xr.Dataset:
    """Of each network, over (size, copy), what it has learned: `train` and `test` losses, and of data points and of
    features the dimensionality of a typical one, `typical_data` and `typical_features` (see `typical`); `apart`, the
    median over points of the distance of D from m/T, relative to it; the weights `W` and, of the first copy, the hidden
    vectors `hidden-T` of its points.
    """
    copies = len(networks) // len(sizes)
    found, weights, vectors = dict[str, list[float]](), list[Tensor](), list[Tensor]()
    for one, own in zip(networks, data, strict=True):
        model = loaded(one)
        hidden = (own @ model.W.T).T
        by_point = feature_dimensionality(hidden.double())
        told = {
            "train": mean_error(model, own),
            "test": mean_error(model, test),
            "typical_data": typical(by_point),
            "typical_features": typical(feature_dimensionality(model.W.double())),
            "apart": float((by_point * len(own) / model.W.shape[0] - 1).abs().median()),
        }
        for name, value in told.items():
            found.setdefault(name, []).append(value)
        weights.append(model.W)
        vectors.append(hidden)
    shape = (len(sizes), copies)
    table = {name: (("size", "copy"), np.reshape(values, shape)) for name, values in found.items()}
    stacked = torch.stack(weights).numpy().reshape(*shape, *weights[0].shape)
    shown = {f"hidden-{size}": (("unit", f"point-{size}"), vectors[i * copies]) for i, size in enumerate(sizes)}
    own = {"W": (("size", "copy", "unit", "feature"), stacked)}
    return xr.Dataset({**table, **shown, **own}, {"size": list(sizes)})


def loaded(run: Checkpoints) -> Autoencoder:
    """The network at the end."""
    weights = run.load(run.steps[-1])
    return Autoencoder(weights["W"], weights["b"])


def mean_error(model: Autoencoder, x: Tensor) -> float:
    """Mean of |x - x̂|²."""
    return float((x - model(x)).square().sum(dim=-1).mean())


def typical(dimensionality: Tensor) -> float:
    """Σ D² / Σ D: the mean of D over what takes up dimensions, without a threshold on lengths."""
    total = dimensionality.sum()
    return float(dimensionality.square().sum() / total) if total > 0 else 0.0


@torch.no_grad()
def of_repeated(
    networks: Sequence[Checkpoints], data: Sequence[Tensor], test: Tensor, counts: Sequence[int]
) -> xr.Dataset:
    """Over (count, copy): `dimensionality` of the repeated point among the different points, the largest `other`, that
    of a typical feature, and the test loss.
    """
    found = dict[str, list[float]]()
    for one, own in zip(networks, data, strict=True):
        model = loaded(one)
        by_point = feature_dimensionality((own @ model.W.T).T.double())
        told = {
            "dimensionality": float(by_point[0]),
            "other": float(by_point[1:].max()),
            "typical_features": typical(feature_dimensionality(model.W.double())),
            "test": mean_error(model, test),
        }
        for name, value in told.items():
            found.setdefault(name, []).append(value)
    shape = (len(counts), len(networks) // len(counts))
    return xr.Dataset(
        {name: (("count", "copy"), np.reshape(values, shape)) for name, values in found.items()},
        {"count": list(counts)},
    )
