"""One writer at a time in a folder. The system lets a lock go when its process ends, however that ends."""

import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ontogeny.core.errors import InvalidArgument

LOCK = ".lock"


@contextmanager
def locked(folder: Path, argument: str = "out") -> Generator[None]:
    """Hold the lock of a folder, which is made if need be. It holds between processes, and between threads of one.

    A file `.lock` stays in the folder and names the holder; it is empty while there is none. What is locked is not
    that there is such a file: after a process was killed the folder is free at once. Where the system or the file
    system has no locks, nothing is held.

    Args:
        folder: to be alone in.
        argument: its name where a user gave it.

    Raises:
        InvalidArgument: if another holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        if not _take(file.fileno()):
            holder = (folder / LOCK).read_text(encoding="utf-8") or "another process"
            raise InvalidArgument(
                argument,
                expected="a folder that no other process is writing",
                found=f"{folder}, in use by {holder}",
                instead="another folder, or the same when that process has ended",
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _take(descriptor: int) -> bool:
    """Whether nobody else holds the lock, which then is ours."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
