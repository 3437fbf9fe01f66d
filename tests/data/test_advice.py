"""What errors of this room say to write instead."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.advice import Mistake, follow, mistakes

import ontogeny as og
from ontogeny.data import LinearRegressionTask, standard_library
from ontogeny.data.corpus import file_corpus, huggingface_corpus
from ontogeny.data.ngrams import NgramTables, random_repeats
from ontogeny.data.packing import pack
from ontogeny.data.planted import PlantedLanguage
from ontogeny.data.refinement import mixture, on_tokens
from ontogeny.data.standard_library import stdlib_sources
from ontogeny.data.text import Distributions, TextConfig
from ontogeny.data.tokenizer import train_tokenizer

FOLDER = Path()  # of the mistake at hand
x, y = torch.randn(4, 2), torch.arange(4)
tokens = torch.arange(12).view(3, 4)
endless = LinearRegressionTask(dimension=2, num_pairs=4, noise_variance=0.1)


def texts(content: bytes = b"some words of text\n" * 9, name: str = "texts/one.txt") -> None:
    path = FOLDER / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def corpus(pattern: str = "texts/*.txt") -> Any:
    return file_corpus({"mine": pattern})


def locked() -> None:
    """A file that cannot be read: a link to nothing would be no file, so that a folder's name is made of it."""
    texts()
    (FOLDER / "texts" / "two.txt").symlink_to(FOLDER / "texts" / "two.txt")


def without_source(patch: pytest.MonkeyPatch) -> Any:
    with patch.context() as here:
        here.setattr(standard_library.sysconfig, "get_path", lambda *_: str(FOLDER))
        return stdlib_sources()


MIXTURE = "data/refinement.py:"
CORPUS = "data/corpus.py:"


# fmt: off
MISTAKES = (
    (CORPUS + "file_corpus", "file_corpus({})", "corpus", '{"mine": "texts/*.txt"}', "(texts(), file_corpus(ADVICE))"),
    (CORPUS + "_documents", "corpus('nothing/*.txt')", "corpus['mine']", '{"mine": "texts/*.txt"}',
     "(texts(), file_corpus(ADVICE))"),
    (CORPUS + "_documents#2", "(texts(b' '), corpus())", "corpus['mine']", "another pattern",
     "(texts(name='texts/one.md'), corpus('texts/*.md'))"),
    (CORPUS + "_text", "(locked(), corpus())", "corpus['mine']", "a pattern without it", "corpus('texts/one.txt')"),
    (CORPUS + "_text#2", "(texts(b'\\xff\\xfe'), corpus())", "corpus['mine']", "converted to UTF-8",
     "(texts('ÿ words'.encode()), corpus())"),
    (CORPUS + "_text#3", "(texts(b'a\\0b'), corpus())", "corpus['mine']", "a pattern of text files only",
     "(texts(name='texts/one.md'), corpus('texts/*.md'))"),
    (CORPUS + "huggingface_corpus", "huggingface_corpus('someone/stories')", "text_field",
     'huggingface_corpus("someone/stories", text_field="story")', "ADVICE"),
    ("data/ngrams.py:_ids", "NgramTables.fit(tokens, 5)", "tokens",
     "the ids and the vocabulary_size of one tokenizer", "NgramTables.fit(tokens, 12)"),
    ("data/ngrams.py:random_repeats", "random_repeats(torch.ones(5) / 5, 2, 7, torch.Generator())", "context_length",
     "8", "random_repeats(torch.ones(5) / 5, 2, ADVICE, torch.Generator())"),
    ("data/planted.py:PlantedLanguage._fits", "PlantedLanguage(induction_rate=0.5)", "rates",
     "phrase_rate=0.381, skip_rate=0.381, induction_rate=0.381, open_rate=0.0458, close_rate=0.0915",
     "PlantedLanguage(ADVICE)"),
    ("data/planted.py:PlantedLanguage._fits#2", "PlantedLanguage(phrases=(2, 8))", "phrases", "phrases=(8, 2)",
     "PlantedLanguage(ADVICE)"),
    ("data/planted.py:PlantedLanguage._fits#3", "PlantedLanguage(words=30)", "words", "words=44",
     "PlantedLanguage(ADVICE)"),
    ("data/planted.py:PlantedLanguage.without", "PlantedLanguage().without('brackets')", "mechanisms", "'phrase'",
     "PlantedLanguage().without(ADVICE)"),
    ("data/packing.py:pack", "pack(tokens[0].numpy().astype('int16'), 8, 'train')", "corpus",
     "a shorter context_length", "pack(tokens[0].numpy().astype('int16'), 4, 'train')"),
    ("data/linear_regression.py:LinearRegressionTask.dmmse", "endless.dmmse(*endless.sample(3, 0))", "task_diversity",
     "ridge(x, y)", "(lambda x, y: endless.ADVICE)(*endless.sample(3, 0))"),
    (MIXTURE + "mixture", "mixture((x, y), x, 0.5)", "second", "(inputs, targets)",
     "(lambda inputs, targets: mixture((x, y), ADVICE, 0.5))(x, y)"),
    (MIXTURE + "on_tokens", "on_tokens(og.losses.next_token, lambda tokens: tokens[:, 1:] > 99, tokens)", "mask",
     "another class", "on_tokens(og.losses.next_token, lambda tokens: tokens[:, 1:] > 3, tokens)"),
    (MIXTURE + "_tensors", "mixture([x, y], (x, y), 0.5)", "first", "(inputs, targets)",
     "(lambda inputs, targets: mixture(ADVICE, (x, y), 0.5))(x, y)"),
    ("data/standard_library.py:stdlib_sources", "without_source(patch)", "corpus", '{"mine": "texts/*.txt"}',
     "(texts(), file_corpus(ADVICE))"),
    ("data/text.py:TextConfig._is_known", "TextConfig(corpus='texts/*.txt')", "corpus",
     'corpus={"mine": \'texts/*.txt\'}', "TextConfig(ADVICE)"),
    ("data/text.py:TextConfig._is_known#2", "TextConfig(corpus={'mixed': '*.txt'})", "corpus", "another name",
     "TextConfig(corpus={'all': '*.txt'})"),
    ("data/text.py:Distributions.__missing__", "Distributions(code=tokens)['cod']", "distribution", "'code'",
     "Distributions(code=tokens)[ADVICE]"),
    ("data/tokenizer.py:train_tokenizer", "train_tokenizer(['too few words'], 400)", "vocabulary_size", "more text",
     "train_tokenizer(['enough words of text to be merged' * 9], 258)"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = type("Rows", (dict,), {"column_names": ["story"]})(story=["once upon a time"])
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=lambda *_, **__: rows))
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    follow(mistake, globals() | {"patch": monkeypatch})
