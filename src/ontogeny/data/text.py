"""Text as training data: one door from the standard library, a user's files or a Hugging Face dataset to sequences."""

import difflib
import platform
import shutil
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from jaxtyping import Float, Int16
from pydantic import Field, field_validator
from tokenizers import Tokenizer
from torch import Tensor

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.protocols import Progress, Silent
from ontogeny.core.seeds import generator
from ontogeny.core.settings import Settings
from ontogeny.data.corpus import Document, distinct, file_corpus, huggingface_corpus
from ontogeny.data.packing import mixed, num_bytes, pack, shuffled, split_documents, token_stream, within
from ontogeny.data.standard_library import code_and_prose, stdlib_sources
from ontogeny.data.text_cache import read_entry, write_entry
from ontogeny.data.tokenizer import SMALLEST, load_tokenizer, token_strings, train_tokenizer

MIXED = "mixed"
"""Name of the distribution that is all others together."""

_SPLITS = ("train", "validation")
_FORMAT = 1  # raised when the same documents and settings come to give other sequences: part of every fingerprint


class TextConfig(Settings):
    """Which text, and how it becomes sequences.

    Attributes:
        corpus: "stdlib" (distributions `code` and `prose`), "hf:NAME" or "hf:NAME:SPLIT" (a Hugging Face dataset, its
            split "train" by default, text in its column "text"), or a glob of files for each distribution by its name.
        vocabulary_size: tokens, 256 to 5000, `<|endoftext|>` among them.
        context_length: tokens of a sequence.
        validation_fraction: part of the files of every distribution that is kept for validation.
        max_bytes: a bound on the text that is read, before code and docstrings are separated; None takes all.
        seed: of the choice under `max_bytes` and of the order of documents and of mixed sequences.
    """

    corpus: str | dict[str, str] = "stdlib"
    vocabulary_size: int = Field(default=400, ge=SMALLEST, le=5000)
    context_length: int = Field(default=128, ge=2)
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    max_bytes: int | None = Field(default=None, gt=0)
    seed: int = 0

    @field_validator("corpus")
    @classmethod
    def _is_known(cls, corpus: str | dict[str, str]) -> str | dict[str, str]:
        if isinstance(corpus, str) and corpus != "stdlib" and not corpus.startswith("hf:"):
            raise InvalidArgument(
                "corpus",
                expected='"stdlib", "hf:NAME" or a glob for each name',
                found=repr(corpus),
                instead=f'corpus={{"mine": {corpus!r}}} for files of your own',
            )
        if isinstance(corpus, dict) and MIXED in corpus:
            raise InvalidArgument(
                "corpus",
                expected="names of parts",
                found=f"{MIXED!r}, which is all of them together",
                instead="another name",
            )
        return corpus


class Distributions(dict[str, Tensor]):
    """Token ids (sequence, position) by the name of their distribution; an unknown name is an `InvalidArgument`."""

    def __missing__(self, name: str) -> Tensor:
        nearest = difflib.get_close_matches(name, self, n=1, cutoff=0)[0]
        raise InvalidArgument(
            "distribution", expected=f"one of {', '.join(self)}", found=repr(name), instead=repr(nearest)
        )


@dataclass(frozen=True)
class TextData:
    """A corpus as sequences.

    Attributes:
        tokenizer: made from the training documents alone.
        train: token ids (sequence, position), int64, of each distribution, and of `mixed`: all of them, interleaved.
        validation: the same of the documents that were kept out.
        info: `fingerprint`, versions of `python` and `tokenizers`, `config`; `documents`, `bytes`, `tokens` and
            `sequences` by "split/distribution"; `skipped`, the files that could not be read as source.
    """

    tokenizer: Tokenizer
    train: dict[str, Tensor]
    validation: dict[str, Tensor]
    info: dict[str, Any]

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The text of a sequence of token ids."""
        return self.tokenizer.decode(_as_list(ids), skip_special_tokens=False)

    def unigrams(self) -> Float[Tensor, " vocabulary"]:
        """Law of the tokens of the mixed training text."""
        counts = self.train[MIXED].flatten().bincount(minlength=self.info["config"]["vocabulary_size"]).float()
        return counts / counts.sum()

    def token_strings(self, ids: Iterable[int] | Tensor) -> list[str]:
        """Each token's own text made visible: space "·", newline "⏎", tab "⇥"."""
        return token_strings(self.tokenizer, _as_list(ids))


