"""The kinds of a caller's data: columns in memory, or rows of a dataset that are collated into batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from ontogeny.core.batches import ROW, joined, kind, leaves, like
from ontogeny.core.collation import check_rows, collated, columns, is_column
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import is_task

IN_MEMORY = 2**30  # most bytes of collated samples in memory; larger datasets are read for every batch
_CHUNK = 1024  # samples collated at a time


@dataclass(frozen=True)
class Rows:
    """A map-style dataset, and how its samples become a batch.

    Attributes:
        dataset: has `len` and `[]`, or `__getitems__`.
        name: the caller's name for it, for errors.
        collate: the caller's own collation; None for `collated`.
    """

    dataset: Any
    name: str
    collate: Callable[[list[Any]], Any] | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, numbers: Sequence[int]) -> Any:
        """These samples, read from the dataset now."""
        rows = self._read(list(numbers))
        if self.collate is None:
            return collated(rows, self.name, ROW, list(numbers))
        batch = columns(self.collate(rows), self.name, rows_in_lists=False)
        check_rows(batch, len(numbers), self.name)
        return batch

    def held(self) -> Any:
        """All samples as one batch, or None if that takes more than `IN_MEMORY` bytes."""
        count = len(self)
        first = self.batch(range(min(count, 2)))
        size = sum(part.numel() * part.element_size() for _, part in leaves(first)) / min(count, 2)
        if size * count > IN_MEMORY:
            return None
        parts = [self.batch(range(start, min(start + _CHUNK, count))) for start in range(0, count, _CHUNK)]
        if self.collate is not None and len({_shapes(part) for part in parts}) > 1:
            return self.batch(range(count))  # padded to the longest sample of all
        return joined(parts, self.name)

    def _read(self, numbers: list[int]) -> list[Any]:
        try:
            several = getattr(self.dataset, "__getitems__", None)  # as PyTorch's own loader reads
            rows = several(numbers) if several else None
            several_rows = self.collate is not None or (isinstance(rows, list) and len(rows) == len(numbers))
            return rows if rows is not None and several_rows else [self.dataset[number] for number in numbers]
        except (KeyError, IndexError, TypeError) as error:
            raise InvalidArgument(
                self.name,
                expected=f"a dataset indexed by sample number, 0 to {len(self) - 1}",
                found=f"{type(self.dataset).__name__}, which raised {type(error).__name__}: {error}",
                instead="(inputs, targets) as tensors or arrays, such as table.to_numpy() of a table",
            ) from error


def opened(data: Any, num_samples: int | None, name: str) -> Any:
    """Data as columns, a tree of tensors, or as `Rows`. See `ontogeny.core.samples.Samples` for the kinds.

    Raises:
        InvalidArgument: for anything else.
    """
    if type(data) is TensorDataset:
        return data.tensors
    if isinstance(data, (Tensor, np.ndarray, Mapping)):
        return columns(data, name)
    if isinstance(data, tuple) or _is_pair(data):
        return _several(data, name)
    if isinstance(data, DataLoader):
        return _of_loader(data, num_samples, name)
    if isinstance(data, IterableDataset):
        return _gathered(_batches(data, None, name), num_samples, name, data)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        return Rows(data, name)
    if is_task(data):
        raise InvalidArgument(
            name,
            expected="samples, whose number n enters the formulas",
            found=f"{type(data).__name__}, a task that draws as many as it is asked for",
            instead="task.sample(1000, seed=1), finite samples of the task",
        )
    return _gathered(data, num_samples, name, data)


def _is_pair(data: Any) -> bool:
    """Whether a list is [inputs, targets]: two tensors or arrays with equally many rows."""
    tensors = isinstance(data, list) and len(data) == 2 and all(isinstance(each, (Tensor, np.ndarray)) for each in data)
    return tensors and all(each.ndim for each in data) and len(data[0]) == len(data[1])


def _several(data: Sequence[Any], name: str) -> Any:
    parts = [collated(list(part), name) if is_column(part) and not isinstance(part, list) else part for part in data]
    if not parts or not all(isinstance(part, (Mapping, tuple)) or getattr(part, "ndim", 0) for part in parts):
        found = ", ".join(type(part).__name__ for part in parts) or "nothing"
        raise InvalidArgument(
            name,
            expected="a tuple of tensors, such as (inputs, targets)",
            found=f"a tuple of {found}",
            instead="torch.as_tensor(…) of each; samples in a list, list(data)",
        )
    return columns(like(data, parts) if isinstance(data, tuple) else tuple(parts), name)


def _of_loader(loader: DataLoader[Any], num_samples: int | None, name: str) -> Any:
    """The dataset of a loader, with the loader's collation. Order, `drop_last` and workers are ignored."""
    dataset, collate = loader.dataset, loader.collate_fn
    if isinstance(dataset, IterableDataset):
        if loader.batch_size is None:
            return _gathered(map(collate, dataset), num_samples, name, loader)
        return _gathered(_batches(dataset, collate, name), num_samples, name, loader)
    if loader.batch_sampler is None:  # items are batches
        items = (dataset[number] for number in range(len(dataset)))  # pyrefly: ignore[bad-argument-type]
        return _gathered(map(collate, items), num_samples, name, loader)
    chosen = _chosen(loader, len(dataset), name)  # pyrefly: ignore[bad-argument-type]
    return Rows(dataset if chosen is None else Subset(dataset, chosen), name, collate)


