"""The language study: train on real text, follow the checkpoints, and look into the parts of the network."""

from functools import partial

import torch
import xarray as xr
from torch import Tensor

from ontogeny.circuits import head_types
from ontogeny.core.losses import next_token
from ontogeny.core.seeds import generator
from ontogeny.data import TextData, random_repeats, relative_to
from ontogeny.development import SignatureConfig, joint_pca, signatures, stages
from ontogeny.development.curves import spaced_in_log
from ontogeny.measurement import (
    Behaviour,
    HeadCircuits,
    HeadPatterns,
    PathPatterns,
    Responses,
    language_behaviour,
    settings_in,
)
from ontogeny.models import Transformer, TransformerConfig, restrict
from ontogeny.stores import Checkpoints
from ontogeny.studies.language.config import LanguageConfig, Refinement, Thresholds
from ontogeny.studies.language.examples import output_sizes, said, served_examples, sorted_tokens
from ontogeny.studies.language.planted import planted
from ontogeny.studies.language.shown import CODE, PROSE, in_context, snippet
from ontogeny.studies.language.texts import load_study_text
from ontogeny.studies.language.universality import alike
from ontogeny.studies.workspace import Workspace

BASE = "mixed"
SNIPPET_LENGTH = 64
PATH_CHECKPOINTS = 5  # in which the paths between all pairs of heads are cut
SIZED = 2000  # sequences, of each of which what a head writes at one position is sized


def run(work: Workspace, config: LanguageConfig) -> None:
    """Makes `two-layer` and `control`, networks; `trajectory` and `control-curves`; `snippet`, `stages`, `pca`.

    Where one is trained, also `smeared` and `smeared-curves`, of a network with smeared keys; where circuits are read,
    `circuits`, `paths`, `skip-trigrams`, `examples` and `sizes`; with a twin, `universality`; where parts are refined,
    `refined`, `signatures`, `relative` and `responses`; and of a planted language `planted` and `planted-controls`.
    """
    develop(work, config, load_study_text(config.text, work.cache / "text", work.progress))


