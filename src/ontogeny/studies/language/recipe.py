"""The language study: train on real text, follow the checkpoints, find the stages, test the claims, write the
report.
"""

import json
import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor

from ontogeny.circuits import attention_patterns
from ontogeny.core.losses import next_token
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.data import NgramTables, TextData, load_text, random_repeats
from ontogeny.development import joint_pca, stages
from ontogeny.execution import Executor
from ontogeny.measurement import LanguageBehaviour, choice_of, measure, settings_in
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.reports import (
    Page,
    Panel,
    claims_panel,
    component_panels,
    insert_after,
    summary,
    susceptibility_panels,
    trajectory_panels,
    verdict,
    write_page,
)
from ontogeny.stores import Checkpoints, write_json, write_tree
from ontogeny.studies.artefacts import attempt, keep_analysis, place, read, read_analysis, shown, unstaged
from ontogeny.studies.claims import Findings, judge
from ontogeny.studies.clock import Clock
from ontogeny.studies.language.config import LanguageConfig
from ontogeny.studies.language.evidence import CLAIMS, evidence
from ontogeny.studies.language.panels import data_panel, relative_panel, snippet_panel
from ontogeny.studies.language.refined_evidence import CLAIMS as REFINED_CLAIMS
from ontogeny.studies.language.refined_evidence import clustered, head_types, refined_evidence
from ontogeny.studies.language.refinement import Refining, measured_parts
from ontogeny.training import TrainingConfig, train

SNIPPET_LENGTH = 64


def run(
    config: LanguageConfig, directory: Path, text_cache: Path, progress: Progress, executor: Executor | None = None
) -> None:
    """Train and measure one seed into `directory`, going on from whatever is there.

    Leaves `config.json`, `two-layer/` and `control/` (checkpoints, metrics), `measurements/`, `trajectory.zarr`,
    `control.zarr`, `snippet.zarr` and, where parts are refined, `refined.zarr`, `relative.zarr` and `responses.zarr`;
    all but `timings.json` are the same however often the run was interrupted.
    """
    clock = Clock(directory)
    write_json(directory / "config.json", config.model_dump(mode="json"))
    text = clock.time("text", lambda: load_text(config.text, text_cache, progress))
    shape = config.architecture.with_text(config.text)
    control_shape = config.architecture.with_text(config.text, config.control_layers)
    network = clock.time(
        "training", lambda: _train(config, shape, config.training, text, directory / "two-layer", progress)
    )
    control_network = clock.time(
        "training the control",
        lambda: _train(config, control_shape, config.control_training, text, directory / "control", progress),
    )
    common = {"store": directory / "measurements", "executor": executor, "progress": progress}
    follow = partial(
        measure,
        data=text.train["mixed"],
        loss_fn=next_token,
        behaviour=_behaviour(config, text),
        posterior=config.posterior,
        sampler=config.sampler,
        seed=derive(config.seed, "sampler"),
        **common,
    )
    trajectory = clock.time(
        "measuring", lambda: follow(network, _model_fn(config, shape), steps=_measured(config, network))
    )
    control = clock.time(
        "measuring the control",
        lambda: follow(
            control_network, _model_fn(config, control_shape), components=[], steps=_measured(config, control_network)
        ),
    )
    trajectory = trajectory.assign_attrs(_attributes(config, shape, text))
    snippet = _snippet(text, network, shape, trajectory)
    found = {"trajectory": trajectory, "control": control, "snippet": snippet}
    if config.refinement:
        reference = _model_fn(config, control_shape)()
        reference.load_state_dict(control_network.load(control_network.steps[-1]))
        settings = settings_in(trajectory)
        posterior = config.posterior.model_copy(update={name: settings[name] for name in ("nbeta", "localization")})
        parts = Refining(config, posterior, text, network, _model_fn(config, shape), reference, common)
        found |= clock.time("measuring parts", parts.measure)
    for name, content in found.items():
        write_tree(place(directory, name), content)


def analyse(config: LanguageConfig, directory: Path) -> Findings:
    """Find the stages of the curves that `run` left in `directory`, and what it says of each claim."""
    trajectory, control = (read(directory, name) for name in ("trajectory", "control"))
    found = keep_analysis(directory, "stages", attempt(lambda: stages(trajectory, config.stages)))
    parts = _parts(config, directory)
    if "refined" in parts:
        types = head_types(trajectory, config.thresholds)
        signatures = attempt(lambda: clustered(parts["refined"], types, config.seed))
        keep_analysis(directory, "signatures", signatures)
    return evidence(trajectory, control, found, config) | refined_evidence(trajectory, parts, config)


def report(config: LanguageConfig, directory: Path, title: str, target: Path, seeds: Sequence[Findings]) -> Path:
    """Judge the claims over `seeds` and write `claims.json` and `report.html` into `target`, with the curves of the
    run in `directory`.
    """
    claims = [claim.record() for claim in judge((*CLAIMS, *REFINED_CLAIMS), seeds)]
    write_json(target / "claims.json", claims)
    trajectory, control, snippet = (read(directory, name) for name in ("trajectory", "control", "snippet"))
    analysed, parts = read_analysis(directory, "stages"), _parts(config, directory)
    found, reason = shown(analysed), unstaged(analysed)
    panels = trajectory_panels(
        trajectory,
        stages=found,
        unstaged=reason,
        pca=shown(attempt(lambda: joint_pca(trajectory["outputs"], seed=config.seed))),
        controls={"one layer": control},
        choice=choice_of(trajectory),
        parts="refined" in parts or "relative" in parts,
    )
    panels = insert_after(panels, "stages", [claims_panel(claims)])
    panels = insert_after(panels, "refined", _panels_of_parts(parts, directory, found))
    panels = insert_after(panels, "trajectory", [snippet_panel(snippet)])
    others = {"relative to the reference": parts["relative"]} if "relative" in parts else {}
    page = Page(
        title,
        verdict(trajectory, found, claims, reason, parts.get("refined"), others),
        json.loads(trajectory.attrs["facts"]),
        panels,
        f"ontogeny study language --preset {config.preset} --seeds {len(seeds)}",
        summary(trajectory),
    )
    return write_page(target / "report.html", page)


