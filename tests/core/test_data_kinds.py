"""Whatever people hold their data in, the losses through `Samples` are those computed directly, sample by sample."""

from collections import UserList, namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from ontogeny.core import sources
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.fingerprint import fingerprint
from ontogeny.core.losses import cross_entropy, mse, next_token, per_sample
from ontogeny.core.samples import Samples

N = 30
SOURCE = torch.Generator().manual_seed(0)
X, Y = torch.randn(N, 4, generator=SOURCE), torch.randn(N, 1, generator=SOURCE)
PAIRS = list(zip(X, Y, strict=True))
Pair = namedtuple("Pair", "inputs targets")


class Items(Dataset[Any]):
    """A map-style dataset of what a function makes of a number."""

    def __init__(self, item: Callable[[int], Any], count: int = N) -> None:
        self.item, self.count, self.reads = item, count, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.count:
            raise IndexError(index)
        self.reads += 1
        return self.item(index)


class Stream(IterableDataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


def batches(*parts: Tensor) -> list[tuple[Tensor, ...]]:
    return list(zip(*(part.split(7) for part in parts), strict=True))


def stacked(rows: list[Any]) -> tuple[Tensor, Tensor]:
    return torch.stack([x for x, _ in rows]), torch.stack([y for _, y in rows])


def readonly(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


TWO = X.numpy(), Y.numpy()
DATASET = Items(lambda index: PAIRS[index])
# kind -> data, and whether n is to be said
REGRESSION: dict[str, Any] = {
    "tuple of tensors": (X, Y),
    "list of two tensors": [X, Y],
    "named tuple of tensors": Pair(X, Y),
    "tuple of arrays": TWO,
    "list of two arrays": list(TWO),
    "arrays of 64 bits": tuple(part.astype(np.float64) for part in TWO),
    "arrays that cannot be written": tuple(map(readonly, TWO)),
    "arrays in Fortran's order": tuple(map(np.asfortranarray, TWO)),
    "arrays of the other byte order": tuple(part.astype(">f4") for part in TWO),
    "arrays turned round": tuple(part[::-1].copy()[::-1] for part in TWO),
    "TensorDataset": TensorDataset(X, Y),
    "Subset": Subset(TensorDataset(torch.cat([X, X]), torch.cat([Y, Y])), list(range(N, 2 * N))),
    "ConcatDataset": ConcatDataset([TensorDataset(X[:11], Y[:11]), TensorDataset(X[11:], Y[11:])]),
    "list of pairs": PAIRS,
    "list of named tuples": [Pair(*each) for each in PAIRS],
    "list of lists": [[x, y] for x, y in PAIRS],
    "list of arrays and numbers": [(x.numpy(), [float(y)]) for x, y in PAIRS],
    "list of lists of numbers": [(x.tolist(), y.tolist()) for x, y in PAIRS],
    "map-style dataset of arrays": Items(lambda index: (TWO[0][index], TWO[1][index])),
    "dict of tensors": {"x": X, "labels": Y},
    "dict of arrays and lists": {"x": TWO[0], "labels": Y.tolist()},
    "dict of lists of tensors": {"x": list(X), "labels": list(Y)},
    "list of dicts": [{"x": x, "labels": y} for x, y in PAIRS],
    "list of dicts of lists": [{"x": x.tolist(), "label": y.tolist()} for x, y in PAIRS],
    "DataLoader": DataLoader(TensorDataset(X, Y), 7),
    "DataLoader in another order, less its last batch": DataLoader(
        TensorDataset(X, Y), 7, shuffle=True, drop_last=True
    ),
    "DataLoader with workers": DataLoader(TensorDataset(X, Y), 7, num_workers=2),
    "DataLoader with a collation": DataLoader(DATASET, 7, collate_fn=stacked),
    "DataLoader of one rank": DataLoader(
        TensorDataset(X, Y), 7, sampler=DistributedSampler(TensorDataset(X, Y), num_replicas=2, rank=0)
    ),
    "DataLoader with a sampler of all": DataLoader(TensorDataset(X, Y), 7, sampler=list(reversed(range(N)))),
    "DataLoader with batches of its own": DataLoader(TensorDataset(X, Y), batch_sampler=[[*range(9, N)], [*range(9)]]),
    "DataLoader of a chosen half": DataLoader(
        TensorDataset(torch.cat([X, -X]), torch.cat([Y, Y])), 7, sampler=SubsetRandomSampler(range(N))
    ),
    "DataLoader of dicts": DataLoader([{"x": x, "labels": y} for x, y in PAIRS], 7),  # pyrefly: ignore[bad-argument-type]
}
REGRESSION["user's own sequence"] = {"x": UserList(X.tolist()), "labels": UserList(list(Y))}
REGRESSION["tuple of sequences"] = UserList(X.tolist()), UserList(list(Y))
STREAMS: dict[str, Callable[[], Any]] = {
    "iterator of tuples": lambda: iter(batches(X, Y)),
    "iterator of lists": lambda: map(list, batches(X, Y)),
    "iterator of arrays": lambda: ((x.numpy(), y.numpy()) for x, y in batches(X, Y)),
    "iterator of dicts": lambda: ({"x": x, "labels": y} for x, y in batches(X, Y)),
    "iterator of dicts of lists": lambda: ({"x": x, "labels": y.tolist()} for x, y in batches(X, Y)),
    "IterableDataset": lambda: Stream(PAIRS),
    "DataLoader of an IterableDataset": lambda: DataLoader(Stream(PAIRS), 7, drop_last=True),
    "DataLoader of ready batches": lambda: DataLoader(batches(X, Y), batch_size=None),  # pyrefly: ignore[bad-argument-type]
    "DataLoader of a stream of batches": lambda: DataLoader(Stream(batches(X, Y)), batch_size=None),
}


def losses_through(samples: Samples, loss_fn: Any, model: nn.Module) -> Tensor:
    """Some of the samples by one dimension of numbers, and some by two as chains have it."""
    numbers = torch.arange(N).flip(0)
    first = per_sample(loss_fn, model, samples.take(numbers[:18]), 18)
    second = samples.take(numbers[18:].view(2, 6))
    rest = [per_sample(loss_fn, model, picked(second, chain), 6) for chain in range(2)]
    return torch.cat([first, *rest]).flip(0)


def picked(batch: Any, chain: int) -> Any:
    if isinstance(batch, Tensor):
        return batch[chain]
    if isinstance(batch, dict):
        return {key: picked(value, chain) for key, value in batch.items()}
    return [picked(value, chain) for value in batch]


@pytest.mark.parametrize("kind", [*REGRESSION, *STREAMS])
def test_losses_are_those_of_the_samples_one_by_one(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    with torch.no_grad():
        wanted = torch.cat([(model(x) - y).square() for x, y in PAIRS])
    samples = Samples(STREAMS[kind](), num_samples=N) if kind in STREAMS else Samples(REGRESSION[kind])
    assert len(samples) == N
    before = torch.random.get_rng_state()
    torch.testing.assert_close(losses_through(samples, mse, model).detach(), wanted)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_loader_of_accelerate() -> None:
    accelerate = pytest.importorskip("accelerate")
    loader = accelerate.Accelerator(cpu=True).prepare(DataLoader(TensorDataset(X, Y), 7, shuffle=True, drop_last=True))
    inputs, targets = Samples(loader).take(torch.arange(N))
    assert torch.equal(inputs, X)
    assert torch.equal(targets, Y)


# Text of unequal lengths, padded on the right
LENGTHS = [3 + number % 5 for number in range(N)]
IDS = torch.randint(1, 20, (N, 7), generator=SOURCE)
MASK = (torch.arange(7) < torch.tensor(LENGTHS)[:, None]).long()
LABELS = IDS.masked_fill(MASK == 0, -100)
ENCODED = {"input_ids": IDS * MASK, "attention_mask": MASK, "labels": LABELS}
ROWS = [{key: value[number] for key, value in ENCODED.items()} for number in range(N)]
CUT = [{key: value[:length].tolist() for key, value in row.items()} for row, length in zip(ROWS, LENGTHS, strict=True)]


def pad(rows: list[dict[str, list[int]]]) -> dict[str, Tensor]:
    """A collation that pads to the longest sample of a batch, as that of most training scripts."""
    filled = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    return {
        key: nn.utils.rnn.pad_sequence([torch.tensor(row[key]) for row in rows], batch_first=True, padding_value=value)
        for key, value in filled.items()
    }


TEXT: dict[str, Any] = {
    "dict of tensors": ENCODED,
    "dict without labels": {key: ENCODED[key] for key in ("input_ids", "attention_mask")},
    "dict of lists": {key: value.tolist() for key, value in ENCODED.items()},
    "BatchEncoding": transformers.BatchEncoding(ENCODED),
    "BatchEncoding of lists": transformers.BatchEncoding({key: value.tolist() for key, value in ENCODED.items()}),
    "list of dicts": ROWS,
    "list of dicts of lists": [{key: value.tolist() for key, value in row.items()} for row in ROWS],
    "list of BatchEncodings": [transformers.BatchEncoding(row) for row in ROWS],
    "dataset of dicts of arrays": Items(lambda index: {key: value.numpy() for key, value in ROWS[index].items()}),
    "DataLoader that pads": DataLoader(CUT, 4, collate_fn=pad),  # pyrefly: ignore[bad-argument-type]
    "DataLoader with the collation of transformers": DataLoader(
        ROWS,  # pyrefly: ignore[bad-argument-type]
        4,
        shuffle=True,
        collate_fn=transformers.default_data_collator,
    ),
}


@pytest.fixture(scope="module")
def language_model() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=7)
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def own_losses(language_model: nn.Module) -> Tensor:
    """The loss that transformers computes itself, of each sample without its padding."""
    with torch.no_grad():
        return torch.stack([language_model(**{k: torch.tensor([v]) for k, v in row.items()}).loss for row in CUT])


@pytest.mark.parametrize("kind", TEXT)
def test_losses_of_padded_text_are_those_of_transformers(
    kind: str, language_model: nn.Module, own_losses: Tensor
) -> None:
    found = losses_through(Samples(TEXT[kind]), next_token, language_model)
    torch.testing.assert_close(found.detach(), own_losses, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", [None, "torch", "numpy"])
def test_datasets_of_hugging_face(form: str | None, language_model: nn.Module, own_losses: Tensor) -> None:
    datasets = pytest.importorskip("datasets")
    columns = {key: value.tolist() for key, value in ENCODED.items()}
    plain = datasets.Dataset.from_dict(columns | {"text": ["word"] * N, "name": ["file"] * N})
    with pytest.raises(InvalidArgument, match=r"text in 'text', 'name'.*data.remove_columns\(\['text', 'name'\]\)"):
        Samples(plain.with_format(form))
    data = plain.remove_columns(["text", "name"]).with_format(form)
    for each in (data, DataLoader(data.with_format("torch"), 4, shuffle=True)):
        found = losses_through(Samples(each), next_token, language_model)
        torch.testing.assert_close(found.detach(), own_losses, rtol=1e-5, atol=1e-6)
    for each in ({key: data[key] for key in ENCODED}, data[:]):
        torch.testing.assert_close(losses_through(Samples(each), next_token, language_model).detach(), own_losses)
    tokens, labels = Samples((data["input_ids"], data["labels"])).take(torch.arange(N))
    assert torch.equal(tokens, IDS * MASK)
    assert torch.equal(labels, LABELS)
    ragged = datasets.Dataset.from_dict({key: [row[key] for row in CUT] for key in ENCODED}).with_format(form)
    with pytest.raises(InvalidArgument, match=r"in data\[…\]\['input_ids'\].*Write instead: samples padded"):
        Samples(ragged)


def test_tokens_of_16_bits_in_a_file(tmp_path: Path, language_model: nn.Module) -> None:
    IDS.numpy().astype(np.uint16).tofile(tmp_path / "train.bin")
    tokens = np.memmap(tmp_path / "train.bin", dtype=np.uint16, mode="r").reshape(N, 7)
    found = losses_through(Samples(tokens), next_token, language_model)
    torch.testing.assert_close(found, per_sample(next_token, language_model, IDS, N))


def test_labels_of_classes_come_from_any_kind() -> None:
    labels = torch.arange(N) % 3
    logits = torch.randn(N, 3, generator=SOURCE)
    kinds = (
        (logits, labels),
        (logits.numpy(), labels.numpy().astype(np.int32)),
        (logits, labels.to(torch.uint8)),
        [(row, int(label)) for row, label in zip(logits, labels, strict=True)],
        [{"x": row, "label": label} for row, label in zip(logits, labels.numpy(), strict=True)],
        {"x": logits, "labels": labels.tolist()},
    )
    for data in kinds:
        found = losses_through(Samples(data), cross_entropy, nn.Identity())
        torch.testing.assert_close(found, -logits.log_softmax(1)[torch.arange(N), labels])


def test_a_list_of_two_tensors_is_a_pair_only_where_both_have_as_many_rows() -> None:
    assert len(Samples([X, Y])) == N
    assert len(Samples([X[0], X[1], X[2]])) == 3
    assert len(Samples([X[0], X[1]])) == 4
    with pytest.raises(InvalidArgument, match=r"\(30, 4\) in sample 0 and \(29, 4\) in sample 1"):
        Samples([X, X[1:]])


def test_a_dataset_is_read_once_and_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Items(lambda index: PAIRS[index])
    samples = Samples(data)
    reads = data.reads
    for _ in range(3):
        samples.take(torch.arange(N))
    assert data.reads == reads
    inputs, targets = samples.read(torch.tensor([[4, 0], [3, 3]]))
    assert torch.equal(inputs, X[torch.tensor([[4, 0], [3, 3]])])
    assert targets.shape == (2, 2, 1)
    assert data.reads == reads + 4
    monkeypatch.setattr(sources, "IN_MEMORY", 4 * 5 * N - 1)  # a byte less than it takes
    large = Samples(data)
    assert torch.equal(large.take(torch.tensor([[4, 0], [3, 3]]))[0], inputs)
    reads = data.reads
    large.take(torch.arange(7))
    assert data.reads == reads + 7


def test_a_dataset_that_is_random_differs_from_itself() -> None:
    source = torch.Generator().manual_seed(0)
    samples = Samples(Items(lambda index: (X[index] + torch.randn(4, generator=source), Y[index])))
    numbers = torch.arange(3)
    assert torch.equal(samples.take(numbers)[0], samples.take(numbers)[0])
    assert not torch.equal(samples.read(numbers)[0], samples.read(numbers)[0])


def test_the_fingerprint_is_that_of_the_samples() -> None:
    kinds = [(X, Y), [X, Y], TWO, TensorDataset(X, Y), DataLoader(DATASET, 7, shuffle=True, collate_fn=stacked), PAIRS]
    assert len({fingerprint(Samples(each, name=str(place))) for place, each in enumerate(kinds)}) == 1
    others = [(X, Y + 1), (Y, X), (X[:29], Y[:29]), {"x": X, "y": Y}]
    assert len({fingerprint(Samples(each)) for each in (kinds[0], *others)}) == 5
    assert fingerprint(Samples(X)) != fingerprint(Samples(X, per_token=True))


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (DataLoader(DATASET, 7, sampler=WeightedRandomSampler([1.0] * N, N)), "WeightedRandomSampler, which visits"),
        (DataLoader(DATASET, 7, sampler=range(0, N, 2)), "range, which visits 15 of 30 samples in 15 visits"),
        (DataLoader(DATASET, batch_sampler=[[0, 1], [1, 2]]), "list, which visits 3 of 30 samples in 4 visits"),
    ],
)
def test_a_loader_that_weighs_its_samples_is_refused_and_the_advice_works(loader: DataLoader[Any], said: str) -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(InvalidArgument, match=f"found {said}.*Subset"):
        Samples(loader)
    assert torch.equal(torch.random.get_rng_state(), before)
    half = DataLoader(Subset(loader.dataset, range(15)), collate_fn=loader.collate_fn)
    assert len(Samples(half)) == 15
    assert len(Samples(loader.dataset)) == N


def test_another_n_beside_samples_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="expected 30, the number of samples in data, found 29"):
        Samples.of(Samples((X, Y)), num_samples=29)


def test_a_list_of_ready_batches_is_taken_as_the_error_says() -> None:
    with pytest.raises(InvalidArgument, match=r"iter\(data\) of a list of batches"):
        Samples(batches(X, Y), num_samples=N)
    torch.testing.assert_close(Samples(iter(batches(X, Y)), num_samples=N).take(torch.arange(N))[0], X)
