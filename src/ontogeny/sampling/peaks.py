"""The most memory taken up at a time, and how much is free."""

import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Counts bytes of tensors in main memory that are made inside the context and still referred to.

    Memory that operations take up and give back inside, and that of libraries other than PyTorch, is not seen.

    Attributes:
        live: bytes at present.
        peak: the most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        known = {_key(each) for each in tree_leaves((args, kwargs or {})) if _counts(each)}
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if _counts(each) and (key := _key(each)) not in self._seen and key not in known:
                storage = each.untyped_storage()
                self._seen[key] = storage.nbytes()
                self.live += storage.nbytes()
                weakref.finalize(storage, self._gone, key)
        self.peak = max(self.peak, self.live)
        return out

    def _gone(self, key: int) -> None:
        self.live -= self._seen.pop(key, 0)


def _counts(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and value.device.type == "cpu"


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@contextmanager
def peak_of(device: torch.device) -> Generator[list[int]]:
    """The most bytes taken up inside, as the only entry of a list."""
    found = [0]
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found[0] = torch.cuda.max_memory_allocated(device) - before
        return
    before = _highest()
    with LiveMemory() as live:
        yield found
    # what libraries take up at their first use is not in tensors
    found[0] = max(live.peak, _highest() - before)


def available_on(device: torch.device) -> int | None:
    """Bytes of memory that a device has free; None if that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = [_cgroup_left(), _meminfo()]
    known = [each for each in found if each is not None]
    return min(known) if known and device.type == "cpu" else None


def _highest() -> int:
    """Bytes of main memory that this process has taken up at its peak; 0 where that is not known."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError):  # not Linux
        return 0


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):  # not Linux
        return None


def _cgroup_left() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        most, now = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        return int(most) - int(now)
    except (OSError, ValueError):  # no limit, or another kind of groups
        return None
