"""Temporary names that identify the writing process, so that leftovers of a killed one can be removed."""

import functools
import glob
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from pathlib import Path

_WEEK = 7 * 24 * 3600.0


def temporary_name(place: Path) -> Path:
    """A hidden name beside `place` that no other process or call uses."""
    return place.with_name(f".{place.name}.{process_name()}-{secrets.token_hex(4)}.part")


def remove_stale(place: Path) -> None:
    """Remove leftovers of killed writers of `place`: known to be dead on this machine, or a week old."""
    name = re.compile(re.escape(f".{place.name}.") + r"(\w+)-(\d+)-\w+\.part")
    for path in place.parent.glob(f".{glob.escape(place.name)}.*.part"):
        found = name.fullmatch(path.name)
        if found is None:
            continue
        if is_stale(f"{found[1]}-{found[2]}", path):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there; another process may be removing it, too."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def process_name() -> str:
    """A name of this process that others can ask about."""
    return f"{_machine()}-{os.getpid()}"


def is_stale(name: str, path: Path) -> bool:
    """Whether the process of that name is known to be dead, or `path`, which it left, is a week old."""
    machine, _, process = name.rpartition("-")
    dead_here = machine == _machine() and not (process.isdigit() and _is_alive(int(process)))
    return dead_here or _age(path) > _WEEK


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True  # where the query would kill the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


@functools.cache
def _machine() -> str:
    """The scope in which a process id is unique: this machine since its last boot, and this container."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(os.readlink(path) if path.endswith("pid") else Path(path).read_text())
        except OSError:
            parts.append("")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]
