"""The manifest of a folder that ontogeny wrote: its files, their checksums, and how it was made.

It identifies our folders, and every byte is checked against it on reading.
"""

import hashlib
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.origins import own_version

MANIFEST = "manifest.json"
_FORMAT = 1
# What Zarr writes into a folder of draws, including half-written files of a killed process.
_ZARR = re.compile(r"(.*/)?(zarr\.json|c(/\d+)*|[^/]+\.partial)")


def seal(folder: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write the manifest of a finished folder.

    It depends only on the content, the versions of Python, torch and ontogeny, and `metadata`, so equal content gives
    equal bytes. It contains a time only if the caller passes one.

    Args:
        metadata: anything else worth recording, as JSON: inputs, seeds, a time.
    """
    files = {
        name: {"sha256": sha256(folder / name), "size": (folder / name).stat().st_size}
        for name in _names(folder)
        if name != MANIFEST
    }
    versions = {
        "ontogeny": own_version(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
    _write(folder, {"complete": True, "files": files, "metadata": dict(metadata or {}), "versions": versions})


def begin(folder: Path, metadata: Mapping[str, Any] | None = None) -> str:
    """Mark a folder as still being written. The returned token stays in its manifest until it is sealed.

    Args:
        metadata: what is known beforehand, as for `seal`.
    """
    writer = secrets.token_hex(8)
    _write(folder, {"complete": False, "metadata": dict(metadata or {}), "writer": writer})
    return writer


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder: `complete`, `files`, `versions`, `metadata`.

    Raises:
        CorruptFile: if there is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except OSError as error:
        what = "has no manifest" if folder.is_dir() else "is not a folder" if folder.exists() else "does not exist"
        raise CorruptFile(f"{folder}: {what}; it contains nothing that ontogeny finished writing") from error
    try:
        content: dict[str, Any] = json.loads(text)
        intact = content["ontogeny"] == _FORMAT and _rendered(content) == text
    except (ValueError, KeyError, TypeError):
        content, intact = {}, False
    if not intact:
        raise CorruptFile(f"{path}: damaged, or not a manifest of this version of ontogeny; recreate {folder.name}")
    return content


def verified(folder: Path, *, partial: bool = False) -> dict[str, bytes]:
    """Read the files of a folder by name, each once and checked.

    Args:
        partial: also accept an unfinished folder, without any check.

    Raises:
        CorruptFile: for a missing, extra or altered file, which is named, or for an unfinished folder.
    """
    manifest = read_manifest(folder)
    if not manifest["complete"]:
        if not partial:
            raise CorruptFile(
                f"{folder}: sampling has not finished; read_tree(path, partial=True) reads what is there, unchecked"
            )
        names = [name for name in _names(folder) if name != MANIFEST and not name.endswith(".partial")]
        return {name: (folder / name).read_bytes() for name in names}
    there, expected = set(_names(folder)) - {MANIFEST}, manifest["files"]
    for name in sorted(there ^ expected.keys()):
        raise CorruptFile(f"{folder / name}: {'missing' if name in expected else 'not one of the files written here'}")
    files = {}
    for name, said in expected.items():
        files[name] = (folder / name).read_bytes()
        if hashlib.sha256(files[name]).hexdigest() != said["sha256"]:
            raise CorruptFile(f"{folder / name}: its content does not match its checksum; recreate {folder.name}")
    return files


def require_replaceable(path: Path) -> None:
    """Refuse to overwrite anything that ontogeny did not write, or that others have added to.

    Raises:
        InvalidArgument: names `path` and what is there.
    """
    for _ in range(3):
        foreign = _foreign(path)
        if foreign is None:
            return
        time.sleep(0.01)  # another process may have been about to replace it
    raise InvalidArgument(
        "path",
        expected="a new path, an empty folder, or one that ontogeny wrote",
        found=f"{path} with {foreign}" if path.is_dir() else f"{path}, a file",
        instead="another path, or move away what is there",
    )


def same_content(first: Path, second: Path) -> bool:
    """Whether both folders are intact, with the same manifest."""
    try:
        return (first / MANIFEST).read_bytes() == (second / MANIFEST).read_bytes() and bool(verified(second))
    except (OSError, CorruptFile):
        return False


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _foreign(path: Path) -> str | None:
    """A file at `path` that ontogeny did not write; None if everything may be replaced."""
    if not path.is_dir():
        return path.name if os.path.lexists(path) else None
    names = _names(path)
    try:
        content = json.loads((path / MANIFEST).read_bytes())
        content["ontogeny"]
        ours = {MANIFEST, *content.get("files", ())}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return names[0] if names else None
    if content.get("complete"):
        return next((name for name in names if name not in ours), None)
    return next((name for name in names if name not in ours and not _ZARR.fullmatch(name)), None)


def _names(folder: Path) -> list[str]:
    """Every file and link below `folder`, with slashes, in order."""
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [Path(place, name).relative_to(folder).as_posix() for name in (*files, *links)]
    return sorted(found)


def _write(folder: Path, content: dict[str, Any]) -> None:
    try:
        plain = json.loads(json.dumps(content))  # as it will be read back
    except (TypeError, ValueError) as error:
        raise InvalidArgument("metadata", expected="values that JSON can represent", found=str(error)) from error
    temporary = folder / f"{MANIFEST}.{secrets.token_hex(4)}.partial"
    temporary.write_bytes(_rendered({"ontogeny": _FORMAT} | plain))
    os.replace(temporary, folder / MANIFEST)


def _rendered(content: dict[str, Any]) -> bytes:
    """The canonical text of `content` with its own checksum, so that no bit can change undetected."""
    body = {name: value for name, value in content.items() if name != "sha256"}
    digest = hashlib.sha256(_json(body)).hexdigest()
    return _json(body | {"sha256": digest})


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode("utf-8", "surrogatepass")
