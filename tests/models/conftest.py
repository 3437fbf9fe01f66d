"""Gradients as another processor would round them."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

Rounding = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def other_rounding(monkeypatch: pytest.MonkeyPatch) -> Rounding:
    """A context, for a seed, in which every gradient is disturbed at the level of rounding.

    The noise is 1e-6 of each tensor's largest gradient, and 1e-7 of the largest of all, also where gradients are zero.
    """
    exact = torch.autograd.grad

    @contextmanager
    def rounding(seed: int) -> Generator[None]:
        generator = torch.Generator().manual_seed(seed)

        def disturbed(*args: Any, **options: Any) -> tuple[Tensor | None, ...]:
            found = exact(*args, **options)
            sizes = [0.0 if each is None else float(each.abs().max()) for each in found]
            return tuple(
                None if each is None else each + (1e-6 * size + 1e-7 * max(sizes)) * noise(each)
                for each, size in zip(found, sizes, strict=True)
            )

        def noise(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, dtype=like.dtype)

        with monkeypatch.context() as patch:
            patch.setattr(torch.autograd, "grad", disturbed)
            yield

    return rounding
