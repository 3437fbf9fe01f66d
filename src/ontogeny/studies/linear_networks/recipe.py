"""Networks trained from small weights, their saddles, and the complexity there.

With W_L … W_1 = P and the population loss |P - T|², training from small weights comes near the best approximations of
T of rank 0, 1, 2, …, one after the other. The layers there have the rank of their product, which is the most degenerate
point over it, so that Aoyagi's formula holds. Complexity is measured for the network's own function: of
K(w) = |W_L … W_1 - P|² at w*, whose minimum w* is, although the loss falls on.
"""

from functools import partial, reduce
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.measurement import MadeLoss
from ontogeny.stores import Checkpoints, open_checkpoints
from ontogeny.studies.linear_networks.config import Config, Widths, name_of
from ontogeny.studies.linear_networks.layers import gap, linear_network, own_function
from ontogeny.studies.linear_networks.stagewise import plateau_steps, run_hierarchy, spread_network
from ontogeny.studies.workspace import Workspace
from ontogeny.testing.aoyagi import deep_linear
from ontogeny.testing.linear_networks import DeepLinear

ROWS = torch.zeros(2)  # the population has no rows; the loss is the same for each of these


def run(work: Workspace, config: Config) -> None:
    """Makes for each network its checkpoints, `path-NAME` and `measured-NAME`; `plateaus` of all; `points`; networks
    `stairs` with their plateaus, `stairs-found` and `stairs-measured`; and what `run_hierarchy` makes.
    """
    own = MadeLoss(own_function, ROWS, config.posterior, config.sampler, work.seed("sampler"))
    paths, measured = dict[Widths, xr.Dataset](), dict[Widths, xr.Dataset]()
    for widths in config.networks:
        name, size = name_of(widths), config.initial[len(widths) > 3]
        make = partial(linear_network, widths, size, work.seed("weights", name))
        target = torch.zeros(widths[-1], widths[0])
        target.diagonal()[: len(config.singular_values)] = torch.tensor(config.singular_values)
        network = work.train(f"network-{name}", make, ROWS, partial(gap, target=target), config.training)
        paths[widths] = work.step(f"path-{name}", distances, network, target)
        steps = sorted(set(paths[widths]["saddle_step"].values.tolist()))
        measured[widths] = work.measure(f"measured-{name}", network, make, [own], steps=steps)
    work.step("plateaus", plateaus, paths, measured)
    points = [DeepLinear(config.point_widths, ranks, len(ROWS), population=True) for ranks in config.points]
    planted = open_checkpoints([point.model().state_dict() for point in points])
    at_points = MadeLoss(own_function, ROWS, config.point_posterior, config.sampler, work.seed("sampler", "points"))
    work.measure("points", planted, partial(linear_network, config.point_widths, 1.0, 0), [at_points])
    run_stairs(work, config)
    run_hierarchy(work, config.hierarchy)


def run_stairs(work: Workspace, config: Config) -> None:
    """Networks that differ in their initial weights, and coefficients at the plateaus of their losses."""
    stairs = config.stairs
    target, sizes = torch.diag(torch.tensor(stairs.singular_values)), (stairs.initial, stairs.initial)
    make, loss = partial(spread_network, stairs.widths, sizes), partial(gap, target=target)
    paths = work.train_instances("stairs", make, stairs.count, ROWS, loss, stairs.training)
    table = work.step("stairs-found", plateau_steps, paths, target, make, stairs)
    places = zip(*(table[key].values.tolist() for key in ("path", "step")), strict=True)
    visited = open_checkpoints([paths[path].load(step) for path, step in places])
    own = MadeLoss(own_function, ROWS, config.posterior, stairs.sampler, work.seed("sampler", "stairs"))
    work.measure("stairs-measured", visited, make, [own])


def distances(run: Checkpoints, target: Tensor) -> xr.Dataset:
    """Distance |P - T_k| to the best approximation of each rank along training, and the step nearest to each."""
    rank, weights = int(torch.linalg.matrix_rank(target)), [run.load(step) for step in run.steps]
    products = [reduce(lambda done, name, w=w: w[name] @ done, sorted(w)[1:], w[min(w)]) for w in weights]
    saddles = [target * (torch.arange(target.shape[1]) < k) for k in range(rank + 1)]
    apart = np.array([[float((each - saddle).norm()) for saddle in saddles] for each in products])
    found = {"distance": (("step", "rank"), apart), "loss": ("step", apart[:, -1] ** 2)}
    nearest = np.array(run.steps)[apart.argmin(axis=0)]
    return xr.Dataset(found | {"saddle_step": ("rank", nearest)}, coords={"step": run.steps, "rank": range(rank + 1)})


def plateaus(paths: dict[Widths, xr.Dataset], measured: dict[Widths, xr.Dataset]) -> xr.Dataset:
    """One row a plateau: what was measured, the exact value, that of the next rank, and half the number of weights."""
    rows = []
    for widths, path in paths.items():
        steps = path["saddle_step"].values
        at = measured[widths].sel(step=steps).drop_vars("step").rename_dims(step="plateau")
        exact = [float(deep_linear(widths, rank)[0]) for rank in range(path.sizes["rank"] + 1)]
        half = [sum(a * b for a, b in pairwise(widths)) / 2] * path.sizes["rank"]
        own = {
            "step": steps,
            "rank": path["rank"].values,
            "exact": exact[:-1],
            "next_rank": exact[1:],
            "half_parameters": half,
        }
        own |= {"network": [name_of(widths)] * path.sizes["rank"]}
        rows.append(at.assign({name: ("plateau", values) for name, values in own.items()}))
    return xr.concat(rows, "plateau")
