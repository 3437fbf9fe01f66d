"""Documents of a user's own files or of a Hugging Face dataset, by the name of their distribution."""

import glob
import hashlib
import importlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ontogeny.core.errors import InvalidArgument

FEWEST_DOCUMENTS = 20
"""A pattern that finds fewer files has them cut into this many pieces, so that some can be kept for validation."""


@dataclass(frozen=True)
class Document:
    """One text and the name by which it is listed and assigned to training or validation."""

    name: str
    text: str


def file_corpus(patterns: Mapping[str, str]) -> dict[str, list[Document]]:
    """A user's own text files, e.g. `file_corpus({"fiction": "books/*.txt", "letters": "mail/**/*.txt"})`.

    A document is a file, named by its path below the files' common folder and listed in the order of names; empty
    files are left out. Where a pattern finds fewer than 20 files, each is cut at line ends into pieces of about a
    twentieth of the text, which then are the documents.

    Args:
        patterns: name of a distribution -> glob of its files (`**` enters folders, `~` is the home folder), UTF-8.

    Raises:
        InvalidArgument: naming the pattern or the file, if nothing is found, if a file cannot be read, is binary
            (holds NUL bytes) or not UTF-8, and if all files are empty.
    """
    if not patterns:
        raise InvalidArgument("corpus", expected="a pattern of files for each name", found="no names", instead=_EXAMPLE)
    return {name: _documents(name, pattern) for name, pattern in patterns.items()}


_EXAMPLE = 'corpus={"mine": "texts/*.txt"}'


def _documents(name: str, pattern: str) -> list[Document]:
    argument = f"corpus[{name!r}]"
    found = sorted(glob.glob(os.path.expanduser(pattern), recursive=True))
    paths = [path for path in map(Path, found) if not path.is_dir()]
    if not paths:
        raise InvalidArgument(
            argument,
            expected="a pattern that finds files",
            found=f"none for {pattern!r} from the folder {os.getcwd()}",
            instead=_EXAMPLE,
        )
    folder = os.path.commonpath([path.parent.absolute() for path in paths])
    documents = [Document(path.absolute().relative_to(folder).as_posix(), _text(argument, path)) for path in paths]
    documents = [document for document in documents if document.text.strip()]
    if not documents:
        raise InvalidArgument(
            argument, expected="files with text", found=f"{len(paths)} empty files", instead="another pattern"
        )
    if len(documents) < FEWEST_DOCUMENTS:
        size = 1 + sum(len(document.text) for document in documents) // FEWEST_DOCUMENTS
        documents = [piece for document in documents for piece in _pieces(document, size)]
    return documents


def _text(argument: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidArgument(
            argument, expected="files that can be read", found=f"{path}: {reason}", instead="a pattern without it"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            argument,
            expected="text in UTF-8",
            found=f"{path}: {error.reason} at byte {error.start}",
            instead="a pattern of text files only, converted to UTF-8",
        ) from error
    if "\0" in text:
        raise InvalidArgument(
            argument,
            expected="text",
            found=f"{path}: a binary file with a NUL byte at character {text.index(chr(0))}",
            instead="a pattern of text files only",
        )
    return text


def _pieces(document: Document, size: int) -> list[Document]:
    """Cut at the first line end after every `size` characters."""
    pieces, lines, length = [], [], 0
    for line in document.text.splitlines(keepends=True):
        lines.append(line)
        length += len(line)
        if length >= size:
            pieces.append("".join(lines))
            lines, length = [], 0
    pieces.append("".join(lines))
    return [Document(f"{document.name}:{index:03d}", piece) for index, piece in enumerate(pieces) if piece.strip()]


def huggingface_corpus(name: str, split: str = "train", text_field: str = "text") -> dict[str, list[Document]]:
    """One split of a Hugging Face dataset as one distribution, called by the last part of the dataset's name.

    Every row is a document, and all of them are held in memory. Needs the extra `data`.

    Args:
        name: as `datasets.load_dataset` takes it: a name on the hub or a local folder.
        split: the split or a slice of it, e.g. "train[:10000]".
        text_field: the column with the text.

    Raises:
        ImportError: if the package `datasets` is missing.
        InvalidArgument: for a column that is not there or holds no text.
    """
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise ImportError('Hugging Face datasets need an extra: pip install "ontogeny[data]"') from error
    rows = datasets.load_dataset(name, split=split)
    if text_field not in rows.column_names:
        raise InvalidArgument(
            "text_field",
            expected=f"a column of {name}",
            found=f"{text_field!r}, where there are {', '.join(rows.column_names)}",
            instead=f'huggingface_corpus("{name}", text_field="{rows.column_names[0]}")',
        )
    texts = rows[text_field]
    if other := next((text for text in texts if not isinstance(text, str | None)), None):
        found = f"{type(other).__name__} in {text_field!r}"
        raise InvalidArgument("text_field", expected=f"a column of {name} with text", found=found)
    documents = [Document(f"{split}/{index:09d}", text) for index, text in enumerate(texts) if text and text.strip()]
    if not documents:
        raise InvalidArgument("name", expected="a dataset with text", found=f"{len(texts)} empty rows in {name}")
    return {name.rstrip("/").rsplit("/", 1)[-1]: documents}


def distinct(documents: Iterable[Document], seen: set[bytes]) -> list[Document]:
    """The documents with text, each text once; `seen`: hashes of texts to leave out, grows by those that are kept."""
    kept = []
    for document in documents:
        digest = hashlib.sha256(document.text.encode()).digest()
        if document.text.strip() and digest not in seen:
            seen.add(digest)
            kept.append(document)
    return kept
