"""A caller's data as numbered samples. `take(indices)` gives the batch that the caller's loss function expects."""

import copy
from typing import Any

import torch
from torch import Tensor

from ontogeny.core.batches import leaves, mapped
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.sources import Rows, opened


class Samples:
    """n samples, taken by number; n is the sample size in every formula (sequences, never tokens).

    | data | a batch |
    |---|---|
    | a tensor or NumPy array | a tensor |
    | a tuple of tensors or arrays, a `TensorDataset` | a tuple |
    | a list of two tensors with the same first dimension: (inputs, targets) | a tuple |
    | a dict of tensors, arrays or lists, a `transformers.BatchEncoding` | a dict |
    | any other list, a map-style dataset (`len` and `[]`), a `datasets.Dataset` | its samples, collated |
    | a `torch.utils.data.DataLoader` | what its `collate_fn` makes of samples of its dataset |
    | an `IterableDataset`, alone or in a loader, with `num_samples` | the same |
    | any other finite iterable of ready batches, with `num_samples` | what the iterable gives |

    A list of two tensors with the same first dimension is never two samples; any other list is a list of samples. A
    list of numbers within a sample is one tensor. Tensors keep their dtype; floating-point numbers of Python and NumPy
    take PyTorch's default dtype.

    From a loader only dataset and collation are used, not order, batch size, `drop_last` or workers. A
    `SubsetRandomSampler` selects the samples; a sampler that weights or repeats them is refused.

    A dataset whose samples take up to a gigabyte (2³⁰ bytes) is read once, into memory. A larger one is read and
    collated for every batch. The batches of an iterable are always kept in memory.

    Args:
        data: one of these.
        num_samples: n, if the data have no length. It must equal the number of samples in them.
        per_token: for an observable whose loss has positions: record each position instead of their mean. Entry s·T + t
            is position t of sample s.
        name: the caller's name for the data, for errors.

    Raises:
        InvalidArgument: for data of unknown length without `num_samples`, empty data, tensors of unequal length,
            samples of unequal shape, text and other non-numeric parts, or a `num_samples` that differs from the number
            in the data.
    """

    def __init__(
        self, data: Any, num_samples: int | None = None, name: str = "data", *, per_token: bool = False
    ) -> None:
        self.name, self.per_token = name, per_token
        source = opened(data, num_samples, name)
        self._rows = source if isinstance(source, Rows) else None
        self.stored = self._counted(source)
        self._check(num_samples)
        self._held = source if self._rows is None else self._rows.held()
        for path, part in leaves(() if self._held is None else self._held):
            if not part.numel():
                raise InvalidArgument(
                    name,
                    expected="numbers in every part of a sample",
                    found=f"none in {name}{path}, a tensor {tuple(part.shape)}",
                    instead="data without this part",
                )

    @classmethod
    def of(cls, data: Any, num_samples: int | None = None, name: str = "data") -> "Samples":
        """Wrap data as samples, unless they already are."""
        if not isinstance(data, Samples):
            return cls(data, num_samples, name)
        data._check(num_samples)
        return data

    def __len__(self) -> int:
        return self.stored

    @property
    def in_memory(self) -> bool:
        """Whether all samples are kept in memory, in one shape each."""
        return self._held is not None

    def __fingerprint__(self) -> tuple[Any, ...]:
        """What counts in a key: the samples, not their name or the kind of their source."""
        return self._rows if self._held is None else self._held, self.per_token

    def take(self, indices: Tensor, device: torch.device | str = "cpu") -> Any:
        """The batch of these samples on `device`; leading dimensions are those of `indices`."""
        if self._held is None:
            return self.read(indices, device)
        flat = indices.flatten()  # one index selects rows faster than two
        return mapped(
            lambda part: _shaped(part.index_select(0, flat.to(part.device)).to(device), indices.shape), self._held
        )

    def read(self, indices: Tensor, device: torch.device | str = "cpu") -> Any:
        """As `take`, but always read from the dataset again, whatever is in memory.

        Two readings of a dataset with random transforms differ. Compare readings with each other, because samples in
        memory may be padded further. Tensors, and the batches of an iterable, are the same each time.
        """
        if self._rows is None:
            return self.take(indices, device)
        batch = self._rows.batch(indices.flatten().tolist())
        return mapped(lambda part: _shaped(part.to(device), indices.shape), batch)

    def subset(self, indices: Tensor, name: str = "data") -> "Samples":
        """Some of the samples, in memory, numbered in the order of `indices`."""
        other = copy.copy(self)
        other._held, other._rows = self.take(indices), None
        other.stored, other.name = len(indices), name
        return other

    def _counted(self, source: Any) -> int:
        if self._rows is not None:
            return len(self._rows)
        sizes = [part.shape[0] for _, part in leaves(source)]
        if len(set(sizes)) > 1:
            raise InvalidArgument(
                self.name,
                expected="tensors with the same number of samples in dimension 0",
                found=f"{sizes}",
                instead="(inputs, targets) with one row per sample in each",
            )
        return sizes[0]

    def _check(self, num_samples: int | None) -> None:
        if self.stored == 0:
            raise InvalidArgument(
                self.name, expected="at least one sample", found="an empty dataset", instead="data with samples in it"
            )
        if num_samples is not None and num_samples != self.stored:
            raise InvalidArgument(
                "num_samples",
                expected=f"{self.stored}, the number of samples in {self.name}",
                found=str(num_samples),
                instead=f"num_samples={self.stored}, and nbeta=... for the temperature at another n; "
                "iter(data) of a list of batches",
            )


def _shaped(rows: Tensor, shape: torch.Size) -> Tensor:
    return rows if len(shape) == 1 else rows.unflatten(0, shape)
