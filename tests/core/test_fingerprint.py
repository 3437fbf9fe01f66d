"""Equal inputs have one key in every process; whatever is changed changes the key."""

import dataclasses
import functools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
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
        lambda: iter([1, 2, 3]),
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


def test_an_object_without_content_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="found an object of type object"):
        fingerprint(object())
