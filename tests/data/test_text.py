"""Text becomes the same sequences every time, nothing of validation is in training, and the cache never lies."""

import json
import platform
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from ontogeny.core.errors import InvalidArgument
from ontogeny.data import TextConfig, TextData, load_text, text_cache
from ontogeny.data import text as text_module
from ontogeny.data.corpus import Document
from ontogeny.data.packing import split_documents

SMALL = TextConfig(vocabulary_size=300, context_length=32, max_bytes=150_000)
END = "<|endoftext|>"


@pytest.fixture(scope="module")
def small() -> TextData:
    return load_text(SMALL)


@pytest.fixture
def own(tmp_path: Path) -> TextConfig:
    """Two distributions of 40 and 30 files, each file with a word of its own in every line."""
    for name, count in (("verse", 40), ("letters", 30)):
        (tmp_path / name).mkdir()
        for number in range(count):
            text = "".join(f"{name}{number:02d}q and the {line}th line of it\n" for line in range(20))
            (tmp_path / name / f"{number}.txt").write_text(text, encoding="utf-8")
    corpus = {name: f"{tmp_path / name}/*.txt" for name in ("verse", "letters")}
    return TextConfig(corpus=corpus, vocabulary_size=260, context_length=16)


def words_of(data: TextData, split: dict[str, torch.Tensor], name: str) -> set[str]:
    return {word for row in split[name] for word in re.findall(r"(?:verse|letters)\d\dq", data.decode(row))}


def assert_equal(one: TextData, other: TextData) -> None:
    assert one.info == other.info
    assert one.tokenizer.to_str() == other.tokenizer.to_str()
    for mine, theirs in ((one.train, other.train), (one.validation, other.validation)):
        assert list(mine) == list(theirs)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_standard_library_as_sequences(small: TextData) -> None:
    for split in (small.train, small.validation):
        assert set(split) == {"code", "prose", "mixed"}
        for ids in split.values():
            assert ids.dtype == torch.long
            assert ids.shape[1] == 32
            assert 0 <= ids.min() <= ids.max() < 300
    assert "def " in small.decode(small.train["code"].flatten())
    assert "#!/usr/bin" not in small.decode(small.train["code"].flatten())


