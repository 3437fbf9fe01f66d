"""Dimensions of features in geometries whose values are known."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from ontogeny.circuits import feature_dimensionality
from ontogeny.testing.superposition import directions


def corners(count: int) -> Tensor:
    angles = 2 * math.pi * torch.arange(count, dtype=torch.float64) / count
    return torch.stack([angles.cos(), angles.sin()])


def tetrahedron() -> Tensor:
    return torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64).T


def antiprism(height_squared: float) -> Tensor:
    """Eight corners of a square antiprism, at length 1."""
    height, radius = math.sqrt(height_squared), math.sqrt(1 - height_squared)
    square = radius * corners(4)
    turn = math.pi / 4
    turned = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]).double() @ square
    ends = torch.cat([torch.full((1, 4), height), torch.full((1, 4), -height)], dim=1).double()
    return torch.cat([torch.cat([square, turned], dim=1), ends])


GEOMETRIES = [
    ("own direction", torch.eye(3, dtype=torch.float64), 1.0),
    ("digon", torch.tensor([[1.0, -1.0]], dtype=torch.float64), 1 / 2),
    *((f"{count}-gon", corners(count), 2 / count) for count in range(3, 9)),
    ("tetrahedron", tetrahedron(), 3 / 4),
    ("square antiprism, tight", antiprism(1 / 3), 3 / 8),
    ("icosahedron", directions(3, None), 3 / 12),
]


@pytest.mark.parametrize(("name", "columns", "expected"), GEOMETRIES, ids=[name for name, _, _ in GEOMETRIES])
def test_known_geometries_have_their_dimensionality(name: str, columns: Tensor, expected: float) -> None:
    rotation = torch.linalg.qr(torch.randn(len(columns), len(columns), dtype=torch.float64))[0]
    for scale in (1.0, 0.3):
        found = feature_dimensionality(scale * rotation @ columns)
        assert torch.allclose(found, torch.full_like(found, expected), atol=1e-9), name


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(GEOMETRIES, 2)))
def test_orthogonal_subspaces_keep_their_own_values(first: tuple, second: tuple) -> None:
    together = torch.block_diag(first[1], 2 * second[1])
    found = feature_dimensionality(together)
    expected = torch.cat([torch.full((each[1].shape[1],), each[2]) for each in (first, second)]).double()
    assert torch.allclose(found, expected, atol=1e-9)


def test_the_sum_is_the_number_of_units_for_tight_frames_alone_and_otherwise_less() -> None:
    source = torch.Generator().manual_seed(0)
    random = torch.randn(50, 4, 9, generator=source, dtype=torch.float64)
    assert (feature_dimensionality(random).sum(dim=-1) < 4 - 1e-3).all()
    tight = torch.linalg.qr(random.mT)[0].mT  # orthonormal rows
    assert torch.allclose(feature_dimensionality(tight).sum(dim=-1), torch.full((50,), 4.0).double())


def test_a_feature_without_weight_takes_up_nothing() -> None:
    columns = torch.cat([corners(5), torch.zeros(2, 1).double()], dim=1)
    assert feature_dimensionality(columns).tolist() == pytest.approx([2 / 5] * 5 + [0])
