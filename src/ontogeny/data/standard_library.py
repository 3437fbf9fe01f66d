"""The corpus that every Python installation carries: its standard library, as code and as prose."""

import os
import pydoc_data.topics
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress, Silent
from ontogeny.data.corpus import Document, distinct
from ontogeny.data.source_code import UNREADABLE, decode_source, split_source

SHORTEST_DOCSTRING = 40
"""Characters; what is shorter is mostly "See base class." and its like."""

_EXCLUDED_FOLDERS = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
_TOPICS = "pydoc_data/topics.py"  # is prose within a dictionary
_BUILD_SETTINGS = "_sysconfigdata"  # differ from machine to machine


def stdlib_corpus() -> dict[str, list[Document]]:
    """The standard library of the running interpreter as `code` and `prose`, without exact duplicates.

    `code`: its source files with docstrings and comments removed, in the order of their paths; its tests, what was
    installed beside it and build settings are left out. `prose`: the topics of `help()`, and for each source file its
    docstrings of at least 40 characters as one document. Files that this interpreter cannot parse are left out.

    Raises:
        InvalidArgument: if the installation came without source.
    """
    sources, _ = stdlib_sources()
    corpus, _ = code_and_prose(sources, set(), Silent())
    return corpus


def stdlib_sources() -> tuple[dict[str, list[Document]], list[str]]:
    """The files as they are, under `source`, and the topics of `help()`, under `topics`; and the undecodable files."""
    folder = Path(sysconfig.get_path("stdlib"))
    documents, skipped = [], []
    for name in sorted(_source_files(folder)):
        if name == _TOPICS or name.startswith(_BUILD_SETTINGS):
            continue
        try:
            documents.append(Document(name, decode_source((folder / name).read_bytes())))
        except UNREADABLE:
            skipped.append(name)
    if not documents:
        raise InvalidArgument(
            "corpus",
            expected=f"the standard library's source in {folder}",
            found="no Python files (this installation came without them)",
            instead='files of your own: corpus={"mine": "texts/*.txt"}',
        )
    topics = sorted(pydoc_data.topics.topics.items())
    return {"source": documents, "topics": [Document(f"topics/{name}", text) for name, text in topics]}, skipped


def _source_files(folder: Path) -> Iterator[str]:
    """Names of the Python files below, without a look into what is excluded: packages may be many times the library."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _EXCLUDED_FOLDERS]
        yield from ((Path(place) / name).relative_to(folder).as_posix() for name in names if name.endswith(".py"))


def code_and_prose(
    sources: Mapping[str, Sequence[Document]], seen: set[bytes], progress: Progress
) -> tuple[dict[str, list[Document]], list[str]]:
    """`code` and `prose` made of `stdlib_sources`, and the names of the files that could not be parsed.

    Args:
        sources: documents under `source` and `topics`.
        seen: hashes of the texts that are there already, which are left out; it grows by those that are returned.
        progress: advanced by every file in the task "reading source", which the caller starts.
    """
    code, prose, skipped = [], distinct(sources["topics"], seen), []
    for document in sources["source"]:
        progress.advance("reading source")
        try:
            text, docstrings = split_source(document.text)
        except UNREADABLE:
            skipped.append(document.name)
            continue
        code += distinct([Document(document.name, text)], seen)
        long = [Document(document.name, text) for text in docstrings if len(text) >= SHORTEST_DOCSTRING]
        if new := distinct(long, seen):
            prose.append(Document(document.name, "\n\n".join(docstring.text for docstring in new)))
    return {"code": code, "prose": prose}, skipped
