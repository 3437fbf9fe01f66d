"""Equal inputs have one key in every process; whatever is changed changes the key."""

import dataclasses
import enum
import functools
import hashlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.fingerprint import fingerprint

ANYWHERE = """
import numpy, torch
from ontogeny.core.fingerprint import fingerprint
loss = lambda model, batch: model(batch) * 2
key = fingerprint({"b": 1, "a": {"x", "y", "z"}}, torch.arange(3.0), numpy.ones(2), loss)
"""


@dataclasses.dataclass(frozen=True)
class Setting:
    rate: float
    name: str = "a"


class Plain:
    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second

    @classmethod
    def cyclic(cls, length: int) -> "Plain":
        top = found = cls(length, None)
        for index in range(length):
            found.second = cls(index, None)
            found = found.second
        found.second = top
        return top


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Squares(torch.utils.data.Dataset):
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        return index**2


class FieldConfig(BaseModel):
    rate: float = 1.0
    inner: "FieldConfig | None" = None


class Wider(FieldConfig):
    width: int = 3


def recursive() -> Callable[[int], int]:
    def down(n: int) -> int:
        return 0 if n == 0 else down(n - 1)

    return down


def linear(weight: float) -> nn.Linear:
    module = nn.Linear(2, 1, bias=False)
    nn.init.constant_(module.weight, weight)
    return module


def scaled(factor: float) -> Callable[[Any, Any], Any]:
    return lambda model, batch: factor * model(batch)


def with_default(factor: float) -> Callable[..., Any]:
    def loss(model: Any, batch: Any, factor: float = factor) -> Any:
        return factor * model(batch)

    return loss


DIFFERENT = {
    "numbers": (1, 2, 1.0, True, "1", b"1", None),
    "containers": ([1, 2], [2, 1], (1, 2), [[1], 2], {1, 2}, {1: 2}),
    "dictionaries": ({"a": 1}, {"a": 2}, {"b": 1}),
    "tensors": (torch.zeros(2), torch.zeros(2, 1), torch.zeros(2, dtype=torch.float64), torch.tensor([0.0, 1e-30])),
    "halves": (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float16), torch.tensor(0)),
    "arrays": (np.zeros(2), np.zeros((2, 1)), np.zeros(2, np.float32), np.float64(0)),
    "modules": (linear(1.0), linear(2.0), nn.Sequential(linear(1.0)), nn.Linear(2, 1)),
    "dataclasses": (Setting(0.1), Setting(0.2), Setting(0.1, "b")),
    "captured": (scaled(1.0), scaled(2.0), with_default(1.0), with_default(2.0)),
    "code": (lambda x: x + 1, lambda x: x - 1, lambda x: x + 2),
    "partial": (functools.partial(scaled, 1.0), functools.partial(scaled, 2.0), functools.partial(scaled, factor=1.0)),
    "nested code": (lambda x: [y for y in x if y > 1], lambda x: [y for y in x if y > 2]),
    "methods": (linear(1.0).forward, linear(2.0).forward, linear(1.0).extra_repr),
    "framed bytes": ([b"a)bytes(b"], [b"a", b"b"], [b"ab", b""], [b"", b"ab"], [b"a", [b"b"]]),
    "torch": (torch.float32, torch.float64, torch.device("cpu"), torch.device("cuda:0"), torch.device("cuda:1")),
    "object arrays": (np.array(["a", None], object), np.array(["b", None], object), np.array([None, "a"], object)),
    "strings": (np.array(["a"], np.dtypes.StringDType()), np.array(["b"], np.dtypes.StringDType()), np.array(["a"])),
    "masked": (np.ma.array([1, 2], mask=[False, True]), np.ma.array([1, 2], mask=[True, False]), np.array([1, 2])),
    "frames": (
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"a": [1, 3]}),
        pd.DataFrame({"b": [1, 2]}),
        pd.DataFrame({"a": [1.0, 2.0]}),
        pd.DataFrame({"a": [1, 2]}, index=[1, 2]),
        pd.Series([1, 2], name="a"),
    ),
    "labelled": (
        xr.DataArray([1.0, 2.0]),
        xr.DataArray([1.0, 2.0], dims="x"),
        xr.DataArray([1.0, 2.0], dims="x", coords={"x": [0, 1]}),
        xr.DataArray([1.0, 2.0], attrs={"unit": "m"}),
        xr.Dataset({"a": ("x", [1.0, 2.0])}),
        xr.Dataset({}, {"a": ("x", [1.0, 2.0])}),
    ),
    "objects": (Plain(1, 2), Plain(2, 1), Slotted(1), Slotted(2), Plain.cyclic(2), Plain.cyclic(3)),
    "enums": (Color.RED, Color.BLUE, 1),
    "generators": (torch.Generator().manual_seed(1), torch.Generator().manual_seed(2), np.random.default_rng(1)),
    "datasets": (Squares(3), Squares(4), torch.utils.data.Subset(Squares(9), [1]), [0, 1, 4]),
    "fields": (FieldConfig(rate=2.0), FieldConfig(inner=FieldConfig()), FieldConfig(inner=Wider()), Wider()),
    "sparse": (torch.eye(3).to_sparse(), (2 * torch.eye(3)).to_sparse(), torch.eye(3)),
    "large": (10**5000, 10**5000 + 1, [10**5000], [10**5000 + 1]),
    "types": (int, float, torch.relu, torch.sigmoid, np, torch),
}


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_has_another_key(values: tuple[Any, ...]) -> None:
    assert len({fingerprint(value) for value in values}) == len(values)
    assert len({fingerprint("same", [value]) for value in values}) == len(values)


