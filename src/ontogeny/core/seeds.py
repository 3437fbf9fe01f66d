"""The seed tree: every source of randomness is a child of one seed, named by its path. No global state is used."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, *path: str | int) -> int:
    """Child seed of `seed` at `path`, a non-negative 63-bit integer.

    Equal seeds and paths give equal children; different paths give unrelated ones: the child is the SHA-256 of both.
    """
    text = repr((int(seed), *path)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1


def generator(seed: int, *path: str | int, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """A new torch generator seeded by the child of `seed` at `path`."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, *path))