def _chosen(loader: DataLoader[Any], count: int, name: str) -> list[int] | None:
    """The samples that a loader's sampler visits; None for all of them, in any order."""
    batches: Any = loader.batch_sampler
    sampler: Any = batches.sampler if type(batches) is BatchSampler else batches
    if isinstance(sampler, (SequentialSampler, RandomSampler, DistributedSampler)):
        return None
    if isinstance(sampler, SubsetRandomSampler):
        return list(sampler.indices)
    with torch.random.fork_rng(devices=[]):
        visited = list(sampler) if type(batches) is BatchSampler else [each for batch in sampler for each in batch]
    if sorted(visited) == list(range(count)):
        return None
    raise InvalidArgument(
        name,
        expected="a DataLoader that visits each sample of its dataset once, in any order",
        found=f"{type(sampler).__name__}, which visits {len(set(visited))} of {count} samples in {len(visited)} visits",
        instead="DataLoader(Subset(loader.dataset, indices), collate_fn=loader.collate_fn), or all of loader.dataset",
    )


def _batches(rows: Iterable[Any], collate: Callable[[list[Any]], Any] | None, name: str) -> Iterator[Any]:
    source, begin = iter(rows), 0
    while some := list(islice(source, _CHUNK)):
        numbers = range(begin, begin + len(some))
        yield collated(some, name, ROW, numbers) if collate is None else collate(some)
        begin += len(some)


def _gathered(batches: Any, num_samples: int | None, name: str, data: Any) -> Any:
    if not isinstance(batches, Iterable):
        raise InvalidArgument(
            name,
            expected="a map-style dataset, a tensor or tuple of tensors, or an iterable of batches",
            found=type(data).__name__,
            instead="(inputs, targets)",
        )
    if num_samples is None:
        raise InvalidArgument(
            name,
            expected="data whose length is known (n enters the temperature nβ = n / log n)",
            found=f"{type(data).__name__}, an iterable of unknown length",
            instead="num_samples=... as well, where n is the number of samples, not of batches",
        )
    found: list[Any] = []
    count = 0
    for batch in batches:  # a batch beyond n, if there is one, shows that n is too small
        found.append(columns(batch, name, rows_in_lists=not isinstance(data, DataLoader)))
        size = {part.shape[0] for _, part in leaves(found[-1])}
        if len(size) > 1:
            raise InvalidArgument(
                name,
                expected="batches whose parts have equally many rows",
                found=f"{sorted(size)} in batch {len(found) - 1}, {kind(batch)}",
                instead="one row per sample in each tensor",
            )
        count += size.pop()
        if count > num_samples:
            raise InvalidArgument(
                "num_samples",
                expected=f"the number of samples in all batches of {name}",
                found=f"{num_samples}, but the batches contain {count} or more",
                instead="num_samples=... for all of them, or an iterable that ends after n samples",
            )
    if not found:
        raise InvalidArgument(
            name, expected="at least one batch", found="an empty iterable", instead="an iterable that is not exhausted"
        )
    return joined(found, name)


def _shapes(batch: Any) -> tuple[torch.Size, ...]:
    return tuple(part.shape[1:] for _, part in leaves(batch))
