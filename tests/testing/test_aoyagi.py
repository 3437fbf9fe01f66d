"""Aoyagi's formulas against worked values, against each other, and the local one against the least over a fibre."""

from fractions import Fraction
from itertools import product

import pytest

from ontogeny import InvalidArgument
from ontogeny.testing import DeepLinear
from ontogeny.testing.aoyagi import backdoor, deep_linear, reduced_rank, two_layer_local
from ontogeny.testing.gibbs import gibbs_energies

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


@pytest.mark.parametrize(
    ("widths", "rank", "removed", "kept"),
    [
        ((6, 2, 3), 1, "5", "13/2"),
        ((6, 3, 3), 1, "6", "7"),
        ((8, 4, 4), 2, "12", "27/2"),
        ((8, 8, 4), 2, "31/2", "31/2"),
        ((12, 4, 6), 3, "24", "27"),
        ((12, 6, 6), 3, "27", "29"),
    ],
)
def test_a_backdoor_costs_less_in_wider_networks(
    widths: tuple[int, int, int], rank: int, removed: str, kept: str
) -> None:
    found = backdoor(widths, rank)
    assert (found.removed.learning_coefficient, found.kept.learning_coefficient) == (Fraction(removed), Fraction(kept))
    assert found.difference == Fraction(kept) - Fraction(removed)


def test_the_difference_is_that_of_the_closed_form_for_all_sizes() -> None:
    for m, h, n in product(range(1, 12), repeat=3):
        for rank, near_triggers in ((0, 0), (2, 0), (1, 3)):
            widths = (m + rank, h + rank, n + rank)
            found = backdoor(widths, rank, near_triggers).difference
            assert found == max(Fraction(0), Fraction(m + near_triggers - h - n + 1, 2))


def test_a_network_without_room_for_a_backdoor_is_refused() -> None:
    for widths in ((6, 2, 3), (6, 3, 2)):
        with pytest.raises(InvalidArgument, match="rank"):
            backdoor(widths, 2)


def test_exact_draws_have_the_coefficients_of_kept_and_removed_backdoors() -> None:
    """K of the safe inputs at nβ = 10⁶: B of rank 2 behind A of rank 1 is the kept backdoor, without its trigger."""
    found, errors = [], []
    for ranks in ((1, 2), (1, 1)):
        target = DeepLinear((6, 2, 3), rank=ranks, num_samples=4, population=True)
        draws = gibbs_energies(target.potential(1e6), target.weights, 100.0, num_chains=16, num_draws=400)
        found.append(float(draws.mean()))
        errors.append(float(draws.mean(1).std(ddof=1)) / 4)
    kept, removed = (float(each.learning_coefficient) for each in backdoor((6, 2, 3), 1))
    assert abs(found[0] - kept) < 4 * errors[0] + 0.05  # at finite nβ
    assert abs(found[1] - removed) < 4 * errors[1] + 0.05
    assert max(errors) < 0.02
    assert found[0] - found[1] > 1.3
