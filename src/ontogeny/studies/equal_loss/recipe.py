"""Pairs of networks of equal training loss that compute by different algorithms, and what can be measured of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn

from ontogeny.core.losses import cross_entropy as loss
from ontogeny.core.seeds import generator
from ontogeny.measurement import LLC, Behaviour, Responses
from ontogeny.models import restrict
from ontogeny.probes import ProbeConfig, fit_probe
from ontogeny.stores import open_checkpoints
from ontogeny.studies.equal_loss.brackets import Brackets, Rule, lowest_depth, waves
from ontogeny.studies.equal_loss.brackets import maker as bracket_maker
from ontogeny.studies.equal_loss.config import Config
from ontogeny.studies.grokking.addition import Table, maker
from ontogeny.studies.grokking.recipe import at_loss, loss_of, whole
from ontogeny.studies.own_data import Rows, Weights
from ontogeny.studies.workspace import Workspace

PAIRS = {"sums": ("adding", "memorising"), "brackets": ("nesting", "counting")}
RULES: tuple[Rule, Rule] = ("nesting", "counting")
PARTS = {"sums": ("embed", "unembed"), "brackets": ("first", "output")}


def run(work: Workspace, config: Config) -> None:
    """Makes, for each of `PAIRS`, its trained networks, `coefficients-PAIR` of the whole and its parts,
    `responses-PAIR` and `geometry-PAIR`, each over networks: those of the first algorithm, then those of the second.
    """
    _sums(work, config)
    _brackets(work, config)


def _sums(work: Workspace, config: Config) -> None:
    own = config.sums
    count = int(own.train_share * own.modulus**2)
    table, make = Table(own.modulus, count, seed=work.seed("table")), maker(own.modulus, own.shape)
    tasks = [table] * config.networks
    adding = work.train_instances("adding", make, len(tasks), tasks, loss, whole(own.training, count))
    others = work.train_instances("memorising", make, len(tasks), tasks, loss, whole(own.memorising, count))
    ends = [network.load(network.steps[-1]) for network in adding]
    alike = [
        at_loss(network, loss_of(make, end, table.rows), table.rows, make)
        for network, end in zip(others, ends, strict=True)
    ]
    pairs, labels = table.rows
    geometry = Geometry(table.rows, table.rest, waves(labels, own.modulus), "unembed")
    _measure(work, config, "sums", make, [*ends, *alike], table.rows, pairs[:, 0] < own.modulus / 2, geometry)


def _brackets(work: Workspace, config: Config) -> None:
    own, weights = config.matching, list[Weights]()
    make = bracket_maker(own.length, own.hidden)
    tasks = {rule: Brackets(own.length, own.unequal, rule, work.seed("brackets")) for rule in RULES}
    rows = tasks[RULES[0]].rows
    for rule, task in tasks.items():
        training = whole(own.training, task.size)
        networks = work.train_instances(rule, make, config.networks, [task] * config.networks, loss, training)
        weights += [at_loss(network, own.loss, rows, make) for network in networks]
    geometry = Geometry(rows, tasks[RULES[0]].rest, lowest_depth(rows[0]), "output")
    _measure(work, config, "brackets", make, weights, rows, rows[1] == 1, geometry)


def _measure(
    work: Workspace,
    config: Config,
    name: str,
    make: Callable[[], nn.Module],
    weights: Sequence[Weights],
    rows: Rows,
    group: Tensor,
    geometry: "Geometry",
) -> None:
    """Everything that is read of networks on the data that all of them have in common."""
    held, posterior, seed = open_checkpoints(list(weights)), config.posterior(len(rows[1])), work.seed("sampler", name)
    model = make()
    parts = {part: restrict(model, part) for part in PARTS[name]}
    asked = LLC(
        {"rows": rows}, loss, posterior, config.sampler, components={"all": restrict(model, "*"), **parts}, seed=seed
    )
    work.measure(f"coefficients-{name}", held, make, [asked])
    probes = {"rows": rows, "group": tuple(part[group] for part in rows)}
    responses = Responses(rows, loss, probes, {"all": restrict(model, "*")}, posterior, config.sampler, seed=seed)
    work.measure(f"responses-{name}", held, make, [responses])
    work.measure(f"geometry-{name}", held, make, [Behaviour(geometry)])


@dataclass(frozen=True)
class Geometry:
    """A behaviour for `measure`: what is cheap to read on the training data, and what tells the algorithms apart.

    `loss` and `norm` of all weights; `dimension`, the participation ratio (Σ v)² / Σ v² of the variances v of what the
    last layer reads; `readout`, how well an affine map reads there a state that only one of the algorithms needs, on
    samples that it has not seen (R²). Errors of the loss are over samples, and of the dimension by ten resamples of
    them. `rest` is the accuracy on data outside of training, by the rule of the first algorithm.

    Args:
        rows: samples and labels that both algorithms were trained on.
        outside: others, on which the algorithms differ.
        state: of each row.
        layer: name of the last layer.
    """

    rows: Rows
    outside: Rows
    state: Tensor
    layer: str

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> xr.Dataset:
        x, y = self.rows
        losses = F.cross_entropy(model(x).double(), y, reduction="none")
        hidden = self._read(model)
        source = generator(0, "geometry")
        again = [torch.randint(len(x), (len(x),), generator=source) for _ in range(10)]
        found = {
            "loss": (float(losses.mean()), float(losses.std()) / len(losses) ** 0.5),
            "norm": (sum(float(w.double().square().sum()) for w in model.parameters()) ** 0.5, 0.0),
            "dimension": (dimension(hidden), float(np.std([dimension(hidden[each]) for each in again], ddof=1))),
            "readout": self._readout(hidden),
        }
        outside, labels = self.outside
        values = {"rest": float((model(outside).argmax(-1) == labels).double().mean())}
        for name, (value, error) in found.items():
            values |= {name: value, f"{name}_error": error}
        return xr.Dataset(values)

    def _read(self, model: nn.Module) -> Tensor:
        """What the last layer reads of the rows."""
        seen = list[Tensor]()
        hook = model.get_submodule(self.layer).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            model(self.rows[0])
        finally:
            hook.remove()
        return seen[0].double()

    def _readout(self, hidden: Tensor) -> tuple[float, float]:
        config = ProbeConfig(num_permutations=19)
        probe = fit_probe(hidden.numpy(), {"state": self.state.double().numpy()}, np.arange(len(hidden)), config=config)
        return probe.r2, float("nan")


def dimension(values: Tensor) -> float:
    """The participation ratio of the variances of columns along their principal directions."""
    spread = torch.linalg.svdvals(values - values.mean(0)).square()
    return float(spread.sum().square() / spread.square().sum())
