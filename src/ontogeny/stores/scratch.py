"""Tensors in files that are mapped into memory and gone with their last use."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ontogeny.stores.temporaries import remove_stale, temporary_name


@dataclass(frozen=True)
class ScratchFolder:
    """A folder for what does not fit into memory, as `Reuse(scratch=ScratchFolder("scratch"))`.

    The system writes to the disk what is not in use, and reads it back when it is. A file has no name once it is open,
    so nothing is left behind, even by a process that is killed. (Where systems cannot remove an open file, it stays
    until the next one is made.)

    Args:
        path: the folder, which is made if it is not there. It should be on a disk of this machine.
    """

    path: Path | str

    def tensor(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor of zeros in a file of its own."""
        place = Path(self.path) / "activations"
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(place)
        name, size = temporary_name(place), torch.Size(shape).numel()
        found = torch.from_file(str(name), shared=True, size=size, dtype=dtype).view(shape)
        with suppress(PermissionError):
            name.unlink()
        return found
