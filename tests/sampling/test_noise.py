"""Normals of chains: normal, independent, and of each chain its own, at any length."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, kurtosis
from torch import Tensor

from ontogeny.core.seeds import generator
from ontogeny.sampling.kernels import Noise
from ontogeny.sampling.kernels.noise import _LONG, _pairs

SIZES = pytest.mark.parametrize("size", [1000, _LONG + 37], ids=["short", "long"])


def noise(*chains: int) -> Noise:
    return Noise([generator(0, "noise", chain) for chain in chains])


def drawn(source: Noise, chains: int, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return source.normal(torch.empty(chains, size, dtype=dtype))


@SIZES
def test_a_chain_draws_the_same_alone(size: int) -> None:
    together, alone = noise(0, 1), noise(1)
    for _ in range(2):
        assert torch.equal(drawn(together, 2, size)[1], drawn(alone, 1, size)[0])


@SIZES
def test_draws_are_normal(size: int) -> None:
    draws = drawn(noise(0), 1, size).numpy()[0]
    assert kstest(draws, "norm").pvalue > 1e-4
    assert abs(draws.mean()) < 4 / size**0.5
    assert abs(draws.var() - 1) < 4 * (2 / size) ** 0.5
    assert abs(kurtosis(draws)) < 4 * (24 / size) ** 0.5


@SIZES
def test_draws_are_independent_of_neighbours_chains_and_each_other(size: int) -> None:
    source = noise(0, 1)
    first, second = drawn(source, 2, size).numpy(), drawn(source, 2, size).numpy()
    lag = min(2**16, size // 2)
    pairs = {
        "pairs": (first[0, : size // 2 * 2 : 2], first[0, 1::2]),
        "neighbours": (first[0, 2::2], first[0, 1 : size - 1 : 2]),
        "of one word": (first[0, 4:], first[0, :-4]),
        "blocks": (first[0, lag:], first[0, :-lag]),
        "chains": (first[0], first[1]),
        "draws": (first[0], second[0]),
    }
    for name, (one, other) in pairs.items():
        assert abs(np.corrcoef(one, other)[0, 1]) < 4.5 / size**0.5, name
        assert abs(np.corrcoef(one**2, other**2)[0, 1]) < 4.5 / size**0.5, name


def test_short_rows_and_double_precision_are_left_to_pytorch() -> None:
    for size, dtype in ((1000, torch.float32), (_LONG, torch.float64)):
        expected = torch.empty(size, dtype=dtype).normal_(generator=generator(0, "noise", 0))
        assert torch.equal(drawn(noise(0), 1, size, dtype)[0], expected)


@pytest.mark.parametrize("part", ["real", "imag"])
def test_quantiles_are_as_near_the_normal_distribution_as_they_say(part: str) -> None:
    values = getattr(_pairs(), part).astype(float)
    assert len(set(values)) == len(values) == 2**16
    assert kstest(values, "norm").statistic < 1.1e-5
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.var() == pytest.approx(1, abs=1e-8)
    assert kurtosis(values) + 3 == pytest.approx(2.9992, abs=1e-4)
    assert np.abs(values).max() < 4.33


def test_pairs_are_as_near_independent_normals_as_they_say() -> None:
    one, other = _pairs().real.astype(float), _pairs().imag.astype(float)
    moments = {(1, 1): (0, 7e-6), (2, 2): (1, 2e-4), (1, 3): (0, 2e-4), (3, 1): (0, 2e-4), (1, 2): (0, 1e-9)}
    for (power, of_other), (expected, error) in moments.items():
        assert (one**power * other**of_other).mean() == pytest.approx(expected, abs=error), (power, of_other)
    for angle in np.linspace(0, np.pi, 25):
        assert kstest(np.cos(angle) * one + np.sin(angle) * other, "norm").statistic < 1e-3, angle
    assert kstest((one**2 + other**2) / 2, "expon").statistic < 1e-3
