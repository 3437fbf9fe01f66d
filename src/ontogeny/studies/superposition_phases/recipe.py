"""Coefficients at the critical points, paths of training and the plateaus on them, and phases of the posterior.

At the critical points the coefficient is that of the population loss. Along a path it is that of the network's own
function, K(w) = E |f(x; w) - f(x; w*)|², whose minimum w* is: at a saddle, such as that of no weights, the loss has
none. At the polygons that are minima off the kinks both have the same exact value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.core.losses import LossFn
from ontogeny.core.seeds import generator
from ontogeny.measurement import MadeLoss
from ontogeny.stores import Checkpoints, open_checkpoints
from ontogeny.studies.superposition_phases.config import Config
from ontogeny.studies.superposition_phases.free_energies import MORSE_BOTT, phase
from ontogeny.studies.superposition_phases.polygons import (
    FEATURES,
    HIDDEN,
    LANDMARKS,
    NONE,
    levels,
    losses,
    network_at,
    recognised,
)
from ontogeny.studies.superposition_phases.posterior import sampled_phases
from ontogeny.studies.workspace import Workspace
from ontogeny.testing.superposition import Autoencoder, expected_loss

_GRID = 16  # magnitudes μ, in the middles of equal parts of [0, 1]


def run(work: Workspace, config: Config) -> None:
    """Makes `points` and `coefficients` of the critical points; `posterior`; and the networks `paths` with `path`,
    where each is at each step, `plateaus`, and `measured` there.
    """
    work.step("points", critical_points, work.seed("flat"))
    planted = open_checkpoints([network_at(name).state_dict() for name in MORSE_BOTT])
    coefficient = partial(MadeLoss, data=torch.zeros(config.num_samples), seed=work.seed("sampler"))
    at_points = coefficient(population_loss, sampler=config.sampler, name="population loss")
    work.measure("coefficients", planted, partial(network_at, "5"), [at_points])
    work.step("posterior", sampled_phases, config.phases, config.sizes, work.seed("posterior"))

    make = partial(small_network, config.initial)
    paths = work.train_instances("paths", make, config.paths, OneFeature(), squared_error, config.training)
    path = work.step("path", followed, paths, config.tolerance)
    table = work.step("plateaus", plateaus, path, config.plateau)
    visited = open_checkpoints(
        [paths[i].load(step) for i, step in zip(*(table[key].values.tolist() for key in ("path", "step")), strict=True)]
    )
    on_paths = coefficient(own_function, sampler=config.path_sampler)
    work.measure("measured", visited, partial(network_at, "5"), [on_paths])


@dataclass(frozen=True)
class OneFeature:
    """A task: x = μ e_i, with i uniform over the features and μ ~ U[0, 1]."""

    def sample(self, num_samples: int, seed: int) -> Tensor:
        source = generator(seed, "inputs")
        active = torch.randint(FEATURES, (num_samples, 1), generator=source)
        x = torch.zeros(num_samples, FEATURES)
        return x.scatter_(1, active, torch.rand(num_samples, 1, generator=source))


def small_network(size: float) -> Autoencoder:
    """Weights N(0, size²) and no biases."""
    return Autoencoder(size * torch.randn(HIDDEN, FEATURES), torch.zeros(FEATURES))


def squared_error(model: Autoencoder, batch: Tensor) -> Tensor:
    """|x - f(x)|² of each row."""
    return (batch - model(batch)).square().sum(dim=-1)


def population_loss(model: Autoencoder) -> LossFn:
    """E |x - f(x)|², for every row."""
    return lambda model, rows: expected_loss(model.W, model.b).expand(rows.shape[0])


def own_function(model: Autoencoder) -> LossFn:
    """E |f(x) - f*(x)|² with f* the model as it is now, for every row; over 16 values of μ."""
    magnitudes = (torch.arange(_GRID) + 0.5) / _GRID
    x = (magnitudes[:, None, None] * torch.eye(FEATURES)).flatten(0, 1)
    outputs = model(x).detach()
    return lambda model, rows: (model(x) - outputs).square().sum(dim=1).mean().expand(rows.shape[0])


def critical_points(seed: int) -> xr.Dataset:
    """The exact loss of each critical point and, off the kinks, λ and the terms of the free energy, else NaN; and
    `rise` (draw), of the feature that is off at 5.
    """
    exact, phases = levels(), {name: phase(name, seed) for name in MORSE_BOTT}
    terms = ("coefficient", "prior_term", "log_volume")
    found = {term: [getattr(phases.get(name), term, np.nan) for name in LANDMARKS] for term in terms}
    found["loss"] = [exact[name] for name in LANDMARKS]
    table = xr.Dataset({name: ("point", values) for name, values in found.items()}, coords={"point": list(LANDMARKS)})
    return table.assign(rise=("draw", phases["5"].rises))


def followed(paths: Sequence[Checkpoints], tolerance: float) -> xr.Dataset:
    """The exact loss of every path at every step, the critical point that it is at, and the final weights."""
    steps = paths[0].steps
    saved = [[path.load(step) for step in steps] for path in paths]
    weights, biases = (torch.stack([torch.stack([each[key] for each in path]) for path in saved]) for key in ("W", "b"))
    flat = weights.flatten(0, 1), biases.flatten(0, 1)
    shape = (len(paths), len(steps))
    found = {
        "loss": (("path", "step"), losses(*flat).numpy().reshape(shape)),
        "point": (("path", "step"), recognised(*flat, tolerance).reshape(shape)),
        "W": (("path", "step", "hidden", "feature"), weights.numpy()),
        "b": (("path", "step", "feature"), biases.numpy()),
    }
    return xr.Dataset(found, coords={"path": range(len(paths)), "step": steps})


def plateaus(path: xr.Dataset, least: int) -> xr.Dataset:
    """One row for each plateau, in the order of paths and steps: its path, critical point, middle step and loss there.

    A plateau is `least` or more checkpoints in a row at one critical point; one that is left for fewer than `least`
    checkpoints at no other plateau is still the same.
    """
    rows = list[tuple[int, str, int, float]]()
    for number, (points, loss) in enumerate(zip(path["point"].values, path["loss"].values, strict=True)):
        for point, places in _stays(points, least):
            middle = places[len(places) // 2]
            rows.append((number, point, int(path["step"][middle]), float(loss[middle])))
    keys = ("path", "point", "step", "loss")
    columns = zip(*rows, strict=True) if rows else ([] for _ in keys)
    return xr.Dataset({key: ("plateau", list(values)) for key, values in zip(keys, columns, strict=True)})


def _stays(points: np.ndarray, least: int) -> list[tuple[str, list[int]]]:
    """The critical point of each plateau of one path, and its checkpoints."""
    found = list[tuple[str, list[int]]]()
    place = 0
    for point, group in groupby(points.tolist()):
        places = list(range(place, place := place + len(list(group))))
        if len(places) < least or point == NONE:
            continue
        if found and found[-1][0] == point:
            found[-1][1].extend(places)
        else:
            found.append((point, places))
    return found
