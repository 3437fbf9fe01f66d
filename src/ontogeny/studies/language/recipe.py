"""The language study: train on real text, follow the checkpoints, find the stages, test the claims, write the
report.
"""

import json
import platform
from collections.abc import Callable
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
from ontogeny.measurement import LanguageBehaviour, measure
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.reports import ReportContent, write_page
from ontogeny.stores import Checkpoints, read_tree, write_json, write_tree
from ontogeny.studies.claims import Evidence, judge
from ontogeny.studies.clock import Clock
from ontogeny.studies.language.config import LanguageConfig
from ontogeny.studies.language.evidence import CLAIMS, evidence
from ontogeny.studies.language.refined_evidence import CLAIMS as REFINED_CLAIMS
from ontogeny.studies.language.refined_evidence import clustered, head_types, refined_evidence
from ontogeny.studies.language.refinement import refine
from ontogeny.training import TrainingConfig, train

SNIPPET_LENGTH = 64
PARTS = ("refined", "relative", "responses")


def run(config: LanguageConfig, directory: Path, text_cache: Path, progress: Progress) -> None:
    """Train and measure one seed into `directory`, going on from whatever is there.

    Leaves `config.json`, `two-layer/` and `control/` (checkpoints, metrics), `measurements/`, `trajectory.zarr`,
    `control.zarr`, `snippet.zarr` and, where parts are refined, `refined.zarr`, `relative.zarr` and `responses.zarr`;
    all but `timings.json` are the same however often the run was interrupted.
    """
    clock = Clock(directory)
    write_json(directory / "config.json", config.model_dump(mode="json"))
    text = clock.time("text", lambda: load_text(config.text, text_cache, progress))
    behaviour = _behaviour(config, text)
    shape = config.architecture.with_text(config.text)
    control_shape = config.architecture.with_text(config.text, config.control_layers)
    network = clock.time(
        "training", lambda: _train(config, shape, config.training, text, directory / "two-layer", progress)
    )
    control_network = clock.time(
        "training the control",
        lambda: _train(config, control_shape, config.control_training, text, directory / "control", progress),
    )
    follow = partial(
        measure,
        data=text.train["mixed"],
        loss_fn=next_token,
        behaviour=behaviour,
        store=directory / "measurements",
        progress=progress,
    )
    sampler = config.sampler.model_copy(update={"seed": derive(config.seed, "sampler")})
    trajectory = clock.time("measuring", lambda: follow(network, _model_fn(config, shape), sampler=sampler))
    control = clock.time(
        "measuring the control",
        lambda: follow(control_network, _model_fn(config, control_shape), sampler=sampler, components=[]),
    )
    trajectory = trajectory.assign_attrs(_attributes(config, shape, text))
    snippet = _snippet(text, network, shape, trajectory)
    found = {"trajectory": trajectory, "control": control, "snippet": snippet}
    if config.refinement:
        reference = _model_fn(config, control_shape)()
        reference.load_state_dict(control_network.load(control_network.steps[-1]))
        parts = partial(refine, config, directory, text, network, _model_fn(config, shape), reference, progress)
        found |= clock.time("measuring parts", parts)
    for name, content in found.items():
        write_tree(directory / f"{name}.zarr", content)


def analyse(config: LanguageConfig, directory: Path) -> dict[str, Evidence]:
    """Find the stages of the curves that `run` left in `directory`, and the evidence for each claim tested."""
    trajectory, control = (_read(directory, name) for name in ("trajectory", "control"))
    found = stages(trajectory, config.stages)
    write_tree(directory / "stages.zarr", found)
    claims = evidence(trajectory, control, found, config)
    if config.refinement:
        parts = {name: _read(directory, name) for name in PARTS}
        claims |= refined_evidence(trajectory, parts, config)
        types = head_types(trajectory, config.thresholds)
        write_tree(directory / "signatures.zarr", clustered(parts["refined"], types, config.seed))
    return claims


def report(config: LanguageConfig, directory: Path, title: str, target: Path, seeds: list[dict[str, Evidence]]) -> Path:
    """Judge the claims over `seeds` and write `claims.json` and `report.html` into `target`, with the curves of the
    run in `directory`.
    """
    claims = [claim.record() for claim in judge((*CLAIMS, *REFINED_CLAIMS), seeds)]
    write_json(target / "claims.json", claims)
    trajectory, control, found, snippet = (
        _read(directory, name) for name in ("trajectory", "control", "stages", "snippet")
    )
    parts = {name: _read(directory, name) for name in (*PARTS, "signatures")} if config.refinement else {}
    content = ReportContent(
        title=title,
        trajectory=trajectory,
        stages=found,
        pca=joint_pca(trajectory["outputs"], seed=config.seed),
        claims=claims,
        snippet=snippet,
        facts=json.loads(trajectory.attrs["facts"]),
        command=f"ontogeny study language --preset {config.preset} --seeds {len(seeds)}",
        controls={"one layer": control},
        refined=parts.get("refined"),
        relative=parts.get("relative"),
        signatures=parts.get("signatures"),
        susceptibility=parts.get("responses"),
    )
    return write_page(target / "report.html", content)


def _read(directory: Path, name: str) -> xr.Dataset:
    return read_tree(directory / f"{name}.zarr").to_dataset()


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
        "Versions": f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads",
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
