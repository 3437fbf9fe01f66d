"""Files that are whole or absent: written beside their place, then moved there in one step."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], Any]) -> Path:
    """`write(temporary)` makes a file or folder beside `path`, which then takes the name `path` at once.

    A process killed at any moment leaves either the old content or the new, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")  # one name, so that what a kill left is taken up again
    _remove(temporary)
    write(temporary)
    if temporary.is_dir():
        _remove(path)  # a folder cannot be replaced in one step; its absence is what a resumed run looks for
    else:
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
    os.replace(temporary, path)
    return path


def write_json(path: Path, value: Any) -> Path:
    """`value` as readable JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def sha256(path: Path) -> str:
    """Hexadecimal checksum of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
