"""A low-rank product answers as the matrix that it stands for."""

import numpy as np
import pytest
import torch

from ontogeny.circuits import LowRank
from ontogeny.core.errors import InvalidArgument


def product(rows: int, rank: int, columns: int, seed: int = 0) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.randn(size, generator=generator, dtype=torch.float64) for size in ((rows, rank), (rank, columns))
    )
    return LowRank(left, right)


@pytest.mark.parametrize("shape", [(9, 3, 7), (5, 8, 6), (4, 1, 4)])
def test_what_is_read_is_that_of_the_dense_matrix(shape: tuple[int, int, int]) -> None:
    matrix = product(*shape)
    dense = matrix.left @ matrix.right
    assert matrix.shape == (shape[0], shape[2])
    assert torch.equal(matrix.dense(), dense)
    torch.testing.assert_close(matrix.rows([2, 0]), dense[[2, 0]])
    torch.testing.assert_close(matrix.columns(1), dense[:, 1])
    torch.testing.assert_close(matrix.mean_row(), dense.mean(0))
    torch.testing.assert_close(matrix.mean_column(), dense.mean(1))
    torch.testing.assert_close(matrix.T.dense(), dense.T)
    assert matrix.norm() == pytest.approx(float(dense.norm()))
    count = len(matrix.singular_values())
    torch.testing.assert_close(matrix.singular_values(), torch.linalg.svdvals(dense)[:count])


@pytest.mark.parametrize(("size", "rank"), [(12, 4), (6, 6), (5, 9)])
def test_eigenvalues_are_those_of_the_dense_matrix_that_may_differ_from_zero(size: int, rank: int) -> None:
    matrix = product(size, rank, size)
    expected = np.linalg.eigvals(matrix.dense().numpy())
    expected = expected[np.argsort(-abs(expected))][: min(size, rank)]
    found = matrix.eigenvalues().numpy()
    assert len(found) == min(size, rank)
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), atol=1e-10)
    assert matrix.trace() == pytest.approx(float(expected.sum().real))
    assert matrix.trace() == pytest.approx(float(matrix.dense().trace()))


def test_the_share_of_positive_eigenvalues_is_one_for_copying_and_minus_one_for_its_opposite() -> None:
    left = product(10, 3, 3).left
    assert LowRank(left, left.mT).positive_share() == pytest.approx(1)
    assert LowRank(left, -left.mT).positive_share() == pytest.approx(-1)
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])  # eigenvalues i and -i
    assert LowRank(torch.eye(2), turn).positive_share() == pytest.approx(0)
    assert np.isnan(LowRank(torch.zeros(4, 2), torch.ones(2, 4)).positive_share())


def test_products_go_through_the_smaller_rank() -> None:
    one, other = product(9, 2, 8), product(8, 5, 7, seed=1)
    for first, second in ((one, other), (other.T, one.T)):
        joined = first @ second
        assert joined.left.shape[1] == 2
        torch.testing.assert_close(joined.dense(), first.dense() @ second.dense())
    assert (LowRank(one.left, one.right, "note") @ other).note == "note"


@pytest.mark.parametrize("read", [LowRank.trace, LowRank.eigenvalues, LowRank.positive_share])
def test_what_only_square_matrices_have_is_refused_of_others(read: object) -> None:
    with pytest.raises(InvalidArgument, match="as many rows as columns"):
        read(product(4, 2, 5))  # pyrefly: ignore[not-callable]
