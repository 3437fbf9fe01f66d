"""Influence of items on each other along training: sampled, retrained without an item, and exact; and two phases."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import nn

import ontogeny.estimators as estimators
from ontogeny.core.seeds import derive
from ontogeny.development.curves import spaced_in_log
from ontogeny.sampling import LocalPosterior, sample
from ontogeny.stores import Checkpoints
from ontogeny.studies.linear_networks.config import Hierarchy, Stairs
from ontogeny.studies.linear_networks.hierarchy import (
    Items,
    flow,
    item_losses,
    labels,
    products,
    strengths,
    weighted,
)
from ontogeny.studies.linear_networks.layers import linear_network
from ontogeny.studies.workspace import Workspace

Make = Callable[[], nn.Sequential]


def run_hierarchy(work: Workspace, config: Hierarchy) -> None:
    """Makes of each network i `items-i`, the networks trained with all items and without each, with `influence-i`; and
    the networks `spread`, of weights of many sizes, with `phases`, the covariance of losses over them.
    """
    values, count = config.singular_values, 2 ** (len(config.singular_values) - 1)
    tasks = [Items(values), *(Items(values, item) for item in range(count))]
    training = config.training.model_copy(update={"batch_size": count})
    for number in range(config.networks):
        make = partial(linear_network, (count, config.width, count), config.initial, work.seed("hierarchy", number))
        trained = work.train_instances(f"items-{number}", make, len(tasks), tasks, weighted, training)
        work.step(f"influence-{number}", influences, trained, make, config, work.seed("draws", number))
    make = partial(spread_network, (count, config.width, count), config.sizes)
    spread = work.train_instances("spread", make, config.spread, tasks[0], weighted, training)
    work.step("phases", phases, spread, make, config)


def spread_network(widths: tuple[int, ...], sizes: tuple[float, float]) -> nn.Sequential:
    """A linear network whose size is uniform in its logarithm, from torch's global random numbers."""
    first, last = np.log(sizes)
    size = float(np.exp(first + (last - first) * torch.rand(()).item()))
    return linear_network(widths, size, int(torch.randint(2**31, ()).item()))


def influences(trained: Sequence[Checkpoints], make: Make, config: Hierarchy, seed: int) -> xr.Dataset:
    """Influence of item i on the loss of item j along one training, over (step, item, other).

    Returns:
        `retrained`, the loss of j at the same step of a training without i, less that with it: positive where i helps
        j. `exact`, the same by `hierarchy.flow`. `sampled`, -BIF = Cov(ℓ_i, ℓ_j) over the local posterior at the
        checkpoint, to which the loss of j would rise with less weight on i; with `mcse`. `strength` (step, level).
    """
    whole, target = trained[0], labels(config.singular_values)
    steps = [whole.steps[0], *spaced_in_log([each for each in whole.steps if each >= config.first], config.measured)]
    network, times = make(), [step * config.training.learning_rate / len(target) for step in steps]
    paths = [products(network, [each.load(step) for step in steps]) for each in trained]
    without = [target.clone() for _ in target.mT]
    for item, own in enumerate(without):
        own[:, item] = 0.0
    exact = [item_losses(flow(make(), each, times), target) for each in (target, *without)]
    losses = [item_losses(path, target) for path in paths]
    drawn = [covariances(whole, step, make, config, derive(seed, step)) for step in steps]
    told = {
        "retrained": np.stack([each - losses[0] for each in losses[1:]], axis=1),
        "exact": np.stack([each - exact[0] for each in exact[1:]], axis=1),
        "sampled": np.stack([each["covariance"].values for each in drawn]),
        "mcse": np.stack([each["mcse"].values for each in drawn]),
    }
    found = {name: (("step", "item", "other"), each) for name, each in told.items()}
    strength = strengths(paths[0], config.singular_values)
    return xr.Dataset({**found, "strength": (("step", "level"), strength)}, {"step": steps})


def covariances(run: Checkpoints, step: int, make: Make, config: Hierarchy, seed: int) -> xr.Dataset:
    """The loss kernel of the items at a checkpoint."""
    network = make()
    network.load_state_dict(run.load(step))
    data = Items(config.singular_values).sample(0, 0)[:2]
    posterior = LocalPosterior(network, data, weighted, **config.posterior.options())
    draws = sample(posterior, config.sampler, observables={"items": data}, seed=seed)
    return estimators.loss_kernel(draws, "items")


def phases(spread: Sequence[Checkpoints], make: Make, config: Hierarchy) -> xr.Dataset:
    """Covariance over networks of the losses of two items, mean over all pairs, and its parts by two phases.

    A network is in the later phase of a level if more than half of it is learned. With shares π and 1 - π of the
    networks in the two phases, Cov(ℓ_i, ℓ_j) = Σ π_k Cov_k(ℓ_i, ℓ_j) + π(1 - π) Δμ_i Δμ_j, where Δμ is the difference
    of the mean losses.

    Returns:
        Over step: `total`; over (level, step) `share`, π, and `between`, the last term.
    """
    steps, target, network = spread[0].steps, labels(config.singular_values), make()
    paths = torch.stack([products(network, [each.load(step) for step in steps]) for each in spread])
    losses, learned = item_losses(paths, target), strengths(paths, config.singular_values) > 0.5
    pairs = ~np.eye(len(target), dtype=bool)
    apart = losses - losses.mean(axis=0)
    total = np.einsum("nti,ntj->tij", apart, apart)[:, pairs].mean(axis=1) / len(spread)
    share = learned.mean(axis=0).T
    between = np.zeros(share.shape)
    for level in range(len(share)):
        for place in np.flatnonzero((share[level] > 0) & (share[level] < 1)):
            later = learned[:, place, level]
            change = losses[later, place].mean(axis=0) - losses[~later, place].mean(axis=0)
            weight = share[level, place] * (1 - share[level, place])
            between[level, place] = weight * np.outer(change, change)[pairs].mean()
    over = ("level", "step")
    return xr.Dataset({"total": ("step", total), "share": (over, share), "between": (over, between)}, {"step": steps})


def plateau_steps(paths: Sequence[Checkpoints], target: torch.Tensor, make: Make, stairs: Stairs) -> xr.Dataset:
    """The plateaus of the losses of trainings: at least `least` checkpoints in a row between which the loss changes by
    less than `still` of its first value. Over plateau the `path`, and its middle `step` and `loss` there.
    """
    rows, steps = list[tuple[int, int, float]](), paths[0].steps
    for number, run in enumerate(paths):
        loss = (products(make(), [run.load(step) for step in steps]) - target).square().sum(dim=(1, 2)).numpy()
        still, begun = np.abs(np.diff(loss)) < stairs.still * loss[0], 0
        for place in range(1, len(loss) + 1):
            if place == len(loss) or not still[place - 1]:
                if place - begun >= stairs.least:
                    middle = (begun + place - 1) // 2
                    rows.append((number, steps[middle], float(loss[middle])))
                begun = place
    keys = ("path", "step", "loss")
    columns = zip(*rows, strict=True) if rows else ([] for _ in keys)
    return xr.Dataset({key: ("plateau", list(values)) for key, values in zip(keys, columns, strict=True)})
