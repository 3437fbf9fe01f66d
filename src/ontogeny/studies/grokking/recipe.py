"""Networks that learn modular addition, their coefficients along training, and those at the end over p and items."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import nn

from ontogeny.development.curves import spaced_in_log
from ontogeny.measurement import LLC, Behaviour, Losses
from ontogeny.sampling import PosteriorConfig
from ontogeny.stores import Checkpoints
from ontogeny.studies.grokking.addition import AdditionMLP, Rows, Table, loss, maker
from ontogeny.studies.grokking.config import Config
from ontogeny.studies.grokking.fourier import Progress, key_frequencies
from ontogeny.studies.own_data import MadeWithRows, OfRows, Weights, numbers_of, with_rows
from ontogeny.studies.workspace import Workspace
from ontogeny.training import TrainingConfig

ITEMS = "items"
Module = TypeVar("Module", bound=nn.Module)


def run(work: Workspace, config: Config) -> None:
    """Makes the networks `sums`, `labels` and `other`, with `curves-NAME`, how each behaves at every checkpoint;
    `trajectory`, the coefficients of the first, at one nβ and γ chosen for it; at these, `coefficients` of all sums,
    `coefficients-labels` and `coefficients-other`; `memorising` networks, and `pairs` of equal loss; and the sweeps.
    """
    count = int(config.train_share * config.modulus**2)
    tables = [Table(config.modulus, count, seed=work.seed("table", i)) for i in range(config.networks)]
    random = Table(config.modulus, count, random=True, seed=work.seed("table", 0))
    make = maker(config.modulus, config.shape)
    sums = work.train_instances("sums", make, len(tables), tables, loss, whole(config.training, count))
    labels = work.train("labels", make, random.rows, loss, whole(config.training, count))
    other = work.train("other", make, tables[0].rows, loss, whole(config.other_training, count))
    for name, network, table in [
        *((f"sums-{i}", *pair) for i, pair in enumerate(zip(sums, tables, strict=True))),
        ("labels", labels, random),
        ("other", other, tables[0]),
    ]:
        work.measure(f"curves-{name}", network, make, [Behaviour(progress(network, table, config))])

    steps = spaced_in_log([step for step in sums[0].steps if step >= config.first_measured], config.measured)
    first = work.measure(
        "trajectory",
        sums[0],
        make,
        tables[0].rows,
        loss,
        steps=[0, *steps],
        behaviour=progress(sums[0], tables[0], config),
        posterior=config.posterior,
        sampler=config.along,
    )
    chosen = PosteriorConfig(nbeta=float(first["llc_nbeta"][0]), localization=float(first["llc_localization"][0]))
    measured = partial(coefficients, posterior=chosen, config=config, seed=work.seed("sampler"))
    at_steps = [(network.load(step), table.rows) for network, table in zip(sums, tables, strict=True) for step in steps]
    held = with_rows(*zip(*at_steps, strict=True))
    work.measure("coefficients", held, MadeWithRows(make, tables[0].rows), measured(tables[0].rows))
    for name, network, table in (("labels", labels, random), ("other", other, tables[0])):
        seen = spaced_in_log([step for step in network.steps if step >= config.first_measured], config.measured)
        held = with_rows([network.load(step) for step in seen], [table.rows] * len(seen))
        work.measure(f"coefficients-{name}", held, MadeWithRows(make, table.rows), measured(table.rows))
        work.step(f"steps-{name}", steps_of, seen)
    work.step("steps", steps_of, steps)

    memorising = work.train_instances("memorising", make, len(tables), tables, loss, whole(config.memorising, count))
    ends = [network.load(network.steps[-1]) for network in sums]
    alike = [
        at_loss(network, loss_of(make, end, table.rows), table.rows, make)
        for network, end, table in zip(memorising, ends, tables, strict=True)
    ]
    held = with_rows([*ends, *alike], [table.rows for table in (*tables, *tables)])
    work.measure(
        "pairs", held, MadeWithRows(make, tables[0].rows), measured(tables[0].rows, posterior=config.fixed(count))
    )
    sweeps(work, config)


def sweeps(work: Workspace, config: Config) -> None:
    """Makes `moduli-P` with its networks, the first half on sums; and `labels-N` of networks on N random labels."""
    sizes = config.sweeps
    for p in sizes.moduli:
        count = int(sizes.train_share * p * p)
        tables = [
            Table(p, count, random, seed=work.seed("sweep", p, i))
            for random in (False, True)
            for i in range(sizes.copies)
        ]
        settings = whole(sweep_training(config), count)
        make = maker(p, config.shape)
        networks = work.train_instances(f"networks-{p}", make, len(tables), tables, loss, settings)
        ends, rows = [network.load(network.steps[-1]) for network in networks], [table.rows for table in tables]
        at_end(work, config, f"moduli-{p}", make, ends, rows, PosteriorConfig(localization=config.published))
        work.step(f"accuracy-{p}", accuracies, networks, tables, make)
    most, p = max(sizes.items), config.modulus
    tables = [Table(p, n, True, most // n, work.seed("items", n, i)) for n in sizes.items for i in range(sizes.copies)]
    make, settings = maker(p, config.shape), whole(config.memorising, most)
    networks = work.train_instances("networks-items", make, len(tables), tables, loss, settings)
    for n in sizes.items:
        own = [i for i, table in enumerate(tables) if table.items == n]
        rows = [tables[i].rows for i in own]
        alike = [at_loss(networks[i], sizes.loss, tables[i].rows, make) for i in own]
        at_end(work, config, f"labels-{n}", make, alike, rows, config.fixed(n))


def at_end(
    work: Workspace,
    config: Config,
    name: str,
    make: Callable[[], AdditionMLP],
    weights: Sequence[Weights],
    rows: Sequence[Rows],
    posterior: PosteriorConfig,
) -> None:
    """Coefficients of networks with as many rows each."""
    asked = coefficients(rows[0], posterior, config, work.seed("sampler", name))
    work.measure(name, with_rows(weights, rows), MadeWithRows(make, rows[0]), asked)


def coefficients(rows: Rows, posterior: PosteriorConfig, config: Config, seed: int) -> list[LLC | Losses]:
    """Of networks that hold their rows, as many as these."""
    data, own = {ITEMS: numbers_of(rows)}, OfRows(loss)
    return [
        LLC(data, own, posterior, config.sampler, seed=seed),
        Losses(data, own, num_samples=len(rows[0])),
    ]


def whole(training: TrainingConfig, count: int) -> TrainingConfig:
    """The training by full batches of so many items."""
    return training.model_copy(update={"batch_size": count})


def sweep_training(config: Config) -> TrainingConfig:
    """That of the networks of the sweeps."""
    return config.training.model_copy(
        update={
            "learning_rate": config.sweeps.learning_rate,
            "weight_decay": config.sweeps.weight_decay,
            "num_steps": config.sweeps.num_steps,
            "checkpoints_log": 0,
            "checkpoints_linear": 1,
        }
    )


def progress(network: Checkpoints, table: Table, config: Config) -> Progress:
    """What is followed of a network; the key frequencies are those of its last checkpoint."""
    model = loaded(maker(config.modulus, config.shape), network.load(network.steps[-1]))
    return Progress(config.modulus, table.rows, table.rest, key_frequencies(model, config.modulus))


def at_loss(network: Checkpoints, wanted: float, rows: Rows, make: Callable[[], nn.Module]) -> Weights:
    """Weights of a run at which its loss is `wanted`: on the line between the first two checkpoints that have it
    between them; the last checkpoint if there are none.
    """
    before = network.load(network.steps[0])
    for step in network.steps[1:]:
        after = network.load(step)
        if loss_of(make, after, rows) <= wanted:
            low, high = 0.0, 1.0
            for _ in range(40):
                middle = (low + high) / 2
                above = loss_of(make, _between(before, after, middle), rows) > wanted
                low, high = (middle, high) if above else (low, middle)
            return _between(before, after, high)
        before = after
    return before


@torch.no_grad()
def loss_of(make: Callable[[], nn.Module], weights: Weights, rows: Rows) -> float:
    """The mean loss of a network on rows."""
    return float(F.cross_entropy(loaded(make, weights)(rows[0]).double(), rows[1]))


def _between(before: Weights, after: Weights, share: float) -> Weights:
    return {name: torch.lerp(before[name], after[name], share) for name in before}


@torch.no_grad()
def accuracies(networks: Sequence[Checkpoints], tables: Sequence[Table], make: Callable[[], AdditionMLP]) -> xr.Dataset:
    """Train and test accuracy of each network at its end."""
    found = np.zeros((2, len(networks)))
    for i, (network, table) in enumerate(zip(networks, tables, strict=True)):
        model = loaded(make, network.load(network.steps[-1]))
        for j, (pairs, labels) in enumerate((table.rows, table.rest)):
            found[j, i] = float((model(pairs).argmax(-1) == labels).double().mean())
    return xr.Dataset({"train": ("network", found[0]), "test": ("network", found[1])})


def steps_of(steps: list[int]) -> xr.Dataset:
    """The steps of the checkpoints that coefficients were measured at."""
    return xr.Dataset({"at": ("step", steps)})


def loaded(make: Callable[[], Module], weights: Weights) -> Module:
    """A network with these weights. Global random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]):
        model = make()
    model.load_state_dict(weights)
    return model
