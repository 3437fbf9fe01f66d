"""The belief-state study: train on a process whose beliefs are known, read them out along training, test the claims."""

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.compmech import BeliefRegression, mixed_states, myopic_entropies
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import next_token
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.development import joint_pca, stages
from ontogeny.execution import Executor
from ontogeny.measurement import choice_of, measure
from ontogeny.models import RecurrentNetwork, Transformer
from ontogeny.reports import Page, claims_panel, insert_after, summary, trajectory_panels, verdict, write_page
from ontogeny.stores import Checkpoints, write_json, write_tree
from ontogeny.studies.artefacts import (
    attempt,
    keep_analysis,
    make_once,
    place,
    read,
    read_analysis,
    shown,
    unstaged,
)
from ontogeny.studies.belief_states import geometry
from ontogeny.studies.belief_states.behaviour import BeliefBehaviour, contexts
from ontogeny.studies.belief_states.config import BeliefConfig
from ontogeny.studies.belief_states.contexts import activations
from ontogeny.studies.belief_states.evidence import CLAIMS, evidence
from ontogeny.studies.belief_states.panels import belief_panels
from ontogeny.studies.claims import Findings, judge
from ontogeny.studies.clock import Clock
from ontogeny.training import TrainingConfig, train

TRANSFORMER, RECURRENT = "transformer", "LSTM"


def run(
    config: BeliefConfig, directory: Path, cache: Path, progress: Progress, executor: Executor | None = None
) -> None:
    """Train and measure one seed into `directory`, going on from whatever is there.

    Leaves `config.json`, `transformer/` and `lstm/` (checkpoints, metrics), `measurements/`, `trajectory.zarr`,
    `beliefs-*.zarr`, `picture.zarr` and `presentation.zarr`, each looked for by itself.
    """
    clock = Clock(directory)
    write_json(directory / "config.json", config.model_dump(mode="json"))
    data = clock.time("sequences", lambda: sequences(config))
    networks = {name: _model_fn(config, name) for name in (TRANSFORMER, RECURRENT)}
    runs = {
        name: clock.time(f"training the {name}", partial(_train, config, name, data, directory, progress))
        for name in networks
    }
    trajectory = clock.time(
        "measuring",
        lambda: measure(
            runs[TRANSFORMER],
            networks[TRANSFORMER],
            data[:10_000],
            next_token,
            behaviour=BeliefBehaviour(config.process, config.regression),
            posterior=config.posterior,
            sampler=config.sampler,
            seed=derive(config.seed, "sampler"),
            store=directory / "measurements",
            executor=executor,
            progress=progress,
        ),
    )
    optimum = myopic_entropies(config.process.make(), config.process.context_length)[1:] * np.log(2)
    trajectory = trajectory.assign(optimal_loss=("length", optimum)).assign_attrs(
        trajectory.attrs | {"facts": json.dumps(_facts(config, data, networks))}
    )
    write_tree(place(directory, "trajectory"), trajectory)
    for name in networks:
        reading = Reading(config, name, runs[name], networks[name])
        clock.time(f"reading the {name}", partial(make_once, directory, _beliefs(name), reading.described))
        if name == TRANSFORMER:
            clock.time(f"reading the {name}", partial(make_once, directory, "picture", reading.picture))
    make_once(directory, "presentation", lambda: _presentation(config))


def analyse(config: BeliefConfig, directory: Path) -> Findings:
    """Find the stages of the curves that `run` left in `directory`, and what it says of each claim."""
    trajectory = read(directory, "trajectory")
    keep_analysis(directory, "stages", attempt(lambda: stages(trajectory)))
    beliefs = {name: read(directory, _beliefs(name)) for name in (TRANSFORMER, RECURRENT)}
    return evidence(trajectory, beliefs[TRANSFORMER], beliefs[RECURRENT], config)


def report(config: BeliefConfig, directory: Path, title: str, target: Path, seeds: Sequence[Findings]) -> Path:
    """Judge the claims over `seeds` and write `claims.json` and `report.html` into `target`."""
    claims = [claim.record() for claim in judge(CLAIMS, seeds)]
    write_json(target / "claims.json", claims)
    trajectory, picture, presentation = (read(directory, name) for name in ("trajectory", "picture", "presentation"))
    analysed = read_analysis(directory, "stages")
    found, reason = shown(analysed), unstaged(analysed)
    panels = trajectory_panels(
        trajectory,
        stages=found,
        unstaged=reason,
        pca=shown(attempt(lambda: joint_pca(trajectory["outputs"], seed=config.seed))),
        choice=choice_of(trajectory),
    )
    beliefs = {name: read(directory, _beliefs(name)) for name in (TRANSFORMER, RECURRENT)}
    own = belief_panels(trajectory, stages=found, beliefs=beliefs, picture=picture, presentation=presentation)
    page = Page(
        title,
        verdict(trajectory, found, claims, reason),
        json.loads(trajectory.attrs["facts"]),
        insert_after(panels, "stages", [claims_panel(claims), *own]),
        f"ontogeny study belief-states --preset {config.preset} --seeds {len(seeds)}",
        summary(trajectory),
    )
    return write_page(target / "report.html", page)


def sequences(config: BeliefConfig) -> Tensor:
    """Training sequences, begun in the stationary state."""
    process = config.process
    return torch.as_tensor(
        process.make().sample(process.num_sequences, process.context_length, seed=derive(config.seed, "sequences"))
    )