@pytest.mark.parametrize(
    ("make"),
    [
        lambda: torch.arange(4.0),
        lambda: linear(1.5),
        lambda: scaled(3.0),
        lambda: with_default(3.0),
        lambda: Setting(0.5),
        lambda: [(torch.ones(2), 1)],
        lambda: np.arange(5),
        lambda: np.array(["a", None, 3], dtype=object),
        lambda: np.array(["a", "bc"], dtype=np.dtypes.StringDType()),
        lambda: pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        lambda: xr.Dataset({"a": ("x", [1.0, 2.0])}, {"x": [3, 4]}, {"unit": "m"}),
        lambda: xr.DataTree.from_dict({"/b": xr.Dataset({"a": ("x", [1.0])})}),
        lambda: Plain(1, [2]),
        lambda: Slotted(1),
        lambda: Color.RED,
        lambda: re.compile("a+"),
        lambda: torch.Generator().manual_seed(3),
        lambda: np.random.default_rng(3),
        lambda: Squares(4),
        lambda: torch.utils.data.Subset(Squares(9), [1, 3]),
        lambda: recursive(),
        lambda: Plain.cyclic(3),
        lambda: FieldConfig(inner=FieldConfig(rate=2.0)),
    ],
)
def test_what_is_made_again_has_the_same_key(make: Callable[[], Any]) -> None:
    assert fingerprint(make()) == fingerprint(make())


@given(st.dictionaries(st.text(), st.integers(), max_size=5))
def test_the_order_of_a_dictionary_does_not_matter(mapping: dict[str, int]) -> None:
    assert fingerprint(mapping) == fingerprint(dict(reversed(list(mapping.items()))))


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_where_one_value_ends_and_the_next_begins_matters(first: list[str], second: list[str]) -> None:
    assert (fingerprint(*first) == fingerprint(*second)) == (first == second)


def test_a_view_has_the_key_of_its_content() -> None:
    table = torch.arange(6.0).reshape(2, 3)
    assert fingerprint(table.T) == fingerprint(table.T.contiguous())
    assert fingerprint(table[:, 0].requires_grad_()) == fingerprint(torch.tensor([0.0, 3.0]))


def test_the_key_is_the_same_in_every_process() -> None:
    command = [sys.executable, "-c", ANYWHERE + "print(key)"]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    here: dict[str, Any] = {}
    exec(ANYWHERE, here)
    assert here["key"] == there
    assert len(there) == 64


def test_a_set_of_any_objects_has_no_order() -> None:
    functions = [scaled(1.0), scaled(2.0), with_default(3.0)]
    again = [with_default(3.0), scaled(2.0), scaled(1.0)]
    assert fingerprint(set(functions)) == fingerprint(set(again))
    assert fingerprint({functions[0]: 1, functions[1]: 2}) == fingerprint({functions[1]: 2, functions[0]: 1})


def test_one_object_twice_is_as_good_as_two_equal_ones() -> None:
    table = torch.ones(3)
    assert fingerprint([table, table]) == fingerprint([torch.ones(3), torch.ones(3)])
    assert fingerprint([scaled(1.0)] * 2) == fingerprint([scaled(1.0), scaled(1.0)])


def test_a_cycle_and_depth_end() -> None:
    itself: list[Any] = [1]
    itself.append(itself)
    assert fingerprint(itself) != fingerprint([1, [1]])
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert len(fingerprint(deep)) == 64


def test_blocks_of_a_frame_do_not_matter() -> None:
    whole = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    added = whole[["a"]].copy()
    added["b"] = whole["b"]
    assert fingerprint(whole) == fingerprint(added)


def test_a_dataset_of_hundred_megabytes_takes_as_long_as_its_hash() -> None:
    data = torch.zeros(5_000_000), np.zeros(2_500_000)  # a fifth of it
    begun = time.perf_counter()
    hashlib.sha256(bytes(40_000_000)).digest()
    alone = time.perf_counter() - begun
    fingerprint(data, {"again": data})
    assert time.perf_counter() - begun - alone < 5 * alone + 0.2


REFUSED = {
    "object": (object(), "found an object of type object"),
    "iterator": (iter([1]), "an iterator of type list_iterator"),
    "generator": ((x for x in [1]), "an iterator of type generator"),
    "file": (sys.stdout, "an open file"),
    "lock": ([{"a": threading.Lock()}], "an object of type _thread.lock"),
    "meta": (torch.zeros(2, device="meta"), "a tensor on the meta device"),
}


@pytest.mark.parametrize(("value", "found"), REFUSED.values(), ids=REFUSED)
def test_an_object_without_content_is_refused(value: Any, found: str) -> None:
    with pytest.raises(InvalidArgument, match=found):
        fingerprint(value)


def test_an_iterator_that_is_refused_is_not_read() -> None:
    numbers = iter([1, 2])
    with pytest.raises(InvalidArgument):
        fingerprint(numbers)
    assert next(numbers) == 1
