"""Look-up tables of N items, and networks that learn a rule with N exceptions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.core.seeds import generator
from ontogeny.measurement import LLC, Losses
from ontogeny.sampling import PosteriorConfig
from ontogeny.stores import Checkpoints
from ontogeny.studies.grokking.addition import AdditionMLP, Rows, all_pairs, loss, maker
from ontogeny.studies.grokking.fourier import centred_logits, of_sum
from ontogeny.studies.memorised_items.compression import critical_bits, critical_rank
from ontogeny.studies.memorised_items.config import Config
from ontogeny.studies.own_data import MadeWithRows, OfRows, numbers_of, with_rows
from ontogeny.studies.workspace import Workspace
from ontogeny.testing.lookup_tables import LookupTable, table_coefficients

ITEMS = "items"


def run(work: Workspace, config: Config) -> None:
    """Makes of each N `table-N` with its coefficients `fixed-N` at fixed nβ/N and `same-N` at one nβ, and the `exact`
    ones; and the networks `exceptions`, with `beside`, their coefficients, and `witnesses`, what else they tell.
    """
    sizes, networks = config.tables, list[Checkpoints]()
    data = [labelled(n, sizes.labels, work.seed("table", n)) for n in sizes.items]
    middle = sizes.per_item * sizes.items[len(sizes.items) // 2]
    for n, rows in zip(sizes.items, data, strict=True):
        make = partial(random_table, n, sizes.labels)
        training = config.table_training.model_copy(update={"batch_size": n})
        network = work.train(f"table-{n}", make, rows, loss, training)
        for name, nbeta in ((f"fixed-{n}", sizes.per_item * n), (f"same-{n}", middle)):
            posterior = PosteriorConfig(nbeta=nbeta, localization=sizes.localization)
            asked = [
                LLC({ITEMS: rows}, loss, posterior, sizes.sampler, seed=work.seed("sampler", name)),
                Losses({ITEMS: rows}, loss, num_samples=n),
            ]
            work.measure(name, network, make, asked, steps=network.steps[-1:])
        networks.append(network)
    work.step("exact", exact, networks, data, sizes.per_item, sizes.localization)

    beside = config.exceptions
    tasks = [
        RuleWithExceptions(beside.modulus, count, work.seed("exceptions", count, copy))
        for count in beside.counts
        for copy in range(beside.copies)
    ]
    make, size = maker(beside.modulus, beside.shape), beside.modulus**2
    training = config.training.model_copy(update={"batch_size": size})
    learned = work.train_instances("exceptions", make, len(tasks), tasks, loss, training)
    rows = [task.rows for task in tasks]
    held = with_rows([network.load(network.steps[-1]) for network in learned], rows)
    posterior = PosteriorConfig(nbeta=beside.per_item * size, localization=beside.localization)
    items, own = {ITEMS: numbers_of(rows[0])}, OfRows(loss)
    asked = [
        LLC(items, own, posterior, beside.sampler, seed=work.seed("sampler")),
        Losses(items, own, num_samples=size),
    ]
    work.measure("beside", held, MadeWithRows(make, rows[0]), asked)
    work.step("witnesses", witnesses, learned, tasks, make, beside.tolerated)


def labelled(count: int, labels: int, seed: int) -> tuple[Tensor, Tensor]:
    """Items 0, 1, … and a label for each, uniform."""
    return torch.arange(count), torch.randint(labels, (count,), generator=generator(seed, "labels"))


def random_table(count: int, labels: int) -> LookupTable:
    """Logits N(0, 1) from torch's global random numbers."""
    return LookupTable(torch.randn(count, labels))


def exact(
    networks: Sequence[Checkpoints], data: Sequence[tuple[Tensor, Tensor]], per_item: float, localization: float
) -> xr.Dataset:
    """The exact λ̂ of each table at its last checkpoint, and the spread of what its items add."""
    found = list[tuple[int, float, float]]()
    for network, (_, labels) in zip(networks, data, strict=True):
        weights = network.load(network.steps[-1])["logits"]
        value = table_coefficients(weights, labels, per_item, localization).value
        found.append((len(labels), float(value.sum()), float(value.std())))
    items, value, spread = zip(*found, strict=True)
    return xr.Dataset({"llc": (ITEMS, list(value)), "spread": (ITEMS, list(spread))}, coords={ITEMS: list(items)})


@dataclass(frozen=True)
class RuleWithExceptions:
    """The table of (a + b) mod p with other labels for some pairs, as a task whose every sample is all of it.

    Attributes:
        modulus: p.
        count: of exceptions.
        seed: of which pairs they are, and of their labels, uniform over those that are wrong.
    """

    modulus: int
    count: int
    seed: int

    def sample(self, num_samples: int, seed: int) -> Rows:
        """All pairs in order, whatever the seed: `num_samples` must be their number."""
        return self.rows

    @property
    def rows(self) -> Rows:
        """Pairs and labels."""
        pairs, sums = all_pairs(self.modulus)
        chosen = self.exceptions
        shift = torch.randint(1, self.modulus, (self.count,), generator=generator(self.seed, "labels"))
        labels = sums.clone()
        labels[chosen] = (sums[chosen] + shift) % self.modulus
        return pairs, labels

    @property
    def exceptions(self) -> Tensor:
        """Their places in the table."""
        return torch.randperm(self.modulus**2, generator=generator(self.seed, "pairs"))[: self.count]


def witnesses(
    networks: Sequence[Checkpoints],
    tasks: Sequence[RuleWithExceptions],
    make: Callable[[], AdditionMLP],
    tolerated: float,
) -> xr.Dataset:
    """Of each network how far its weights can be compressed, its norm, its accuracy on all pairs, and `sum_share`, the
    share of the logits' variance that is a function of a + b.
    """
    found = dict[str, list[float]]()
    for network, task in zip(networks, tasks, strict=True):
        model = make()
        model.load_state_dict(network.load(network.steps[-1]))
        pairs, labels = task.rows
        with torch.no_grad():
            logits = centred_logits(model, task.modulus)
            by_sum = of_sum(logits, task.modulus)
            accuracy = (logits.argmax(-1) == labels).double().mean()
            share = (by_sum - by_sum.mean(0)).square().mean() / (logits - logits.mean(0)).square().mean()
            norm = sum(weight.square().sum() for weight in model.parameters()) ** 0.5
        told = {
            "exceptions": task.count,
            "bits": critical_bits(model, (pairs, labels), loss, tolerated),
            "rank": critical_rank(model, (pairs, labels), loss, tolerated),
            "accuracy": accuracy,
            "sum_share": share,
            "norm": norm,
        }
        for name, value in told.items():
            found.setdefault(name, []).append(float(value))
    return xr.Dataset({name: ("network", np.array(values)) for name, values in found.items()})
