"""Files and folders that are whole or absent: written beside their place, then moved there in one step."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ontogeny.stores.manifest import require_replaceable, same_content
from ontogeny.stores.temporaries import remove, remove_stale, temporary_name


def write_atomically(path: Path, write: Callable[[Path], Any]) -> Path:
    """`write(temporary)` makes a file or folder beside `path`, which then takes the name `path` at once.

    A process killed at any moment leaves the old file or the new, never a part; of a folder, it may leave none. Several
    processes may write one path: what stands there at the end is what one of them wrote, whole.

    Args:
        path: a file is replaced. A folder is replaced if it is empty or has a manifest of ours that names all that is
            in it (see `seal`), and is left alone if it has just the content that was written. A link stays a link.

    Raises:
        InvalidArgument: for a folder that would take the place of anything else.
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
    """A folder cannot be replaced in one step: the old one is moved away first, and another process may be quicker."""
    for _ in range(100):
        require_replaceable(place)
        if same_content(temporary, place):
            return
        aside = temporary_name(place)
        try:
            if place.exists():
                os.rename(place, aside)
            os.rename(temporary, place)
        except FileNotFoundError:  # it was moved away by another process
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
    """`value` as readable JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
