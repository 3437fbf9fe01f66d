"""Parts of the language model along training: coefficients on each text and beyond a reference, and responses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ontogeny.core.losses import LossFn, next_token
from ontogeny.core.seeds import derive, generator
from ontogeny.data import TextData, random_repeats, relative_to
from ontogeny.measurement import Responses, Run, measure, measure_parts
from ontogeny.models import Transformer, TransformerConfig, restrict
from ontogeny.sampling import PosteriorConfig
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


def measured_parts(refinement: Refinement | None) -> list[str]:
    """Which measurements of parts there are."""
    if refinement is None:
        return []
    optional = {"relative": refinement.relative, "responses": refinement.responses}
    return ["refined", *(name for name, wanted in optional.items() if wanted)]


@dataclass(frozen=True)
class Refining:
    """Parts of a network along training, measured at one nβ and γ.

    Args:
        posterior: with the nβ and γ of the whole network.
        reference: the one-layer control, for coefficients relative to it.
        common: `store`, `executor` and `progress` of the study.
    """

    config: LanguageConfig
    posterior: PosteriorConfig
    text: TextData
    network: Checkpoints
    model_fn: Callable[[], Transformer]
    reference: Transformer
    common: Mapping[str, Any]

    def measure(self) -> dict[str, xr.Dataset]:
        """`refined`: coefficients (step, component, dataset) on mixed and the other texts; `relative`: of heads under
        the divergence from the reference's predictions; `responses`: susceptibilities at the last checkpoint.
        """
        made = {"refined": self._refined, "relative": self._relative, "responses": self._responses}
        return {name: made[name]() for name in measured_parts(self.config.refinement)}

    @property
    def _refinement(self) -> Refinement:
        assert self.config.refinement is not None
        return self.config.refinement

    @property
    def _shape(self) -> TransformerConfig:
        return self.model_fn().config

    @property
    def _steps(self) -> list[int]:
        first = max(self.config.first_measured, self._refinement.first_measured)
        return [step for step in self.network.steps if step >= first]

    def _refined(self) -> xr.Dataset:
        chosen = self._refinement.components
        components = parts_of(self._shape) if chosen is None else list(chosen)
        datasets = {name: self.text.train[name] for name in self._refinement.datasets}
        return self._follow(next_token, components=components, datasets=datasets)

    def _relative(self) -> xr.Dataset:
        return self._follow(relative_to(self.reference), components=heads_of(self._shape))

    def _follow(self, loss_fn: LossFn, **options: Any) -> xr.Dataset:
        found = measure(
            self.network,
            self.model_fn,
            self.text.train[BASE],
            loss_fn,
            steps=chosen_steps(self._steps, self._refinement.checkpoints),
            posterior=self.posterior,
            sampler=self._refinement.sampler,
            seed=derive(self.config.seed, "sampler"),
            **self.common,
            **options,
        )
        return _named(found)

    def _responses(self) -> xr.Dataset:
        sampler, count = self._refinement.responses, self._refinement.token_sequences
        assert sampler is not None
        tokens = torch.cat([self.text.validation[name][:count] for name in (CODE, PROSE)])
        model = self.model_fn()
        asked = Responses(
            self.text.train[BASE],
            next_token,
            _probes(self.config, self._refinement, self.text),
            {name: restrict(model, name) for name in parts_of(model.config)},
            posterior=self.posterior,
            sampler=sampler,
            tokens=tokens,
            seed=derive(self.config.seed, "responses"),
        )
        run = Run(self.network, self.model_fn)
        found = measure_parts(run, self.network.steps[-1:], [asked], task="measuring responses", **self.common)
        return found.isel(step=0, drop=True).assign_coords(_tokens_in_context(self.text, tokens, count))


def chosen_steps(steps: list[int], count: int) -> list[int]:
    """The checkpoints nearest to `count` steps evenly spaced in the logarithm, the first and the last among them."""
    trained = np.array([step for step in steps if step >= 1])
    wanted = np.geomspace(trained[0], trained[-1], count)
    return sorted({int(trained[np.abs(np.log(trained / step)).argmin()]) for step in wanted})


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
