"""The fixed probes of a language model, drawn from a text: held-out sequences, n-gram laws, repeats."""

import torch
from torch import Tensor

from ontogeny.core.seeds import generator
from ontogeny.core.settings import Settings
from ontogeny.data import NgramTables, TextData, random_repeats
from ontogeny.measurement.behaviour import LanguageBehaviour

_MIXED = "mixed"


class TextProbes(Settings):
    """Sizes of the fixed probes. Positions of the in-context-learning score are shares of the context.

    `pattern_sequences` are held-out sequences whose tokens are sorted by their patterns.
    """

    held_out_sequences: int = 256
    ngram_sequences: int = 64
    repeat_sequences: int = 32
    pattern_sequences: int = 32
    early: tuple[float, float] = (1 / 16, 1 / 8)
    late: tuple[float, float] = (1 / 2, 1.0)
    seed: int = 0


def language_behaviour(text: TextData, probes: TextProbes) -> LanguageBehaviour:
    """The behaviour of a language model on probes from this text, the mixed distribution first."""
    length = text.train[_MIXED].shape[1]

    def probe(sequences: Tensor) -> Tensor:
        order = torch.randperm(len(sequences), generator=generator(probes.seed, "probe"))
        return sequences[order[: probes.held_out_sequences]]

    def window(part: tuple[float, float]) -> tuple[int, int]:
        return round(part[0] * length), round(part[1] * length)

    names = [_MIXED, *sorted(name for name in text.validation if name != _MIXED)]
    held_out = {name: probe(text.validation[name]) for name in names}
    tables = NgramTables.fit(text.train[_MIXED], text.info["config"]["vocabulary_size"])
    laws = tables.conditionals(held_out[_MIXED][: probes.ngram_sequences])
    repeats = random_repeats(text.unigrams(), probes.repeat_sequences, length, generator(probes.seed, "repeats"))
    return LanguageBehaviour(held_out, laws, repeats, window(probes.early), window(probes.late))