def develop(work: Workspace, config: LanguageConfig, text: TextData) -> None:
    """The study of networks that learn this text."""
    single = {"num_layers": config.control_layers}
    shapes = [config.architecture.with_text(config.text, **changes) for changes in ({}, single)]
    makes = [partial(network, shape, work.seed("weights", shape.num_layers), config.device) for shape in shapes]
    data = text.train[BASE]
    two_layer = work.train("two-layer", makes[0], data, next_token, config.training)
    control = work.train("control", makes[1], data, next_token, config.control_training)
    options = {
        "behaviour": language_behaviour(text, config.probes),
        "posterior": config.posterior,
        "sampler": config.sampler,
    }
    steps = [[step for step in made.steps if step >= config.first_measured] for made in (two_layer, control)]
    trajectory = work.measure("trajectory", two_layer, makes[0], data, next_token, steps=steps[0], **options)
    work.measure("control-curves", control, makes[1], data, next_token, components=[], steps=steps[1], **options)
    if config.smeared_training:
        shape = config.architecture.with_text(config.text, **single, smeared_keys=True)
        make = partial(network, shape, work.seed("weights", "smeared"), config.device)
        made = work.train("smeared", make, data, next_token, config.smeared_training)
        work.measure("smeared-curves", made, make, data, next_token, components=[], steps=made.steps[-1:], **options)
    shown = text.validation[CODE if CODE in text.validation else BASE][:1, :SNIPPET_LENGTH]
    work.step("snippet", snippet, two_layer, shapes[0], shown, text.token_strings(shown[0]), trajectory)
    work.step("stages", stages, trajectory, config.stages)
    if config.circuit_checkpoints:
        length, source = 2 * (config.text.context_length // 2), generator(config.probes.seed, "circuit repeats")
        circuits = HeadCircuits(random_repeats(text.unigrams(), config.probes.repeat_sequences, length, source))
        chosen = spaced_in_log(steps[0], config.circuit_checkpoints)
        tokens, patterns = sorted_tokens(text, config.text, config.probes.pattern_sequences)
        behaviours = [Behaviour(circuits, name="circuits"), Behaviour(HeadPatterns(tokens, patterns), name="patterns")]
        work.measure("circuits", two_layer, makes[0], behaviours, steps=chosen)
        paths = Behaviour(PathPatterns(tokens, patterns), name="paths")
        work.measure("paths", two_layer, makes[0], [paths], steps=spaced_in_log(chosen, PATH_CHECKPOINTS))
        names = text.token_strings(range(config.text.num_tokens))
        work.step("skip-trigrams", said, two_layer, makes[0], names)
        work.step("examples", served_examples, two_layer, makes[0], tokens, patterns, names)
        work.step("sizes", output_sizes, two_layer, makes[0], text.validation[BASE][:SIZED])
    if config.twin_training:
        make = partial(network, shapes[0], work.seed("weights", "twin"), config.device)
        twin = work.train("twin", make, data, next_token, config.twin_training)
        work.step("universality", alike, two_layer, twin, makes[0], text.validation[BASE][:SIZED], config.seed)
    if config.refinement:
        _refine(work, config, config.refinement, text, (two_layer, control), (makes[0], makes[1]), trajectory)
    if config.text.source == "planted":
        planted(work, config, two_layer, makes[0])
    work.step("pca", joint_pca, trajectory["outputs"], seed=config.seed)
    work.step("loss-pca", joint_pca, trajectory["token_losses"].rename(probe_token="output"), seed=config.seed)


def _refine(
    work: Workspace,
    config: LanguageConfig,
    refinement: Refinement,
    text: TextData,
    runs: tuple[Checkpoints, Checkpoints],
    makes: "tuple[partial[Transformer], partial[Transformer]]",
    trajectory: xr.Dataset,
) -> None:
    """Coefficients of parts on each text, of heads beyond what the one-layer control predicts, and responses."""
    two_layer, control = runs
    settings = settings_in(trajectory)
    posterior = config.posterior.model_copy(update={name: settings[name] for name in ("nbeta", "localization")})
    first = max(config.first_measured, refinement.first_measured)
    steps = spaced_in_log([step for step in two_layer.steps if step >= first], refinement.checkpoints)
    options = {"steps": steps, "posterior": posterior, "sampler": refinement.sampler}
    data, model = text.train[BASE], makes[0]()
    heads = heads_of(model.config)
    parts = [*heads, *(f"L{layer}.attn" for layer in range(model.config.num_layers)), "embed", "unembed"]
    components = parts if refinement.components is None else list(refinement.components)
    datasets = {name: text.train[name] for name in refinement.datasets if name in text.train}
    refined = work.measure(
        "refined", two_layer, makes[0], data, next_token, components=components, datasets=datasets, **options
    )
    if set(heads) <= set(components):
        work.step("signatures", clustered, refined, trajectory, config.thresholds, config.seed)
    if refinement.relative:
        reference = makes[1]()
        reference.load_state_dict(control.load(control.steps[-1]))
        work.measure("relative", two_layer, makes[0], data, relative_to(reference), components=heads, **options)
    if refinement.responses and datasets:
        tokens = torch.cat([text.validation[name][: refinement.token_sequences] for name in (CODE, PROSE)])
        asked = Responses(
            data,
            next_token,
            _probes(config, refinement, text),
            {name: restrict(model, name) for name in parts},
            posterior=posterior,
            sampler=refinement.responses,
            tokens=tokens,
            seed=work.seed("responses"),
        )
        measured = work.measure("responses-measured", two_layer, makes[0], [asked], steps=two_layer.steps[-1:])
        strings = [text.token_strings(row) for row in tokens]
        work.step("responses", in_context, measured, strings, refinement.token_sequences)


def network(shape: TransformerConfig, seed: int, device: str) -> Transformer:
    """A transformer with its initial weights."""
    return Transformer(shape, torch.Generator().manual_seed(seed)).to(device)


def heads_of(shape: TransformerConfig) -> list[str]:
    """Names of all attention heads, layer by layer."""
    return [f"L{layer}H{head}" for layer in range(shape.num_layers) for head in range(shape.num_heads)]


def clustered(refined: xr.Dataset, trajectory: xr.Dataset, thresholds: Thresholds, seed: int) -> xr.Dataset:
    """Signatures of all heads on the main text, held against their types if there are several."""
    types = head_types(trajectory["head_score"].isel(step=-1), thresholds.head_scores)
    labels = types if len(set(types.values())) > 1 else None
    return signatures(refined, labels, components=list(types), config=SignatureConfig(seed=seed))


def _probes(config: LanguageConfig, refinement: Refinement, text: TextData) -> dict[str, Tensor]:
    """Held-out sequences of each text, repeated random tokens, and the text's own tokens in random order."""
    count, source = refinement.probe_sequences, generator(config.probes.seed, "response probes")
    probes = {}
    for name in (BASE, CODE, PROSE):
        sequences = text.validation[name]
        probes[name] = sequences[torch.randperm(len(sequences), generator=source)[:count]]
    probes["repeats"] = random_repeats(text.unigrams(), count, config.text.context_length, source)
    shuffled = probes[BASE].flatten()
    probes["shuffled"] = shuffled[torch.randperm(len(shuffled), generator=source)].view_as(probes[BASE])
    return probes
