"""The conditions of every job, here or in a worker: one thread, and the caller's settings and warnings."""

import contextlib
import os
import sys
import warnings
from collections.abc import Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import cloudpickle
import torch
from threadpoolctl import threadpool_limits

_RUNNING: ContextVar[bool] = ContextVar("running", default=False)


def inside_job() -> bool:
    """Whether the caller is itself a job. Executors then run its jobs one after another."""
    return _RUNNING.get()


@contextlib.contextmanager
def job_conditions() -> Generator[None]:
    """Limit PyTorch, BLAS and OpenMP to one thread, and restore the numbers of threads afterwards."""
    threads, token = torch.get_num_threads(), _RUNNING.set(True)
    try:
        with threadpool_limits(limits=1):
            torch.set_num_threads(1)
            yield
    finally:
        torch.set_num_threads(threads)
        _RUNNING.reset(token)


@dataclass(frozen=True)
class Settings:
    """Process settings that change what a job computes or whether it warns. Workers adopt the caller's."""

    dtype: torch.dtype
    deterministic: bool
    precision: str
    folder: str
    path: tuple[str, ...]
    filters: tuple[bytes, ...]

    @classmethod
    def of_this_process(cls) -> "Settings":
        """The current settings of this process."""
        return cls(
            dtype=torch.get_default_dtype(),
            deterministic=torch.are_deterministic_algorithms_enabled(),
            precision=torch.get_float32_matmul_precision(),
            folder=os.getcwd(),
            path=tuple(sys.path),
            filters=tuple(cloudpickle.dumps(entry) for entry in warnings.filters),
        )

    def take_over(self, elsewhere: bool = False) -> None:
        """Apply these settings to this process, except the warning filters.

        Args:
            elsewhere: whether the process may be on a machine with other folders. Its own search path then comes first.
        """
        torch.set_default_dtype(self.dtype)
        if torch.are_deterministic_algorithms_enabled() != self.deterministic:  # setting it takes seconds of imports
            torch.use_deterministic_algorithms(self.deterministic)
        torch.set_float32_matmul_precision(self.precision)
        if elsewhere:
            with contextlib.suppress(OSError):
                os.chdir(self.folder)
            sys.path.extend(place for place in self.path if place not in sys.path)
        else:
            os.chdir(self.folder)
            sys.path[:] = self.path

    @contextlib.contextmanager
    def recorded_warnings(self) -> Generator[list[warnings.WarningMessage]]:
        """Record the warnings that the caller's filters let through. Those turned into errors are raised."""
        with warnings.catch_warnings(record=True) as recorded:
            warnings.resetwarnings()
            for entry in reversed(self.filters):
                with contextlib.suppress(Exception):  # a category that only the caller can import
                    _add_filter(*cloudpickle.loads(entry))
            yield recorded


def _add_filter(action: Any, message: Any, category: type[Warning], module: Any, line: int) -> None:
    """Prepend an entry of `warnings.filters`, whose patterns are compiled or, for Python's own, plain text."""
    text, place = (getattr(pattern, "pattern", pattern) or "" for pattern in (message, module))
    warnings.filterwarnings(action, text, category, place, line)
