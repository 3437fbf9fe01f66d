"""Atomic files and folders: written under a temporary name, then moved into place in one step."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ontogeny.stores.manifest import require_replaceable, same_content
from ontogeny.stores.temporaries import remove, remove_stale, temporary_name


def write_atomically(path: Path, write: Callable[[Path], Any]) -> Path:
    """Call `write(temporary)` to make a file or folder, then move it to `path` in one step.

    A process killed at any moment leaves the old file or the new one, never a partial one; of a folder it may leave
    none. Several processes may write one path. The end result is what one of them wrote, complete.

    Args:
        path: a file is replaced. A folder is replaced if it is empty, or if our manifest names everything in it (see
            `seal`). It is left alone if its content already equals what was written. A link stays a link.

    Raises:
        InvalidArgument: for a folder that would replace anything else.
    """
    place = Path(os.path.realpath(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(place)
    temporary = temporary_name(place)
    try:
        write(temporary)
        if temporary.is_dir():
            _move_folder(temporary, place)
        else:
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, place)
    finally:
        remove(temporary)
    return path


def _move_folder(temporary: Path, place: Path) -> None:
    """Move the old folder away first, since a folder cannot be replaced in one step. Another process may be quicker."""
    for _ in range(100):
        require_replaceable(place)
        if same_content(temporary, place):
            return
        aside = temporary_name(place)
        try:
            if place.exists():
                os.rename(place, aside)
            os.rename(temporary, place)
        except FileNotFoundError:  # another process moved it away
            continue
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process put its own there
                continue
            if aside.exists():
                os.rename(aside, place)
            raise
        else:
            return
        finally:
            remove(aside)
    raise OSError(errno.EBUSY, "other processes keep writing there", str(place))


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as readable JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
