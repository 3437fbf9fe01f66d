"""The text that a language study is of: a corpus, or a language whose structure is planted and so is known."""

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from ontogeny.core.protocols import Progress
from ontogeny.data import PlantedLanguage, TextConfig, TextData, load_text, planted_text

LEARNABLE = PlantedLanguage(
    words=40,
    phrases=(4, 4),
    skips=8,
    skip_sources=2,
    skip_span=16,
    phrase_rate=0.3,
    skip_rate=0.3,
    induction_rate=0.55,
    open_rate=0.02,
    close_rate=0.1,
    zipf=0.3,
)
"""A network of 42,000 weights learns all its mechanisms, induction last, after some 4,000 steps of 1,024 tokens."""
HELD_OUT = 2000  # sequences of a planted language


class StudyText(TextConfig):
    """Which text a study is of.

    Attributes:
        source: "corpus", the text that the settings of `TextConfig` name; or "planted", sequences of the planted
            language, of which only `context_length` is kept.
        planted: that language; `context_length` takes the place of its `length`.
        planted_sequences: how many of them a network is trained on.
    """

    source: Literal["corpus", "planted"] = "corpus"
    planted: PlantedLanguage = LEARNABLE
    planted_sequences: PositiveInt = 40_000

    @property
    def language(self) -> PlantedLanguage:
        """The planted language at this length."""
        return self.planted.model_copy(update={"length": self.context_length})

    @property
    def num_tokens(self) -> int:
        """Different tokens of the text."""
        return self.vocabulary_size if self.source == "corpus" else self.planted.vocabulary_size


def load_study_text(config: StudyText, cache: Path, progress: Progress) -> TextData:
    """The text as sequences; a corpus is kept in the cache."""
    if config.source == "planted":
        return planted_text(config.language, config.planted_sequences, HELD_OUT, config.seed)
    corpus = TextConfig(**{name: getattr(config, name) for name in TextConfig.model_fields})
    return load_text(corpus, cache, progress)
