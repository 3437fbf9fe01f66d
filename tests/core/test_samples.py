"""Data of every kind are the same numbered samples."""

from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.samples import Samples

INPUTS, LABELS = torch.arange(12.0).reshape(6, 2), torch.arange(6)
CHOSEN = torch.tensor([4, 0, 4])
Pair = namedtuple("Pair", "inputs labels")


class Batches:
    """An iterable of batches that does not know its length."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(zip(INPUTS.split(4), LABELS.split(4), strict=True))


PAIRS = {
    "tuple": (INPUTS, LABELS),
    "dataset": TensorDataset(INPUTS, LABELS),
    "list of samples": list(zip(INPUTS, LABELS.tolist(), strict=True)),
    "list of named samples": [Pair(*sample) for sample in zip(INPUTS, LABELS.tolist(), strict=True)],
}


@pytest.mark.parametrize("data", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("indices", [CHOSEN, CHOSEN[None].expand(2, -1)], ids=["one chain", "two chains"])
def test_the_same_samples_are_taken_from_data_of_every_kind(data: Any, indices: Tensor) -> None:
    samples = Samples(data)
    assert len(samples) == samples.stored == 6
    inputs, labels = samples.take(indices)
    assert torch.equal(inputs, INPUTS[indices])
    assert torch.equal(labels, LABELS[indices])


@pytest.mark.parametrize("data", [Batches(), DataLoader(TensorDataset(INPUTS, LABELS), batch_size=4)])
def test_an_iterable_is_taken_with_its_number_of_samples(data: Any) -> None:
    samples = Samples(data, num_samples=6)
    assert len(samples) == 6
    assert torch.equal(samples.take(CHOSEN)[0], INPUTS[CHOSEN])


def test_one_tensor_is_a_batch_without_a_tuple() -> None:
    assert torch.equal(Samples(INPUTS).take(CHOSEN), INPUTS[CHOSEN])
    assert torch.equal(Samples(iter(INPUTS.split(4)), num_samples=6).take(CHOSEN), INPUTS[CHOSEN])


def test_a_list_of_tensors_is_a_list_of_samples() -> None:
    samples = Samples(list(INPUTS))
    assert len(samples) == 6
    assert torch.equal(samples.take(CHOSEN), INPUTS[CHOSEN])


def test_columns_of_text_are_named_all_at_once() -> None:
    """Chains with a batch each take their samples by a second dimension of indices, which text cannot have."""
    data = [{"tokens": row, "text": str(number), "words": ["a", "b"]} for number, row in enumerate(INPUTS)]
    with pytest.raises(InvalidArgument, match=r"found text in 'text', 'words'.*remove_columns\(\['text', 'words'\]\)"):
        Samples(data)
    assert torch.equal(Samples([{"tokens": row["tokens"]} for row in data]).take(CHOSEN)["tokens"], INPUTS[CHOSEN])


@pytest.mark.parametrize("num_samples", [5, 7, 1000])
@pytest.mark.parametrize("kind", [*PAIRS, "iterable", "loader"])
def test_another_n_than_the_data_hold_is_refused(kind: str, num_samples: int) -> None:
    data: Any = PAIRS.get(kind, Batches())
    if kind == "loader":
        data = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=4)
    with pytest.raises(InvalidArgument) as caught:
        Samples(data, num_samples=num_samples)
    assert caught.value.argument == "num_samples"
    assert str(num_samples) in str(caught.value)
    said = 6 if kind == "iterable" else None  # as it advises: all of them, and no number where the data know it
    assert len(Samples(data, num_samples=6 if kind == "loader" else said)) == 6


def test_an_iterable_that_never_ends_is_read_no_further_than_one_batch_beyond_n() -> None:
    given = []

    def endless() -> Iterator[Tensor]:
        while True:
            given.append(len(INPUTS))
            yield INPUTS

    with pytest.raises(InvalidArgument, match="the batches contain 18 or more"):
        Samples(endless(), num_samples=12)
    assert len(given) == 3


@pytest.mark.parametrize(
    ("data", "expected", "found"),
    [
        ([], "at least one sample", "an empty dataset"),
        (INPUTS[:0], "at least one sample", "an empty dataset"),
        ((INPUTS[:0], LABELS[:0]), "at least one sample", "an empty dataset"),
        ((INPUTS, LABELS[:4]), "the same number of samples", "[6, 4]"),
        (Batches(), "data whose length is known", "Batches, an iterable of unknown length"),
        (iter([INPUTS]), "data whose length is known", "an iterable of unknown length"),
        (7, "a map-style dataset", "int"),
        ((INPUTS, LABELS.tolist()), "a tuple of tensors", "a tuple of Tensor, list"),
        ((), "a tuple of tensors", "a tuple of nothing"),
    ],
)
def test_data_that_cannot_be_numbered_are_named(data: Any, expected: str, found: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Samples(data, name="observables['code']")
    message = str(caught.value)
    assert message.startswith("`observables['code']`: expected ")
    assert expected in message
    assert found in message
    assert "Write instead: " in message


def test_an_iterable_that_gives_nothing_is_named() -> None:
    with pytest.raises(InvalidArgument, match="`data`: expected at least one batch, found an empty iterable"):
        Samples(iter([]), num_samples=3)
