"""The belief-state study: train on a process whose beliefs are known, read them out along training, test the claims."""

import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.compmech import mixed_states, myopic_entropies
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.losses import next_token
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.development import joint_pca, stages
from ontogeny.measurement import measure
from ontogeny.models import RecurrentNetwork, Transformer
from ontogeny.reports import ReportContent, write_page
from ontogeny.stores import Checkpoints, read_tree, write_json, write_tree
from ontogeny.studies.belief_states import geometry
from ontogeny.studies.belief_states.behaviour import BeliefBehaviour, contexts
from ontogeny.studies.belief_states.config import BeliefConfig
from ontogeny.studies.belief_states.contexts import activations
from ontogeny.studies.belief_states.evidence import CLAIMS, evidence
from ontogeny.studies.claims import Evidence, judge
from ontogeny.studies.clock import Clock
from ontogeny.training import TrainingConfig, train

TRANSFORMER, RECURRENT = "transformer", "LSTM"


def run(config: BeliefConfig, directory: Path, cache: Path, progress: Progress) -> None:
    """Train and measure one seed into `directory`, going on from whatever is there.

    Leaves `config.json`, `transformer/` and `lstm/` (checkpoints, metrics), `measurements/`, `trajectory.zarr`,
    `beliefs-*.zarr`, `picture.zarr` and `presentation.zarr`.
    """
    clock = Clock(directory)
    write_json(directory / "config.json", config.model_dump(mode="json"))
    data = clock.time("sequences", lambda: sequences(config))
    networks = {name: _model_fn(config, name) for name in (TRANSFORMER, RECURRENT)}
    runs = {
        name: clock.time(f"training the {name}", lambda name=name: _train(config, name, data, directory, progress))
        for name in networks
    }
    behaviour = BeliefBehaviour(config.process, config.regression)
    sampler = config.sampler.model_copy(update={"seed": derive(config.seed, "sampler")})
    trajectory = clock.time(
        "measuring",
        lambda: measure(
            runs[TRANSFORMER],
            networks[TRANSFORMER],
            data[:10_000],
            next_token,
            behaviour=behaviour,
            sampler=sampler,
            store=directory / "measurements",
            progress=progress,
        ),
    )
    optimum = myopic_entropies(config.process.make(), config.process.context_length)[1:] * np.log(2)
    trajectory = trajectory.assign(optimal_loss=("length", optimum)).assign_attrs(
        trajectory.attrs | {"facts": json.dumps(_facts(config, data, networks))}
    )
    write_tree(directory / "trajectory.zarr", trajectory)
    for name in networks:
        clock.time(f"reading the {name}", lambda name=name: _read_beliefs(config, runs[name], name, directory))
    write_tree(directory / "presentation.zarr", _presentation(config))


def analyse(config: BeliefConfig, directory: Path) -> dict[str, Evidence]:
    """Find the stages of the curves that `run` left in `directory`, and the evidence for each claim tested."""
    trajectory = read_tree(directory / "trajectory.zarr").to_dataset()
    write_tree(directory / "stages.zarr", stages(trajectory))
    beliefs = {name: read_tree(_place(directory, name)).to_dataset() for name in (TRANSFORMER, RECURRENT)}
    return evidence(trajectory, beliefs[TRANSFORMER], beliefs[RECURRENT], config)


def report(config: BeliefConfig, directory: Path, title: str, target: Path, seeds: list[dict[str, Evidence]]) -> Path:
    """Judge the claims over `seeds` and write `claims.json` and `report.html` into `target`."""
    claims = [claim.record() for claim in judge(CLAIMS, seeds)]
    write_json(target / "claims.json", claims)
    names = ("trajectory", "stages", "picture", "presentation")
    trajectory, found, picture, presentation = (read_tree(directory / f"{name}.zarr").to_dataset() for name in names)
    beliefs = {name: read_tree(_place(directory, name)).to_dataset() for name in (TRANSFORMER, RECURRENT)}
    content = ReportContent(
        title=title,
        trajectory=trajectory,
        stages=found,
        pca=joint_pca(trajectory["outputs"], seed=config.seed),
        claims=claims,
        facts=json.loads(trajectory.attrs["facts"]),
        command=f"ontogeny study belief-states --preset {config.preset} --seeds {len(seeds)}",
        beliefs=beliefs,
        picture=picture,
        presentation=presentation,
    )
    return write_page(target / "report.html", content)


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


def _read_beliefs(config: BeliefConfig, checkpoints: Checkpoints, name: str, directory: Path) -> None:
    """The regressions of the last checkpoint with every control, the first one being the untrained network."""
    if _place(directory, name).exists():
        return
    model, table = _model_fn(config, name)(), contexts(config.process)
    sites, found = geometry.sites_of(model), {}
    for step in (checkpoints.steps[0], checkpoints.steps[-1]):
        model.load_state_dict(checkpoints.load(step))
        every = activations(model, table, list(sites.values()))
        found[step] = geometry.with_all({name: every[site] for name, site in sites.items()}, list(sites))
    untrained, trained = found.values()
    results = geometry.regress(trained, untrained, table, config.regression)
    last = list(sites)[-1]
    described = geometry.describe(results, table).assign(
        untrained_distance_r2=geometry.r2_alone(untrained, table, config.regression)["belief_distance_r2"],
        final_loss_by_length=geometry.expected_losses(every["logits"], table),
    )
    steered = geometry.steer(model, sites[last], results[last], table, derive(config.seed, "steering"))
    write_tree(_place(directory, name), described.assign_attrs(steered | {"steered_site": last}))
    if name == TRANSFORMER:
        best = max((site for site in results if site != geometry.ALL), key=lambda site: results[site].r2)
        picture = geometry.picture(results[best], table)
        write_tree(directory / "picture.zarr", picture.assign_attrs(site=best, process=config.process.name))


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
        "Versions": f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads",
    }


def _place(directory: Path, name: str) -> Path:
    return directory / f"beliefs-{name.lower()}.zarr"