def load_text(config: TextConfig, cache: Path | None = None, progress: Progress | None = None) -> TextData:
    """Read, split, tokenize and pack a corpus; every way into text leads through here.

    Files are kept for validation by a hash of their names, and everything made of a file goes where it goes. A text
    that occurs twice is kept once, in training if it occurs there. Documents in seeded order are joined by
    `<|endoftext|>` and cut into contexts, so a context may hold the end of one document and the start of the next.
    The standard library differs between Python versions: compare only runs of the same `info["python"]`.

    Args:
        config: which text and how.
        cache: folder for finished corpora, each under the fingerprint of its settings and of the text itself. A damaged
            entry is made anew, with a warning that names the damage.
        progress: told of "reading source" (files) and "encoding" (documents).

    Raises:
        InvalidArgument: for a corpus that is empty, unreadable, binary, or too small for the vocabulary or one context.
        ImportError: for "hf:" without the extra `data`.
    """
    progress = progress or Silent()
    sources, undecodable = _read(config.corpus)
    key = fingerprint(_FORMAT, platform.python_version(), tokenizers.__version__, config, sources)
    entry = None if cache is None else cache / key
    if entry is not None and entry.exists():
        try:
            return _text_data(*read_entry(entry))
        except CorruptFile as damage:
            warnings.warn(f"A cached corpus is damaged and is made anew. {damage}", stacklevel=2)
            shutil.rmtree(entry)
    corpora, unparsable = _documents(config, sources, progress)
    training = [document.text for part, documents in corpora.items() if _is_in("train", part) for document in documents]
    tokenizer = train_tokenizer(training, config.vocabulary_size)
    tokens = _tokens(corpora, tokenizer, progress)
    sequences = {part: pack(row, config.context_length, part) for part, row in tokens.items()}
    for split in _SPLITS:
        parts = [ids for part, ids in sequences.items() if _is_in(split, part)]
        sequences[f"{split}/{MIXED}"] = mixed(parts, generator(config.seed, MIXED, split))
    info = {
        "fingerprint": key,
        "python": platform.python_version(),
        "tokenizers": tokenizers.__version__,
        "config": config.model_dump(mode="json"),
        "documents": {part: len(documents) for part, documents in corpora.items()},
        "bytes": {part: num_bytes(documents) for part, documents in corpora.items()},
        "tokens": {part: len(row) for part, row in tokens.items()},
        "sequences": {part: len(ids) for part, ids in sequences.items()},
        "skipped": sorted(undecodable + unparsable),
    }
    if entry is not None:
        write_entry(entry, sequences, tokenizer.to_str(), info)
    return _text_data(sequences, tokenizer.to_str(), info)


def _read(corpus: str | Mapping[str, str]) -> tuple[dict[str, list[Document]], list[str]]:
    """The documents as they are stored, by the name of their kind, and the names of those that cannot be decoded."""
    if not isinstance(corpus, str):
        return file_corpus(corpus), []
    if corpus == "stdlib":
        return stdlib_sources()
    _, *name_and_split = corpus.split(":", maxsplit=2)
    return huggingface_corpus(*name_and_split), []


def _documents(
    config: TextConfig, sources: Mapping[str, Sequence[Document]], progress: Progress
) -> tuple[dict[str, list[Document]], list[str]]:
    """Documents by "split/distribution" in seeded order, each text once; and the source files that do not parse."""
    share = 1.0 if config.max_bytes is None else config.max_bytes / sum(map(num_bytes, sources.values()))
    chosen: dict[str, dict[str, list[Document]]] = {split: {} for split in _SPLITS}
    for name, documents in sources.items():
        for split, part in zip(_SPLITS, split_documents(documents, config.validation_fraction), strict=True):
            order = shuffled(part, generator(config.seed, "choice", split, name))
            chosen[split][name] = within(order, share * num_bytes(order))
    corpora, skipped = {}, []
    seen: set[bytes] = set()
    if config.corpus == "stdlib":
        progress.start("reading source", sum(len(part["source"]) for part in chosen.values()))
    for split in _SPLITS:
        if config.corpus == "stdlib":
            distributions, unparsable = code_and_prose(chosen[split], seen, progress)
            skipped += unparsable
        else:
            distributions = {name: distinct(documents, seen) for name, documents in chosen[split].items()}
        for name, documents in distributions.items():
            corpora[f"{split}/{name}"] = shuffled(documents, generator(config.seed, "order", split, name))
    if config.corpus == "stdlib":
        progress.finish("reading source")
    return corpora, skipped


def _tokens(
    corpora: Mapping[str, Sequence[Document]], tokenizer: Tokenizer, progress: Progress
) -> dict[str, Int16[np.ndarray, " token"]]:
    progress.start("encoding", sum(map(len, corpora.values())))
    tokens = {part: token_stream(tokenizer, documents, progress) for part, documents in corpora.items()}
    progress.finish("encoding")
    return tokens


def _is_in(split: str, part: str) -> bool:
    return part.startswith(f"{split}/")


def _as_list(ids: Iterable[int] | Tensor) -> list[int]:
    return ids.tolist() if isinstance(ids, Tensor) else list(ids)


def _text_data(sequences: Mapping[str, Tensor], tokenizer: str, info: dict[str, Any]) -> TextData:
    train, validation = (
        Distributions(
            # Files keep tensors in an order of their own; the description keeps ours.
            {
                part.removeprefix(f"{split}/"): sequences[part].long()
                for part in info["sequences"]
                if _is_in(split, part)
            }
        )
        for split in _SPLITS
    )
    return TextData(load_tokenizer(tokenizer), train, validation, info)
