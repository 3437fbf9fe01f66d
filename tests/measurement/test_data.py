"""Data of a run as people hold them: loaders, and iterables whose number of samples is said."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import xarray as xr
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ontogeny as og

SOURCE = torch.Generator().manual_seed(0)
X, Y = torch.randn(40, 3, generator=SOURCE), torch.randn(40, 1, generator=SOURCE)
BATCHES = list(zip(X.split(9), Y.split(9), strict=True))
KINDS: dict[str, tuple[Callable[[], Any], dict[str, int]]] = {
    "loader": (lambda: DataLoader(TensorDataset(X, Y), 9, shuffle=True, drop_last=True), {}),
    "loader and n": (lambda: DataLoader(TensorDataset(X, Y), 9), {"num_samples": 40}),
    "dicts": (lambda: [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)], {}),
    "iterator": (lambda: iter(BATCHES), {"num_samples": 40}),
}


def measured(data: Any, **more: Any) -> xr.Dataset:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    run = og.open_checkpoints([model.state_dict()])
    return og.measure(run, lambda: nn.Linear(3, 1), data, og.losses.mse, components=[], **more)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_measured_on_data_of_any_kind(kind: str) -> None:
    make, more = KINDS[kind]
    expected = measured((X, Y), datasets={"other": (X, Y)})
    xr.testing.assert_identical(
        measured(make(), datasets={"other": DataLoader(TensorDataset(X, Y), 7)}, **more), expected
    )


@pytest.mark.parametrize("kind", KINDS)
def test_another_n_is_refused(kind: str) -> None:
    with pytest.raises(og.InvalidArgument, match="`num_samples`: expected"):
        measured(KINDS[kind][0](), num_samples=39)
