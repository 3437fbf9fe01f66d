"""Networks that learn sparse parities one by one, their coefficients, and their answers to the data of each task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import nn

from ontogeny.development.curves import spaced_in_log
from ontogeny.measurement import LLC, Behaviour, Losses, Responses
from ontogeny.models import restrict
from ontogeny.stores import Checkpoints
from ontogeny.studies.grokking.recipe import steps_of
from ontogeny.studies.own_data import MadeWithRows, OfRows, Rows, Weights, numbers_of, with_rows
from ontogeny.studies.parity.config import Config
from ontogeny.studies.parity.tasks import Parities, loss, maker
from ontogeny.studies.workspace import Workspace

DRAWN = "drawn"


def run(work: Workspace, config: Config) -> None:
    """Makes `networks` with `curves-N`, how each does on every task at every checkpoint, and `coefficients` at `steps`;
    `responses` of the first network to the data of each task; and the `sweep`, with `swept`, what its networks have
    learned, and `coefficients-swept`.
    """
    tasks = [config.tasks.drawn(work.seed("sets", i)) for i in range(config.networks)]
    make = maker(config.tasks.count + config.tasks.bits, config.hidden)
    networks = work.train_instances("networks", make, len(tasks), tasks, loss, config.training)
    for i, (network, task) in enumerate(zip(networks, tasks, strict=True)):
        work.measure(f"curves-{i}", network, make, [Behaviour(OnTasks(task))])
    late = [step for step in networks[0].steps if step >= config.first_measured]
    steps = spaced_in_log(late, config.measured)
    rows = [task.sample(config.samples, work.seed("data", i)) for i, task in enumerate(tasks)]
    at_steps = [(network.load(step), own) for network, own in zip(networks, rows, strict=True) for step in steps]
    measured(work, config, "coefficients", make, at_steps)
    work.step("steps", steps_of, steps)

    wanted = config.answers
    probes = {"mixture": tasks[0].sample(wanted.samples * config.tasks.count, work.seed("probe"))}
    probes |= {
        f"task {t}": tasks[0].some_of_task(t, wanted.samples, work.seed("probe")) for t in range(config.tasks.count)
    }
    asked = Responses(
        rows[0],
        loss,
        probes,
        {"all": restrict(make(), "*")},
        config.posterior,
        wanted.sampler,
        seed=work.seed("sampler", "responses"),
    )
    work.measure("responses", networks[0], make, [asked], steps=spaced_in_log(late, wanted.checkpoints))
    sweep(work, config, make)


def sweep(work: Workspace, config: Config, make: Callable[[], nn.Module]) -> None:
    """Makes the networks of several laws of frequencies."""
    laws = [law for law in config.sweep.exponents for _ in range(config.sweep.copies)]
    tasks = [config.tasks.drawn(work.seed("swept", i), law) for i, law in enumerate(laws)]
    ending = {"num_steps": config.sweep.num_steps, "checkpoints_log": 0, "checkpoints_linear": 1}
    networks = work.train_instances("sweep", make, len(tasks), tasks, loss, config.training.model_copy(update=ending))
    work.step("swept", ends, networks, tasks, make, config.learned)
    rows = [task.sample(config.samples, work.seed("data", "swept", i)) for i, task in enumerate(tasks)]
    held = [(network.load(network.steps[-1]), own) for network, own in zip(networks, rows, strict=True)]
    measured(work, config, "coefficients-swept", make, held)


def measured(
    work: Workspace,
    config: Config,
    name: str,
    make: Callable[[], nn.Module],
    held: Sequence[tuple[Weights, Rows]],
) -> None:
    """Coefficients and losses of networks, each on samples of its own tasks."""
    data, own = {DRAWN: numbers_of(held[0][1])}, OfRows(loss)
    asked = [
        LLC(data, own, config.posterior, config.sampler, seed=work.seed("sampler", name)),
        Losses(data, own, num_samples=config.samples),
    ]
    work.measure(name, with_rows(*zip(*held, strict=True)), MadeWithRows(make, held[0][1]), asked)


@dataclass(frozen=True)
class OnTasks:
    """Accuracy and mean loss over every input of each task."""

    tasks: Parities

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> xr.Dataset:
        found = np.zeros((2, self.tasks.count))
        for task in range(self.tasks.count):
            x, y = self.tasks.of_task(task)
            logits = model(x)
            found[0, task] = float((logits.argmax(-1) == y).double().mean())
            found[1, task] = float(F.cross_entropy(logits.double(), y))
        return xr.Dataset({"accuracy": ("task", found[0]), "task_loss": ("task", found[1])})


def ends(
    networks: Sequence[Checkpoints], tasks: Sequence[Parities], make: Callable[[], nn.Module], least: float
) -> xr.Dataset:
    """What the last checkpoint of each network has learned: `learned` are the tasks of at least this accuracy."""
    each, model = [], make()
    for network, task in zip(networks, tasks, strict=True):
        model.load_state_dict(network.load(network.steps[-1]))
        found = OnTasks(task)(model).assign(exponent=task.exponent)
        each.append(found.assign(learned=(found["accuracy"] >= least).sum("task")))
    return xr.concat(each, "network")
