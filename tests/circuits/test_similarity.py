"""Measures of similarity: what each is invariant to, what it is for independent activations, and exact values."""

import numpy as np
import pytest
import torch

from ontogeny import InvalidArgument
from ontogeny.circuits import LowRank, circuit_cosine, debiased_cka, procrustes, similarities, svcca

SOURCE = np.random.default_rng(0)
X = SOURCE.standard_normal((300, 8)) @ SOURCE.standard_normal((8, 8))
Y = X[:, :5] @ SOURCE.standard_normal((5, 6)) + SOURCE.standard_normal((300, 6))
ROTATION = np.linalg.qr(SOURCE.standard_normal((8, 8)))[0]
SKEWED = np.diag([1.0, 2, 3, 0.2, 5, 1, 7, 0.5]) @ ROTATION
MEASURES = [debiased_cka, svcca, procrustes]


def invertibly(first: np.ndarray, second: np.ndarray) -> float:
    return svcca(first, second, kept=1)


@pytest.mark.parametrize("measure", [*MEASURES, invertibly])
def test_rotations_shifts_and_a_common_scale_change_nothing(measure) -> None:
    value = measure(X, Y)
    assert 0.05 < value < 0.95
    assert measure(X, X) == pytest.approx(1)
    assert measure(3 * X @ ROTATION, Y) == pytest.approx(value)
    assert measure(Y, X) == pytest.approx(value)
    if measure is not debiased_cka:
        assert measure(X + 5, Y) == pytest.approx(value)


def test_means_change_cka_by_rounding_alone() -> None:
    assert debiased_cka(X + 5, Y) == pytest.approx(debiased_cka(X, Y), abs=1e-9)


def test_only_all_canonical_correlations_pass_every_invertible_map() -> None:
    assert invertibly(X @ SKEWED, Y) == pytest.approx(invertibly(X, Y))
    for measure in (debiased_cka, procrustes):
        assert abs(measure(X @ SKEWED, Y) - measure(X, Y)) > 0.01


def test_cka_of_independent_gaussians_is_near_zero_with_fewer_samples_than_units() -> None:
    found = [debiased_cka(*np.random.default_rng(seed).standard_normal((2, 40, 200))) for seed in range(50)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error
    assert error < 0.02
    one, other = np.random.default_rng(0).standard_normal((2, 40, 200))  # the plain estimate is not
    plain = np.linalg.norm(one.T @ other) ** 2 / np.linalg.norm(one.T @ one) / np.linalg.norm(other.T @ other)
    assert plain > 0.6


def test_cka_is_the_mean_over_quadruples() -> None:
    """Against loops over distinct samples."""
    x, y = X[:7], Y[:7]
    gram, other = x @ x.T, y @ y.T

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        numbers, total, count = range(len(k)), 0.0, 0
        for i in numbers:
            for j in numbers:
                for q in numbers:
                    for r in numbers:
                        if len({i, j, q, r}) == 4:
                            total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
                            count += 1
        return total / count

    expected = hsic(gram, other) / np.sqrt(hsic(gram, gram) * hsic(other, other))
    assert debiased_cka(x, y) == pytest.approx(expected)


def test_circuits_are_compared_without_being_formed() -> None:
    source = torch.Generator().manual_seed(0)
    one, other = (
        LowRank(torch.randn(20, rank, generator=source), torch.randn(rank, 30, generator=source)) for rank in (3, 5)
    )
    expected = torch.nn.functional.cosine_similarity(one.dense().flatten(), other.dense().flatten(), dim=0)
    assert circuit_cosine(one, other) == pytest.approx(float(expected), abs=1e-6)
    assert circuit_cosine(one, one) == pytest.approx(1, abs=1e-6)


def test_every_pair_is_compared() -> None:
    table = similarities([X, Y], [Y, X, X], svcca)
    assert table.shape == (2, 3)
    assert table.values[0, 1] == pytest.approx(1)
    assert table.values[1, 0] == pytest.approx(1)


def test_activations_that_do_not_vary_have_no_similarity() -> None:
    assert all(np.isnan(measure(np.ones((10, 3)), X[:10])) for measure in (svcca, procrustes))
    assert np.isnan(debiased_cka(np.zeros((10, 3)), X[:10]))


def test_other_samples_are_refused() -> None:
    for first, second in ((X, Y[:10]), (X[:, 0], Y), (X[:3], Y[:3]), (np.full((9, 2), np.nan), Y[:9])):
        with pytest.raises(InvalidArgument, match="finite activations"):
            debiased_cka(first, second)