def _panels_of_parts(parts: dict[str, xr.Dataset], directory: Path, found: xr.Dataset | None) -> list[Panel]:
    """The panels on parts of the network that this config measures."""
    panels = []
    if "refined" in parts:
        signatures = shown(read_analysis(directory, "signatures"))
        panels += component_panels(parts["refined"], signatures=signatures, stages=found)
        panels.append(data_panel(parts["refined"], signatures))
    panels += [relative_panel(parts["relative"], found)] if "relative" in parts else []
    return panels + (susceptibility_panels(parts["responses"]) if "responses" in parts else [])


def _measured(config: LanguageConfig, network: Checkpoints) -> list[int]:
    return [step for step in network.steps if step >= config.first_measured]


def _parts(config: LanguageConfig, directory: Path) -> dict[str, xr.Dataset]:
    """The measurements of parts that this config makes."""
    return {name: read(directory, name) for name in measured_parts(config.refinement)}


def _train(
    config: LanguageConfig,
    shape: TransformerConfig,
    training: TrainingConfig,
    text: TextData,
    directory: Path,
    progress: Progress,
) -> Checkpoints:
    model = Transformer(shape, generator(config.seed, "weights", shape.num_layers)).to(config.device)
    seeded = training.model_copy(update={"seed": derive(config.seed, "training")})
    return train(model, text.train["mixed"], next_token, seeded, directory, progress)


def _blank(shape: TransformerConfig) -> Transformer:
    return Transformer(shape, generator(0))


def _model_fn(config: LanguageConfig, shape: TransformerConfig) -> Callable[[], Transformer]:
    blank = partial(_blank, shape)
    return blank if config.device == "cpu" else lambda: blank().to(config.device)


def _behaviour(config: LanguageConfig, text: TextData) -> LanguageBehaviour:
    probes, length = config.probes, config.text.context_length
    held_out = {
        name: _probe(text.validation[name], probes.held_out_sequences, probes.seed)
        for name in ("mixed", "code", "prose")
    }
    tables = NgramTables.fit(text.train["mixed"], config.text.vocabulary_size)
    laws = tables.conditionals(held_out["mixed"][: probes.ngram_sequences])
    counts = text.train["mixed"].flatten().bincount(minlength=config.text.vocabulary_size).float()
    repeats = random_repeats(counts / counts.sum(), probes.repeat_sequences, length, generator(probes.seed, "repeats"))

    def window(part: tuple[float, float]) -> tuple[int, int]:
        return round(part[0] * length), round(part[1] * length)

    return LanguageBehaviour(held_out, laws, repeats, window(probes.early), window(probes.late))


def _probe(sequences: Tensor, count: int, seed: int) -> Tensor:
    return sequences[torch.randperm(len(sequences), generator=generator(seed, "probe"))[:count]]


def _attributes(config: LanguageConfig, shape: TransformerConfig, text: TextData) -> dict[str, str]:
    parameters, training = sum(tensor.numel() for tensor in _blank(shape).parameters()), config.training
    facts = {
        "Model": f"{shape.num_layers}-layer attention-only transformer, {parameters:,} parameters, "
        f"d_model {shape.d_model}, {shape.num_heads} heads",
        "Text": f"Python {text.info['python']} standard library, {len(text.train['mixed']):,} sequences of "
        f"{shape.context_length} tokens, vocabulary {shape.vocabulary_size}",
        "Training": f"{training.num_steps:,} steps of {training.batch_size}, {training.optimizer}, "
        f"learning rate {training.learning_rate:g}",
        "Seed": str(config.seed),
        "Versions": f"Python {platform.python_version()}, torch {torch.__version__}, threads {torch.get_num_threads()}",
    }
    return {"facts": json.dumps(facts)}


def _snippet(text: TextData, network: Checkpoints, shape: TransformerConfig, trajectory: xr.Dataset) -> xr.Dataset:
    """Attention of the best head of each score on the start of a held-out sequence, at the last checkpoint."""
    model = _blank(shape)
    model.load_state_dict(network.load(network.steps[-1]))
    tokens = text.validation["code"][:1, :SNIPPET_LENGTH]
    patterns = attention_patterns(model, tokens)[:, 0]  # layer, head, query, key
    with torch.no_grad():
        losses = next_token(model, tokens)[0]
    final = trajectory["head_score"].isel(step=-1)
    heads: dict[tuple[int, int], str] = {}
    for score in final["score"].values:
        best = final.sel(score=score).argmax(("layer", "head"))
        place = int(best["layer"]), int(best["head"])
        heads[place] = f"{heads[place]}, {score}" if place in heads else str(score)
    names = text.token_strings(tokens[0])
    return xr.Dataset(
        {
            "attention": (("component", "query", "key"), torch.stack([patterns[place] for place in heads]).numpy()),
            "token_loss": ("query", torch.cat([torch.tensor([torch.nan]), losses]).numpy()),
        },
        coords={
            "component": [f"L{layer}H{head} ({scores.replace('_', ' ')})" for (layer, head), scores in heads.items()],
            "token": ("query", names),
            "key_token": ("key", names),
        },
    )
