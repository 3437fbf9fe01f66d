"""Aoyagi's formulas against worked values, against each other, and the local one against the least over a fibre."""

from fractions import Fraction
from itertools import product

import pytest

from ontogeny import InvalidArgument
from ontogeny.testing.aoyagi import deep_linear, reduced_rank, two_layer_local

# widths, rank: λ, m
WORKED: dict[tuple[tuple[int, ...], int], tuple[str, int]] = {
    ((1, 1, 1), 0): ("1/2", 2),
    ((1, 1, 1, 1), 0): ("1/2", 3),
    ((2, 2, 2), 0): ("3/2", 1),
    ((2, 2, 2), 1): ("2", 2),
    ((3, 3, 3), 1): ("4", 1),
    ((5, 3, 5), 0): ("13/2", 2),
    ((5, 3, 5), 2): ("19/2", 2),
    ((5, 3, 5), 3): ("21/2", 1),
    ((5, 4, 5), 0): ("8", 1),
    ((4, 3, 8), 0): ("6", 1),
    ((8, 3, 4), 0): ("6", 1),
    ((3, 8, 4), 0): ("6", 1),
    ((10, 5, 10), 3): ("32", 1),
    ((3, 4, 5, 6), 1): ("7", 2),
    ((4, 4, 4, 4), 2): ("15/2", 3),
    ((2, 3, 2, 3, 2), 1): ("2", 2),
    ((6, 4, 5, 4, 6), 2): ("12", 2),
    ((5, 10, 10, 10, 5), 2): ("25/2", 1),
    ((5, 8, 8, 8, 5), 0): ("12", 5),
    ((10, 10, 10, 10), 5): ("46", 3),
    ((10,) * 6, 4): ("43", 5),
    ((10, 10, 10), 10): ("50", 1),
}

# widths, ranks of A and B, rank of B A: λ, m
LOCAL = {
    ((5, 3, 5), (0, 0), 0): ("13/2", 2),
    ((5, 3, 5), (0, 3), 0): ("15/2", 1),
    ((5, 3, 5), (2, 3), 2): ("19/2", 1),
    ((5, 3, 5), (2, 2), 2): ("19/2", 2),
    ((5, 4, 5), (2, 3), 2): ("21/2", 1),
    ((2, 2, 2), (0, 2), 0): ("2", 1),
    ((4, 1, 2), (0, 0), 0): ("1", 1),
}


@pytest.mark.parametrize(("widths", "rank"), WORKED)
def test_worked_values(widths: tuple[int, ...], rank: int) -> None:
    value, multiplicity = WORKED[widths, rank]
    assert deep_linear(widths, rank) == (Fraction(value), multiplicity)


@pytest.mark.parametrize(("widths", "ranks", "product_rank"), LOCAL)
def test_worked_local_values(widths: tuple[int, int, int], ranks: tuple[int, int], product_rank: int) -> None:
    value, multiplicity = LOCAL[widths, ranks, product_rank]
    assert two_layer_local(widths, ranks, product_rank) == (Fraction(value), multiplicity)


def test_one_layer_is_regular() -> None:
    assert deep_linear((5, 7), 3) == (Fraction(35, 2), 1)


def test_the_two_formulas_for_two_layers_agree() -> None:
    settings = [(*sizes, r) for sizes in product(range(1, 8), repeat=3) for r in range(min(sizes) + 1)]
    assert len(settings) == 1127
    assert [case for case in settings if reduced_rank(*case) != deep_linear(case[:3], case[3])] == []


def test_the_least_local_value_over_a_fibre_is_the_global_one_and_is_taken_at_the_least_ranks() -> None:
    for M, H, N in product(range(1, 6), repeat=3):
        for r in range(min(M, H, N) + 1):
            ranks = [(a, b) for a in range(r, min(M, H) + 1) for b in range(r, min(H, N) + 1) if a + b - H <= r]
            local = [two_layer_local((M, H, N), pair, r) for pair in ranks]
            least = min(local, key=lambda found: (found.learning_coefficient, -found.multiplicity))
            assert least == two_layer_local((M, H, N), (r, r), r) == reduced_rank(M, H, N, r)


def test_impossible_ranks_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="rank"):
        deep_linear((5, 3, 5), 4)
    with pytest.raises(InvalidArgument, match="widths"):
        deep_linear((5,), 0)
    with pytest.raises(InvalidArgument, match="product_rank"):
        two_layer_local((3, 3, 3), (2, 2), 0)