def test_mixed_is_all_sequences_interleaved(small: TextData) -> None:
    parts = torch.cat([small.train["code"], small.train["prose"]])
    assert not torch.equal(small.train["mixed"], parts)
    assert sorted(small.train["mixed"].tolist()) == sorted(parts.tolist())
    first_half = {tuple(row) for row in small.train["mixed"][: len(parts) // 2].tolist()}
    prose_early = sum(tuple(row) in first_half for row in small.train["prose"].tolist())
    assert 0.35 < prose_early / len(small.train["prose"]) < 0.65


def test_the_description_is_complete(small: TextData) -> None:
    assert small.info["python"] == platform.python_version()
    parts = {"train/code", "train/prose", "validation/code", "validation/prose"}
    for table in ("documents", "bytes", "tokens"):
        assert set(small.info[table]) == parts
        assert min(small.info[table].values()) > 0
    assert sum(small.info["bytes"].values()) <= 150_000
    assert small.info["sequences"]["train/mixed"] == len(small.train["mixed"])
    assert TextConfig(**small.info["config"]) == SMALL
    assert json.loads(json.dumps(small.info)) == small.info


def test_the_same_settings_give_the_same_sequences_and_another_seed_gives_others(small: TextData) -> None:
    assert_equal(load_text(SMALL), small)
    other = load_text(SMALL.model_copy(update={"seed": 1}))
    assert other.info["fingerprint"] != small.info["fingerprint"]
    assert other.decode(other.train["code"][0]) != small.decode(small.train["code"][0])


def test_packed_documents_are_found_again_in_seeded_order(own: TextConfig) -> None:
    data = load_text(own)
    pieces = data.decode(data.train["verse"].flatten()).split(END)
    names = [piece.split()[0] for piece in pieces]
    assert names != sorted(names)
    assert len(pieces) == 36
    for name, piece in zip(names[:-1], pieces[:-1], strict=True):  # the last one may be cut
        assert piece == "".join(f"{name} and the {line}th line of it\n" for line in range(20))


def test_no_document_is_in_both_splits(own: TextConfig) -> None:
    data = load_text(own)
    for name, count in (("verse", 40), ("letters", 30)):
        train, validation = words_of(data, data.train, name), words_of(data, data.validation, name)
        assert not train & validation
        assert len(validation) == count // 10
        assert len(train | validation) == count
    assert words_of(data, data.train, "mixed") == words_of(data, data.train, "verse") | words_of(
        data, data.train, "letters"
    )


def test_the_split_depends_on_names_alone(own: TextConfig) -> None:
    documents = [Document(str(number), "text") for number in range(100)]
    train, validation = split_documents(documents, 0.1)
    assert (len(train), len(validation)) == (90, 10)
    assert split_documents(documents[::-1], 0.1) == (train, validation)
    one, other = load_text(own), load_text(own.model_copy(update={"seed": 7}))
    assert words_of(one, one.validation, "mixed") == words_of(other, other.validation, "mixed")


def test_a_text_that_occurs_twice_is_kept_once_and_in_training(own: TextConfig, tmp_path: Path) -> None:
    before = load_text(own)
    kept_out = sorted(words_of(before, before.validation, "verse"))[0]
    number = int(kept_out.removeprefix("verse").removesuffix("q"))
    text = (tmp_path / "verse" / f"{number}.txt").read_text(encoding="utf-8")
    for copy in range(40):  # most of the copies belong to training by their names
        (tmp_path / "letters" / f"copy{copy}.txt").write_text(text, encoding="utf-8")
    after = load_text(own)
    assert kept_out not in words_of(after, after.validation, "mixed")
    everything = after.decode(torch.cat([after.train["letters"], after.train["verse"]]).flatten())
    assert everything.count(kept_out) == 20


def test_the_tokenizer_knows_nothing_of_validation(own: TextConfig, tmp_path: Path) -> None:
    data = load_text(own)
    kept_out = sorted(words_of(data, data.validation, "verse"))[0]
    number = int(kept_out.removeprefix("verse").removesuffix("q"))
    (tmp_path / "verse" / f"{number}.txt").write_text("zxzxzxzx " * 5000, encoding="utf-8")
    changed = load_text(own)
    assert "zxzxzxzx" in changed.decode(changed.validation["verse"].flatten())
    assert changed.tokenizer.to_str() == data.tokenizer.to_str()


def test_a_cached_corpus_is_read_and_not_made(small: TextData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_equal(load_text(SMALL, cache=tmp_path), small)
    assert [path.name for path in tmp_path.iterdir()] == [small.info["fingerprint"]]
    monkeypatch.setattr(text_module, "train_tokenizer", None)  # making it would call this
    cached = load_text(SMALL, cache=tmp_path)
    assert_equal(cached, small)
    assert cached.decode(cached.train["mixed"][3]) == small.decode(small.train["mixed"][3])


def test_changed_text_or_settings_are_another_corpus(own: TextConfig, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_text(own, cache=cache)
    (tmp_path / "verse" / "0.txt").write_text("another text, quite different\n", encoding="utf-8")
    second = load_text(own, cache=cache)
    third = load_text(own.model_copy(update={"context_length": 20}), cache=cache)
    names = {data.info["fingerprint"] for data in (first, second, third)}
    assert len(names) == 3
    assert {path.name for path in cache.iterdir()} == names


@pytest.mark.parametrize("name", ["tokens.safetensors", "tokenizer.json", "info.json", "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_entry_is_named_and_made_anew(own: TextConfig, tmp_path: Path, name: str, damage: str) -> None:
    cache = tmp_path / "cache"
    whole = load_text(own, cache=cache)
    path = cache / whole.info["fingerprint"] / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes(content[:-1] if damage == "truncated" else flipped)
    if (name, damage) == ("SHA256SUMS", "truncated"):  # the last line end says nothing
        assert_equal(load_text(own, cache=cache), whole)
        return
    with pytest.warns(UserWarning, match="damaged and is made anew") as caught:
        assert_equal(load_text(own, cache=cache), whole)
    assert str(path.parent) in str(caught[0].message)
    assert_equal(load_text(own, cache=cache), whole)


def test_an_entry_that_another_process_wrote_meanwhile_stays(tmp_path: Path) -> None:
    for value in (1, 2):
        text_cache.write_entry(tmp_path / "entry", {"x": torch.tensor([value])}, "{}", {})
    tensors, _, _ = text_cache.read_entry(tmp_path / "entry")
    assert tensors["x"].item() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_a_corpus_without_one_full_context_is_refused_and_leaves_nothing(own: TextConfig, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(InvalidArgument, match="one context of 5000 tokens for validation/verse"):
        load_text(own.model_copy(update={"context_length": 5000}), cache=cache)
    with pytest.raises(InvalidArgument, match="a corpus that yields"):
        load_text(own.model_copy(update={"vocabulary_size": 5000}), cache=cache)
    assert not cache.exists()


def test_a_corpus_of_one_line_is_too_small(tmp_path: Path) -> None:
    (tmp_path / "only.txt").write_text("one line\n", encoding="utf-8")
    with pytest.raises(InvalidArgument, match="more text"):
        load_text(TextConfig(corpus={"mine": str(tmp_path / "only.txt")}))


def test_an_unknown_distribution_names_the_known_ones(small: TextData) -> None:
    with pytest.raises(InvalidArgument, match=r"one of code, prose, mixed, found 'pros'.*'prose'"):
        small.train["pros"]
    assert small.train.get("pros") is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corpus": "texts/*.txt"}, r"corpus=\{\"mine\": 'texts/\*\.txt'\}"),
        ({"corpus": {"mixed": "*.txt"}}, "another name"),
        ({"vocabulary_size": 255}, "vocabulary_size"),
        ({"vocabulary_size": 5001}, "vocabulary_size"),
        ({"validation_fraction": 0.0}, "validation_fraction"),
        ({"contextlength": 3}, "contextlength"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        TextConfig(**settings)


def test_hugging_face_names_may_carry_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def corpus(name: str, split: str = "train") -> dict[str, list[Document]]:
        asked.append((name, split))
        return {"stories": [Document(str(number), f"story {number}: {'the ' * 40}") for number in range(40)]}

    monkeypatch.setattr(text_module, "huggingface_corpus", corpus)
    for source in ("hf:someone/stories", "hf:someone/stories:train[:40]"):
        data = load_text(TextConfig(corpus=source, vocabulary_size=256, context_length=8))
        assert set(data.train) == {"stories", "mixed"}
    assert asked == [("someone/stories", "train"), ("someone/stories", "train[:40]")]


class Recorder:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.finished: list[str] = []

    def start(self, task: str, total: int, done: int = 0) -> None:
        assert task not in self.totals
        self.totals[task] = total

    def advance(self, task: str, amount: int = 1, note: str = "") -> None:
        self.done[task] = self.done.get(task, 0) + amount

    def finish(self, task: str) -> None:
        self.finished.append(task)


def test_progress_reaches_its_end() -> None:
    recorder = Recorder()
    load_text(SMALL, progress=recorder)
    assert recorder.done == recorder.totals
    assert recorder.finished == ["reading source", "encoding"]


@pytest.mark.slow
def test_the_whole_standard_library() -> None:
    data = load_text(TextConfig())
    assert sum(data.info["bytes"].values()) > 5_000_000
    assert len(data.info["skipped"]) <= 5
    for name in ("code", "prose"):
        train = set(data.decode(data.train[name].flatten()).split(END))
        validation = set(data.decode(data.validation[name].flatten()).split(END))
        assert not train & validation
        share = data.info["documents"][f"validation/{name}"] / data.info["documents"][f"train/{name}"]
        assert share == pytest.approx(1 / 9, abs=0.03)
