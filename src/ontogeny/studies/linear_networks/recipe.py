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
from torch import Tensor, nn

from ontogeny.core.losses import LossFn
from ontogeny.measurement import MadeLoss
from ontogeny.stores import Checkpoints, open_checkpoints
from ontogeny.studies.linear_networks.config import Config, Widths, name_of
from ontogeny.studies.workspace import Workspace
from ontogeny.testing.aoyagi import deep_linear
from ontogeny.testing.linear_networks import DeepLinear

ROWS = torch.zeros(2)  # the population has no rows; the loss is the same for each of these


def run(work: Workspace, config: Config) -> None:
    """Makes for each network its checkpoints, `path-NAME` and `measured-NAME`; `plateaus` of all; and `points`."""
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


def linear_network(widths: Widths, size: float, seed: int) -> nn.Sequential:
    """Linear layers without biases; entries are normal, and the largest singular value of a layer is about `size`."""
    layers, source = list[nn.Module](), torch.Generator().manual_seed(seed)
    for fan_in, fan_out in pairwise(widths):
        layer = nn.Linear(fan_in, fan_out, bias=False)
        nn.init.normal_(layer.weight, std=size / (fan_in**0.5 + fan_out**0.5), generator=source)
        layers.append(layer)
    return nn.Sequential(*layers)


def product(model: nn.Module) -> Tensor:
    """P = W_L … W_1."""
    return reduce(lambda done, weight: weight @ done, model.parameters())


def gap(model: nn.Module, batch: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor:
    """|P - target|², for every row."""
    rows = batch[0] if isinstance(batch, tuple) else batch
    return (product(model) - target.to(rows.device)).square().sum().expand(rows.shape[0])


def own_function(model: nn.Module) -> LossFn:
    """K(w) = |W_L … W_1 - P|² with P that of the model as it is now."""
    return partial(gap, target=product(model).detach())


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
