"""Documents come from where they should, each once and in a fixed order; what cannot be read is named."""

import os
import sys
import sysconfig
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ontogeny.core.errors import InvalidArgument
from ontogeny.data import Document, file_corpus, huggingface_corpus, stdlib_corpus
from ontogeny.data.corpus import FEWEST_DOCUMENTS, distinct


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_documents_are_files_in_the_order_of_their_names_below_the_common_folder(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"b/{number:02d}.txt": f"text {number}\n" for number in range(30)}
    write(tmp_path, {**files, "a/first.txt": "größe\r\n", "empty.txt": " \n", "other.md": "not asked for"})
    corpus = file_corpus({"mine": f"{tmp_path}/**/*.txt"})
    assert list(corpus) == ["mine"]
    assert [document.name for document in corpus["mine"]] == ["a/first.txt", *sorted(files)]
    assert corpus["mine"][0].text == "größe\n"


def test_few_files_are_cut_at_line_ends_into_pieces(tmp_path: Path) -> None:
    text = "".join(f"line {number} of the only file\n" for number in range(500))
    write(tmp_path, {"all.txt": text})
    pieces = file_corpus({"mine": str(tmp_path / "all.txt")})["mine"]
    assert "".join(piece.text for piece in pieces) == text
    assert FEWEST_DOCUMENTS - 2 <= len(pieces) <= FEWEST_DOCUMENTS
    assert all(piece.text.endswith("\n") for piece in pieces)
    assert len({piece.name for piece in pieces}) == len(pieces)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "expected a pattern that finds files, found none for"),
        ({"a.txt": "", "b.txt": "\n"}, "expected files with text, found 2 empty files"),
        ({"a.txt": b"PK\x03\x04\0\0"}, "a.txt: a binary file with a NUL byte at character 4"),
        ({"a.txt": "fine", "b.txt": b"caf\xe9 au lait"}, "b.txt: invalid continuation byte at byte 3"),
    ],
)
def test_an_unusable_corpus_is_refused_with_the_file_and_the_reason(
    tmp_path: Path, files: dict[str, str | bytes], message: str
) -> None:
    write(tmp_path, files)
    with pytest.raises(InvalidArgument) as caught:
        file_corpus({"mine": f"{tmp_path}/*.txt"})
    assert caught.value.argument == "corpus['mine']"
    assert message in str(caught.value)


def test_a_corpus_without_names_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no names"):
        file_corpus({})


def test_a_file_that_is_no_longer_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to(tmp_path / "gone.txt")
    with pytest.raises(InvalidArgument, match=r"link\.txt: No such file"):
        file_corpus({"mine": f"{tmp_path}/*.txt"})


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_forbidden_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "secret"})
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(InvalidArgument, match=r"a\.txt: Permission denied"):
        file_corpus({"mine": f"{tmp_path}/*.txt"})


def test_texts_are_kept_once() -> None:
    documents = [Document("a", "one"), Document("b", "two"), Document("c", "one"), Document("d", "  ")]
    seen: set[bytes] = set()
    assert [document.name for document in distinct(documents, seen)] == ["a", "b"]
    assert distinct([Document("e", "two")], seen) == []


LIBRARY = {
    "alpha.py": b'"""Alpha: a module about the first letter of the alphabet."""\nimport os  # why\n',
    "package/__init__.py": b'"""Too short."""\n# nothing runs here\n',
    "package/twin.py": b"import os\n",
    "package/cited.py": b'"""Alpha: a module about the first letter of the alphabet."""\nx = 1\n',
    "test/test_alpha.py": b"import alpha\n",
    "package/tests/deep.py": b"import alpha\n",
    "idlelib/idle_test/there.py": b"import alpha\n",
    "site-packages/other.py": b"import alpha\n",
    "_sysconfigdata_x.py": b"built = 'here'\n",
    "pydoc_data/topics.py": b"topics = {}\n",
    "latin.py": b"x = '\xe9'\n",
    "two.py": b"print 'two'\n",
}


def test_the_standard_library_becomes_code_and_prose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, dict(LIBRARY))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    corpus = stdlib_corpus()
    assert list(corpus) == ["code", "prose"]
    # twin.py is alpha.py once its docstring and comment are gone; cited.py repeats alpha.py's docstring
    assert corpus["code"] == [Document("alpha.py", "import os\n"), Document("package/cited.py", "x = 1\n")]
    prose = [document for document in corpus["prose"] if not document.name.startswith("topics/")]
    assert prose == [Document("alpha.py", "Alpha: a module about the first letter of the alphabet.")]
    assert len(corpus["prose"]) > 50


def test_an_installation_without_source_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(InvalidArgument, match="no Python files"):
        stdlib_corpus()


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In place of the package `datasets`: rows that the test sets, and the arguments that were asked for."""
    stand_in = SimpleNamespace(rows={}, asked=None)

    class Rows(dict[str, list[str | None]]):
        column_names = property(list)

    def load_dataset(name: str, split: str) -> Rows:
        stand_in.asked = (name, split)
        return Rows(stand_in.rows)

    module = ModuleType("datasets")
    monkeypatch.setattr(module, "load_dataset", load_dataset, raising=False)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return stand_in


def test_a_hugging_face_dataset_is_one_distribution(datasets: SimpleNamespace) -> None:
    datasets.rows = {"text": ["once upon a time", "", None, "the end"], "id": [0, 1, 2, 3]}
    corpus = huggingface_corpus("someone/stories", split="train[:4]")
    assert datasets.asked == ("someone/stories", "train[:4]")
    assert [document.text for document in corpus["stories"]] == ["once upon a time", "the end"]


def test_a_dataset_without_the_column_or_without_text_is_refused(datasets: SimpleNamespace) -> None:
    datasets.rows = {"content": ["once"]}
    with pytest.raises(InvalidArgument, match="'text', where there are content"):
        huggingface_corpus("someone/stories")
    datasets.rows = {"text": [""]}
    with pytest.raises(InvalidArgument, match="1 empty rows"):
        huggingface_corpus("someone/stories")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r'pip install "ontogeny\[data\]"'):
        huggingface_corpus("someone/stories")
