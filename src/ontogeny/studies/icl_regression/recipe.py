"""The study of in-context regression: train every task diversity, follow them together, and weigh the two phases."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
import xarray as xr

from ontogeny.development import EssentialConfig, essential_dynamics, joint_pca, stages
from ontogeny.development.curves import spaced_in_log
from ontogeny.measurement import LLC, Behaviour, Losses
from ontogeny.models import RegressionConfig, RegressionTransformer
from ontogeny.stores import Checkpoints
from ontogeny.studies.icl_regression.config import INFINITE, RegressionStudyConfig
from ontogeny.studies.icl_regression.measures import (
    DMMSE,
    OUT,
    RIDGE,
    Nats,
    RegressionBehaviour,
    behaviour_of,
    squared_error,
)
from ontogeny.studies.icl_regression.selection import Ladder, weighed
from ontogeny.studies.workspace import Workspace

DATA = "data"


def run(work: Workspace, config: RegressionStudyConfig) -> None:
    """Makes `networks`; of each `curves-M`, its behaviour; `trajectory`, the coefficients of the network of infinite
    diversity, and `coefficients-M` of the others; `pca`, `stages` and `essential`; of each finite one `ridge-phase-M`;
    and where phases are weighed `phases`.
    """
    tasks = config.tasks(work.seed("tasks"))
    make = partial(network, config.shape, work.seed("weights"), config.device)
    trained = work.train_instances("networks", make, len(tasks), list(tasks.values()), squared_error, config.training)
    runs = dict(zip(tasks, trained, strict=True))
    behaviours = {
        label: behaviour_of(task, config.probe_sequences, config.scales, work.seed("probes"))
        for label, task in tasks.items()
    }
    curves = {
        label: work.measure(curves_of(label), runs[label], make, [Behaviour(behaviour)])
        for label, behaviour in behaviours.items()
    }
    work.step("pca", together, curves, references(behaviours), config.seed)
    work.step("essential", essential, curves[INFINITE], config.essential, config.seed)
    data = {label: task.sample(config.coefficient_sequences, work.seed("data")) for label, task in tasks.items()}
    for label, network_run in runs.items():
        counted = [step for step in network_run.steps if step >= config.first_measured]
        asked = coefficients(data[label], config, work.seed("sampler"))
        steps = spaced_in_log(counted, config.coefficient_steps)
        measured = work.measure(coefficients_of(label), network_run, make, asked, steps=steps)
        if label == INFINITE:
            work.step("stages", stages, measured, config.stages)
    phases(work, config, runs, make, data)


def phases(
    work: Workspace,
    config: RegressionStudyConfig,
    runs: Mapping[str, Checkpoints],
    make: "partial[RegressionTransformer]",
    data: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
) -> None:
    """Of each finite diversity: the coefficient and loss of the ridge-like phase, which is the last network of infinite
    diversity, on its sequences; and chains from both phases, for the posterior itself.
    """
    ridge = runs[INFINITE]
    for label in (str(M) for M in config.diversities):
        asked = coefficients(data[label], config, work.seed("sampler"))
        work.measure(f"ridge-phase-{label}", ridge, make, asked, steps=ridge.steps[-1:])
    if config.selection is None:
        return
    ladders = {}
    for label in (str(M) for M in config.selection.diversities):
        ladder = Ladder(
            data[label],
            Nats(config.noise_variance),
            config.selection.nbetas,
            config.posterior,
            config.selection.sampler,
            work.seed("ladder"),
        )
        for phase, network in ((RIDGE, ridge), (DMMSE, runs[label])):
            name = f"ladder-{label}-{phase}"
            ladders[label, phase] = work.measure(name, network, make, [ladder], steps=network.steps[-1:])
    work.step("phases", weighed, list(ladders.values()), [label for label, _ in ladders], [p for _, p in ladders])


def network(shape: RegressionConfig, seed: int, device: str) -> RegressionTransformer:
    """A transformer with its initial weights."""
    return RegressionTransformer(shape, torch.Generator().manual_seed(seed)).to(device)


def coefficients(
    data: tuple[torch.Tensor, torch.Tensor], config: RegressionStudyConfig, seed: int
) -> list[LLC | Losses]:
    """The learning coefficient and the loss on these sequences, in nats a sequence."""
    nats = Nats(config.noise_variance)
    return [
        LLC({DATA: data}, nats, config.posterior, config.sampler, seed=seed),
        Losses({DATA: data}, nats, num_samples=len(data[0])),
    ]


def together(curves: Mapping[str, xr.Dataset], references: Mapping[str, np.ndarray], seed: int) -> xr.Dataset:
    """Principal components of the predictions of all networks, with the exact predictors projected."""
    outputs = {f"M {label}": each["outputs"] for label, each in curves.items()}
    return joint_pca(outputs, seed=seed, references=references)


def references(behaviours: Mapping[str, RegressionBehaviour]) -> dict[str, np.ndarray]:
    """Predictions of ridge and of each dMMSE on the shared sequences of Gaussian tasks."""
    found = {label: behaviour.probes[OUT].references for label, behaviour in behaviours.items()}
    finite = {f"dMMSE {label}": each[DMMSE] for label, each in found.items() if label != INFINITE}
    named = {RIDGE: found[INFINITE][RIDGE], **finite}
    return {name: values.flatten().double().numpy() for name, values in named.items()}


def essential(curves: xr.Dataset, config: EssentialConfig, seed: int) -> xr.Dataset:
    """Essential dynamics of one network in its own principal components, from step 1 on."""
    pca = joint_pca(curves["outputs"].sel(step=slice(1, None)), seed=seed)
    scores = pca["score"].swap_dims(point="step").drop_vars("trajectory")
    return essential_dynamics(scores, config)


def curves_of(label: str) -> str:
    """The artefact of a network's behaviour."""
    return f"curves-{'infinite' if label == INFINITE else label}"


def coefficients_of(label: str) -> str:
    """The artefact of a network's coefficients."""
    return "trajectory" if label == INFINITE else f"coefficients-{label}"
