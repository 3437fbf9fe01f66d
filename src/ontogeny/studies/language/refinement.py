"""Parts of the language model along training: coefficients on each text and beyond a reference, and responses."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.core.losses import next_token
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive, generator
from ontogeny.data import TextData, random_repeats, relative_to
from ontogeny.measurement import measure, measure_responses
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.stores import Checkpoints
from ontogeny.studies.language.config import LanguageConfig, Refinement

BASE, CODE, PROSE = "mixed", "code", "prose"
CONTEXT_SHOWN = 24  # tokens before one that are shown with it


def heads_of(shape: TransformerConfig) -> list[str]:
    """Names of all attention heads, layer by layer."""
    return [f"L{layer}H{head}" for layer in range(shape.num_layers) for head in range(shape.num_heads)]


def parts_of(shape: TransformerConfig) -> list[str]:
    """Heads, layers without their MLPs, embedding and unembedding."""
    return [*heads_of(shape), *(f"L{layer}.attn" for layer in range(shape.num_layers)), "embed", "unembed"]


def refine(
    config: LanguageConfig,
    directory: Path,
    text: TextData,
    network: Checkpoints,
    model_fn: Callable[[], Transformer],
    reference: Transformer,
    progress: Progress,
) -> dict[str, xr.Dataset]:
    """Measure parts along training, going on from whatever is in `directory`.

    Returns:
        `refined`: coefficients (step, component, dataset) on mixed, code and prose; `relative`: of heads under the
        divergence from the reference's predictions; `responses`: susceptibilities at the last checkpoint.
    """
    refinement = config.refinement
    assert refinement is not None
    steps = chosen_steps(network.steps, refinement.checkpoints)
    shape = model_fn().config
    sampler = refinement.sampler.model_copy(update={"seed": derive(config.seed, "refined")})
    follow = partial(
        measure,
        network,
        model_fn,
        text.train[BASE],
        steps=steps,
        sampler=sampler,
        store=directory / "measurements",
        progress=progress,
    )
    others = {name: text.train[name] for name in (CODE, PROSE)}
    refined = follow(next_token, components=parts_of(shape), datasets=others)
    relative = follow(relative_to(reference), components=heads_of(shape))
    return {
        "refined": _named(refined),
        "relative": _named(relative),
        "responses": _responses(config, refinement, directory, text, network, model_fn, progress),
    }


def chosen_steps(steps: list[int], count: int) -> list[int]:
    """The checkpoints nearest to `count` steps evenly spaced in the logarithm, the first and the last among them."""
    trained = np.array([step for step in steps if step >= 1])
    wanted = np.geomspace(trained[0], trained[-1], count)
    return sorted({int(trained[np.abs(np.log(trained / step)).argmin()]) for step in wanted})


def _responses(
    config: LanguageConfig,
    refinement: Refinement,
    directory: Path,
    text: TextData,
    network: Checkpoints,
    model_fn: Callable[[], Transformer],
    progress: Progress,
) -> xr.Dataset:
    model, last = model_fn(), network.steps[-1]
    model.load_state_dict(network.load(last))
    tokens = torch.cat([text.validation[name][: refinement.token_sequences] for name in (CODE, PROSE)])
    found = measure_responses(
        model.eval(),
        text.train[BASE],
        next_token,
        _probes(config, refinement, text),
        parts_of(model.config),
        tokens=tokens,
        sampler=refinement.responses.model_copy(update={"seed": derive(config.seed, "responses")}),
        store=directory / "measurements",
        progress=progress,
    )
    return found.assign_coords(_tokens_in_context(text, tokens, refinement.token_sequences))


def _probes(config: LanguageConfig, refinement: Refinement, text: TextData) -> dict[str, Tensor]:
    """Held-out sequences of each text, repeated random tokens, and the text's own tokens in random order."""
    count, source = refinement.probe_sequences, generator(config.probes.seed, "response probes")
    probes = {}
    for name in (BASE, CODE, PROSE):
        sequences = text.validation[name]
        probes[name] = sequences[torch.randperm(len(sequences), generator=source)[:count]]
    law = text.train[BASE].flatten().bincount(minlength=config.text.vocabulary_size).float()
    probes["repeats"] = random_repeats(law / law.sum(), count, config.text.context_length, source)
    shuffled = probes[BASE].flatten()
    probes["shuffled"] = shuffled[torch.randperm(len(shuffled), generator=source)].view_as(probes[BASE])
    return probes


def _tokens_in_context(text: TextData, tokens: Tensor, each: int) -> dict[str, tuple[str, list[str]]]:
    """Of every predicted token its string, the tokens before it, and its text."""
    strings = [text.token_strings(row) for row in tokens]
    places = [(row, place) for row in range(len(strings)) for place in range(1, tokens.shape[1])]
    before = ["".join(strings[row][max(place - CONTEXT_SHOWN, 0) : place]) for row, place in places]
    return {
        "token_text": ("token", [strings[row][place] for row, place in places]),
        "context": ("token", before),
        "token_dataset": ("token", [CODE if row < each else PROSE for row, _ in places]),
    }


def _named(found: xr.Dataset) -> xr.Dataset:
    """With the main dataset under the name that the text has here, and without traces."""
    names = [BASE if name == "data" else str(name) for name in found["dataset"].values]
    return found.drop_vars(["llc_trace", "llc_warmup_trace"]).assign_coords(dataset=names)
