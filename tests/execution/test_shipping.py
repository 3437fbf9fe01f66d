"""What travels between processes arrives as it was: shared tensors, results, errors."""

from pathlib import Path

import pytest
import torch
from torch import nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.execution.shipping import pack, read_shared, write_shared

LARGE = 300_000  # float32 entries: more than the least that is mapped from a file


def there_and_back(shared: object, folder: Path) -> object:
    write_shared(shared, folder)
    return read_shared(folder)


def test_large_tensors_are_mapped_from_one_file_a_storage(tmp_path: Path) -> None:
    whole = torch.randn(LARGE)
    views = [whole, whole[5:], whole[: LARGE // 2 * 2].view(2, -1).T, torch.zeros(3)]
    read = there_and_back(views, tmp_path)
    assert isinstance(read, list)
    for sent, came in zip(views, read, strict=True):
        assert torch.equal(sent, came)
        assert sent.stride() == came.stride()
    (file,) = tmp_path.glob("storage-*")
    assert file.stat().st_size == 4 * LARGE
    assert (tmp_path / "shared.pickle").stat().st_size < 10_000
    assert read[0].untyped_storage().data_ptr() == read[1].untyped_storage().data_ptr()
    read[0].zero_()  # in a worker's memory alone
    assert torch.equal(torch.from_file(str(file), size=LARGE), whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64, torch.complex64])
def test_tensors_of_any_type_arrive(dtype: torch.dtype, tmp_path: Path) -> None:
    sent = torch.arange(LARGE * 2).to(dtype)
    came = there_and_back(sent, tmp_path)
    assert isinstance(came, torch.Tensor)
    assert came.dtype is dtype
    assert torch.equal(came, sent)


def test_a_model_keeps_its_ties_and_what_is_frozen(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(1000, 300), nn.Linear(300, 1000))
    model[1].weight = model[0].weight
    model[1].bias.requires_grad_(False)
    came = there_and_back(model, tmp_path)
    assert isinstance(came, nn.Sequential)
    assert list(tmp_path.glob("storage-*"))
    assert came[0].weight is came[1].weight
    assert isinstance(came[0].weight, nn.Parameter)
    assert [weight.requires_grad for weight in came.parameters()] == [True, False]
    tokens = torch.arange(5)
    assert torch.equal(came(tokens), model(tokens))


def test_tensors_that_are_more_than_their_bytes_travel_whole(tmp_path: Path) -> None:
    tagged = torch.zeros(LARGE)
    tagged.tag = "kept"  # pyrefly: ignore[missing-attribute]
    sparse = torch.eye(600).to_sparse()
    came = there_and_back((tagged, sparse, torch.zeros(LARGE, dtype=torch.complex64).conj()), tmp_path)
    assert isinstance(came, tuple)
    assert came[0].tag == "kept"
    assert torch.equal(came[1].to_dense(), torch.eye(600))
    assert came[2].is_conj()


class Unpicklable(Exception):
    def __init__(self, what: str, *, holder: object) -> None:
        super().__init__(what)
        self.holder = holder


def test_errors_arrive_whatever_their_constructor_takes() -> None:
    error = InvalidArgument("a", expected="b", found="c", instead="d")
    with pytest.raises(InvalidArgument, match="`a`: expected b, found c") as caught:
        pack(None, error, []).unpack()
    assert caught.value.instead == "d"
    with pytest.raises(OSError, match="No such") as missing:
        pack(None, FileNotFoundError(2, "No such file", "name"), []).unpack()
    assert missing.value.filename == "name"
    with pytest.raises(RuntimeError, match="Unpicklable: text"):
        pack(None, Unpicklable("text", holder=(n for n in range(3))), []).unpack()