def _model_fn(config: BeliefConfig, name: str) -> Callable[[], nn.Module]:
    tokens, length = config.process.make().num_tokens, config.process.context_length

    def make() -> nn.Module:
        weights = generator(config.seed, "weights", name)
        if name == RECURRENT:
            return RecurrentNetwork(config.architecture.recurrent(tokens), weights).to(config.device)
        return Transformer(config.architecture.transformer(tokens, length), weights).to(config.device)

    return make


def _train(config: BeliefConfig, name: str, data: Tensor, directory: Path, progress: Progress) -> Checkpoints:
    training: TrainingConfig = config.recurrent_training if name == RECURRENT else config.training
    seeded = training.model_copy(update={"seed": derive(config.seed, "training")})
    return train(_model_fn(config, name)(), data, next_token, seeded, directory / name.lower(), progress)


@dataclass(frozen=True)
class Reading:
    """Beliefs read from the last checkpoint of a network, with every control, the first one being the untrained
    network. The regressions are made when the first artefact asks for them.
    """

    config: BeliefConfig
    name: str
    checkpoints: Checkpoints
    model_fn: Callable[[], nn.Module]

    def described(self) -> xr.Dataset:
        """The regressions over `site`, the distances, and whether moving activations along them moves the output."""
        config, table, model = self.config, contexts(self.config.process), self._at(self.checkpoints.steps[-1])
        (untrained, _), (_, logits) = self._activations
        sites, results = geometry.sites_of(model), self._results
        last = list(sites)[-1]
        found = geometry.describe(results, table).assign(
            untrained_distance_r2=geometry.r2_alone(untrained, table, config.regression)["belief_distance_r2"],
            final_loss_by_length=geometry.expected_losses(logits, table),
        )
        steered = geometry.steer(model, sites[last], results[last], table, derive(config.seed, "steering"))
        return found.assign_attrs(steered | {"steered_site": last})

    def picture(self) -> xr.Dataset:
        """True beliefs beside those read at the best single site."""
        best = max((site for site in self._results if site != geometry.ALL), key=lambda site: self._results[site].r2)
        found = geometry.picture(self._results[best], contexts(self.config.process))
        return found.assign_attrs(site=best, process=self.config.process.name)

    def _at(self, step: int) -> nn.Module:
        model = self.model_fn()
        model.load_state_dict(self.checkpoints.load(step))
        return model

    @cached_property
    def _activations(self) -> list[tuple[geometry.Activations, np.ndarray]]:
        """Of the first and of the last checkpoint: activations by site, and logits."""
        found: list[tuple[geometry.Activations, np.ndarray]] = []
        for step in (self.checkpoints.steps[0], self.checkpoints.steps[-1]):
            model = self._at(step)
            sites = geometry.sites_of(model)
            every = activations(model, contexts(self.config.process), list(sites.values()))
            named = geometry.with_all({name: every[site] for name, site in sites.items()}, list(sites))
            found.append((named, every["logits"]))
        return found

    @cached_property
    def _results(self) -> dict[str, BeliefRegression]:
        (untrained, _), (trained, _) = self._activations
        return geometry.regress(trained, untrained, contexts(self.config.process), self.config.regression)


def _presentation(config: BeliefConfig) -> xr.Dataset:
    """The mixed-state presentation as a graph, where it is small enough to draw; else its first levels."""
    process = config.process.make()
    try:
        graph, complete = mixed_states(process, max_states=500), True
    except InvalidArgument:
        graph, complete = mixed_states(process, max_depth=4), False
    rows, tokens = np.nonzero(graph.successors >= 0)
    found = xr.Dataset(
        {
            "source": ("edge", rows),
            "target": ("edge", graph.successors[rows, tokens]),
            "token": ("edge", tokens),
            "probability": ("edge", graph.laws[rows, tokens]),
            "depth": ("node", graph.first_depth),
            "belief": (("node", "state"), graph.beliefs),
            "recurrent": ("node", np.isin(np.arange(graph.num_states), graph.recurrent if complete else [])),
        },
        attrs={"complete": int(complete), "process": config.process.name},
    )
    if not complete:
        return found
    return found.assign(transient_modulus=("mode", np.sort(np.abs(graph.spectrum().transient))[::-1]))


def _facts(config: BeliefConfig, data: Tensor, networks: dict[str, Callable[[], nn.Module]]) -> dict[str, str]:
    sizes = {name: sum(tensor.numel() for tensor in make().parameters()) for name, make in networks.items()}
    process, training, shape = config.process, config.training, config.architecture
    given = ", ".join(f"{name} {value:g}" for name, value in process.parameters.items())
    return {
        "Process": f"{process.name}{f' ({given})' if given else ''}, begun in its stationary state",
        "Models": f"{shape.num_layers}-layer transformer, d_model {shape.d_model}, {sizes[TRANSFORMER]:,} parameters; "
        f"LSTM, width {shape.recurrent_width}, {sizes[RECURRENT]:,} parameters",
        "Data": f"{len(data):,} sequences of {process.context_length} tokens",
        "Training": f"{training.num_steps:,} steps of {training.batch_size}, {training.optimizer}, "
        f"learning rate {training.learning_rate:g}",
        "Seed": str(config.seed),
        "Versions": f"Python {platform.python_version()}, torch {torch.__version__}, threads {torch.get_num_threads()}",
    }


def _beliefs(name: str) -> str:
    return f"beliefs-{name.lower()}"
