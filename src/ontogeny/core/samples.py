"""A caller's data as numbered samples: `take(indices)` gives the batch that the caller's loss function expects."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from ontogeny.core.errors import InvalidArgument


class Samples:
    """n samples that can be taken by number; n is the sample size of every formula (sequences, never tokens).

    Args:
        data: a tensor or a tuple of tensors with equal first dimension; a map-style dataset (`len` and `[]`), batched
            by
            torch's default collate; or a finite iterable of ready batches, which is held in memory and needs
            `num_samples`.
        num_samples: n, where the data do not say it themselves; it must be what they hold.
        per_token: of an observable whose loss has positions: each is recorded, entry s·T + t being position t of
            sample s, instead of their mean.
        name: what the caller calls the data, for errors.

    Raises:
        InvalidArgument: for data of unknown length without `num_samples`, empty data, tensors of unequal length, or
            another `num_samples` than the data hold.
    """

    def __init__(
        self, data: Any, num_samples: int | None = None, name: str = "data", *, per_token: bool = False
    ) -> None:
        self.name, self.per_token = name, per_token
        self.tensors: tuple[Tensor, ...] | None = None
        self.bare = isinstance(data, Tensor)
        if isinstance(data, Tensor):
            self.tensors = (data,)
        elif isinstance(data, tuple):
            self.tensors = _only_tensors(data, name)
        elif not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
            self.tensors = _gather(data, num_samples, name)
            self.bare = len(self.tensors) == 1
        self.dataset = data
        self.stored = self.tensors[0].shape[0] if self.tensors else len(data)
        self._check(num_samples)

    @classmethod
    def of(cls, data: Any, num_samples: int | None = None, name: str = "data") -> "Samples":
        """Data as samples, if they are not such already."""
        return data if isinstance(data, Samples) else cls(data, num_samples, name)

    def __len__(self) -> int:
        return self.stored

    def take(self, indices: Tensor, device: torch.device | str = "cpu") -> Any:
        """The batch of the samples with these numbers, on `device`; leading dimensions are those of `indices`."""
        if self.tensors is not None:
            flat = indices.flatten()  # one index selects rows faster than two
            rows = (part.index_select(0, flat.to(part.device)).to(device) for part in self.tensors)
            parts = tuple(row if indices.ndim == 1 else row.unflatten(0, indices.shape) for row in rows)
            return parts[0] if self.bare else parts
        batch = default_collate([self.dataset[index] for index in indices.flatten().tolist()])
        return _to(batch, device, indices.shape)

    def _check(self, num_samples: int | None) -> None:
        if self.stored == 0:
            raise InvalidArgument(
                self.name, expected="at least one sample", found="an empty dataset", instead="data with samples in it"
            )
        if self.tensors and any(part.shape[0] != self.stored for part in self.tensors):
            raise InvalidArgument(
                self.name,
                expected="tensors with the same number of samples in dimension 0",
                found=f"{[part.shape[0] for part in self.tensors]}",
                instead="(inputs, targets) with one row a sample in each",
            )
        if num_samples is not None and num_samples != self.stored:
            raise InvalidArgument(
                "num_samples",
                expected=f"{self.stored}, the number of samples in {self.name}",
                found=str(num_samples),
                instead=f"num_samples={self.stored}, and nbeta=... for the temperature of another n",
            )


def _only_tensors(data: tuple[Any, ...], name: str) -> tuple[Tensor, ...]:
    if not data or not all(isinstance(part, Tensor) and part.ndim for part in data):
        found = ", ".join(type(part).__name__ for part in data) or "nothing"
        raise InvalidArgument(
            name,
            expected="a tuple of tensors, such as (inputs, targets)",
            found=f"a tuple of {found}",
            instead="torch.as_tensor(…)",
        )
    return data


def _gather(batches: Any, num_samples: int | None, name: str) -> tuple[Tensor, ...]:
    if not isinstance(batches, Iterable):
        raise InvalidArgument(
            name,
            expected="a map-style dataset, a tensor or tuple of tensors, or an iterable of batches",
            found=type(batches).__name__,
            instead="(inputs, targets)",
        )
    if num_samples is None:
        raise InvalidArgument(
            name,
            expected="data whose length is known (n enters the temperature nβ = n / log n)",
            found=f"{type(batches).__name__}, an iterable of unknown length",
            instead="num_samples=... beside it, n being the number of samples and not of batches",
        )
    rows: list[tuple[Tensor, ...]] = []
    count = 0
    for batch in batches:  # one batch beyond n, if there is one, shows that n is not all of them
        rows.append((batch,) if isinstance(batch, Tensor) else tuple(batch))
        count += rows[-1][0].shape[0]
        if count > num_samples:
            raise InvalidArgument(
                "num_samples",
                expected=f"the number of samples in all batches of {name}",
                found=f"{num_samples}, and the batches hold {count} or more",
                instead="num_samples=... for all of them, or an iterable that ends after n samples",
            )
    if not rows:
        raise InvalidArgument(
            name, expected="at least one batch", found="an empty iterable", instead="an iterable that was not used up"
        )
    return tuple(torch.cat(parts) for parts in zip(*rows, strict=True))


def _to(batch: Any, device: torch.device | str, shape: torch.Size) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device).unflatten(0, shape)
    if isinstance(batch, dict):
        return {key: _to(value, device, shape) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        parts = [_to(value, device, shape) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch
