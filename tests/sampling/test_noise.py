"""Normals of chains: functions of their address, normal, and independent from one address to another."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest, kurtosis
from torch import Tensor

from ontogeny.core.addressed import Words
from ontogeny.core.seeds import derive
from ontogeny.sampling.kernels import Noise
from ontogeny.sampling.kernels.noise import BLOCK, _pairs, fill_by_pairs
from ontogeny.sampling.layout import Piece, divided_rows

# Drawn many steps ahead, some, and none: the last parameter has two blocks.
NETWORKS = {"small": {"a": 30, "b": 7, "c": 64}, "middle": {"a": 9000, "b": 801}, "large": {"a": 33, "b": BLOCK + 4037}}
SIZES = pytest.mark.parametrize("sizes", NETWORKS.values(), ids=NETWORKS.keys())
FEW = 4.5  # standard errors


Sizes = dict[str, int]


def normals(sizes: Sizes, chains: Sequence[int], steps: Sequence[int], seed: int = 0, draws: int = 1) -> Tensor:
    """One draw after another, over (step, draw, chain, number)."""
    noise = Noise(seed, sizes, chains)
    out = torch.empty(len(steps), draws, len(chains), sum(sizes.values()))
    for row, step in zip(out, steps, strict=True):
        noise.at(step)
        for each in row:
            noise.normal(each)
    return out


@SIZES
def test_numbers_are_the_same_however_chains_steps_and_parameters_are_batched(sizes: Sizes) -> None:
    steps = (-1, 0, 1, 70)
    reference = normals(sizes, range(3), steps)
    for chains in ([0], [1], [2, 0]):
        assert torch.equal(normals(sizes, chains, steps), reference[:, :, chains])
    for order in ([3, 0, 2, 1], [2], [0, 0]):
        assert torch.equal(normals(sizes, range(3), [steps[each] for each in order]), reference[order])
    for name, part in zip(sizes, reference.split(list(sizes.values()), dim=3), strict=True):
        assert torch.equal(normals({name: sizes[name]}, range(3), steps), part)
    turned = dict(reversed(sizes.items()))
    parts = dict(zip(turned, normals(turned, range(3), steps).split(list(turned.values()), dim=3), strict=True))
    assert torch.equal(torch.cat([parts[name] for name in sizes], dim=3), reference)


def test_a_block_is_drawn_without_those_before_it() -> None:
    whole = normals({"b": BLOCK + 4037}, [5], [8], seed=3)[0, 0, 0].numpy()
    for block, size in enumerate((BLOCK, 4037)):
        alone = np.empty((1, size), np.float32)
        fill_by_pairs(alone, Words().at(derive(3, "noise", "b"), 5, 8 + 1, -(-size // 8), block=block))
        assert np.array_equal(alone[0], whole[block * BLOCK :][:size])


@SIZES
@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_pieces_of_parameters_draw_their_own_numbers(sizes: Sizes, count: int) -> None:
    whole, found = normals(sizes, [0, 3], (-1, 0, 70)), []
    for number in range(count):
        spans = {name: divided_rows(size, count, number) for name, size in sizes.items()}
        pieces = {name: Piece(sizes[name], span.start, span.stop - span.start) for name, span in spans.items()}
        noise = Noise(0, pieces, [0, 3])
        out = torch.empty(3, 2, sum(piece.size for piece in pieces.values()))
        for row, step in zip(out, (-1, 0, 70), strict=True):
            noise.at(step).normal(row)
        found.append(out.split([piece.size for piece in pieces.values()], dim=2))
    joined = torch.cat([part for pieces in zip(*found, strict=True) for part in pieces], dim=2)
    assert torch.equal(joined, whole[:, 0])
    for one, other in itertools.combinations(found, 2):  # of equal seeds, and yet never the same
        size = min(each[-1].shape[-1] for each in (one, other))
        left, right = (each[-1][0, 0, :size].double() for each in (one, other))
        assert abs(float((left * right).mean())) < FEW / size**0.5


def test_each_draw_of_a_step_is_another_and_the_same_again() -> None:
    noise = Noise(0, {"a": 50}, [0, 1])
    found = []
    for _ in range(2):
        noise.at(4)
        found.append([noise.normal(torch.empty(2, 50)), noise.uniform()[:, None], noise.normal(torch.empty(2, 50))])
    assert all(map(torch.equal, *found))
    first, _, second = found[0]
    assert not torch.isin(first, second).any()


def test_double_precision_has_the_same_points() -> None:
    noise = Noise(0, {"a": 51}, [0])
    double = Noise(0, {"a": 51}, [0]).at(0).normal(torch.empty(1, 51, dtype=torch.float64))
    assert torch.equal(noise.at(0).normal(torch.empty(1, 51)), double.float())
    assert (double != double.float()).any()


@SIZES
def test_draws_are_normal(sizes: Sizes) -> None:
    draws = normals(sizes, [0, 1], range(100 if sum(sizes.values()) < 10**4 else 1)).numpy().ravel()
    size = draws.size
    assert kstest(draws[:200_000], "norm").pvalue > 1e-4
    assert abs(draws.mean()) < FEW / size**0.5
    assert abs(draws.var() - 1) < FEW * (2 / size) ** 0.5
    assert abs(kurtosis(draws)) < FEW * (24 / size) ** 0.5 + 8e-4


def test_the_last_of_an_odd_count_is_a_number_of_its_own() -> None:
    draws = normals({"a": 51}, [0], range(200))[:, 0, 0]
    assert abs(draws[:, 50].mean()) < FEW / 200**0.5
    assert (draws[:, 50:] == draws[:, :50]).double().mean() < 1e-3


def correlations(one: np.ndarray, other: np.ndarray) -> list[float]:
    """Of the numbers, of their squares (E x²y² = 1), and of their signs, in standard errors."""
    parts = [(one, other), (one**2, other**2), (np.sign(one), np.sign(other))]
    return [float(np.corrcoef(each.ravel(), with_it.ravel())[0, 1]) * one.size**0.5 for each, with_it in parts]


ADDRESSES = {
    "seed": {"seed": 1},
    "chain": {"chains": [1]},
    "far chain": {"chains": [2**20]},
    "step": {"steps": range(1000, 1100)},
    "next step": {"steps": range(1, 101)},
    "draw": {"of": 1},
    "parameter": {"name": "b"},
}


@pytest.mark.parametrize("size", [1000, 17_000], ids=["drawn ahead", "step by step"])
@pytest.mark.parametrize("elsewhere", ADDRESSES.values(), ids=ADDRESSES.keys())
def test_numbers_at_different_addresses_are_not_correlated(elsewhere: dict[str, Any], size: int) -> None:
    def drawn(seed: int, chains: list[int], steps: range, of: int, name: str) -> np.ndarray:
        return normals({name: size}, chains, steps, seed, draws=2)[:, of].numpy()

    first: dict[str, Any] = {"seed": 0, "chains": [0], "steps": range(100), "of": 0, "name": "a"}
    one, other = (drawn(**first | where) for where in ({}, elsewhere))
    assert max(map(abs, correlations(one, other))) < FEW


@pytest.mark.parametrize("lag", [1, 2, 4, 8, 16, 32, 2**16, BLOCK])
def test_numbers_of_one_parameter_are_not_correlated(lag: int) -> None:
    draws = normals({"b": 2 * BLOCK}, [0], [0])[0, 0, 0].numpy()
    assert max(map(abs, correlations(draws[lag:], draws[:-lag]))) < FEW
    if lag == 1:
        assert max(map(abs, correlations(draws[::2], draws[1::2]))) < FEW  # the two of a pair


def test_uniform_numbers_are_uniform_and_functions_of_chain_step_and_draw() -> None:
    noise = Noise(0, {"a": 5}, [0, 1, 2])
    rows = np.array([[noise.at(step).uniform().numpy(), noise.uniform().numpy()] for step in range(400)])
    assert rows.dtype == np.float32
    assert kstest(rows.ravel(), "uniform").pvalue > 1e-3
    assert len(np.unique(rows)) > rows.size - 3
    assert np.array_equal(Noise(0, {"b": 9}, [1]).at(77).uniform().numpy(), rows[77, 0, 1:2])


def test_other_devices_seed_a_generator_of_their_own_by_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(chains: list[int], sizes: dict[str, int]) -> Tensor:
        noise = Noise(0, sizes, chains)
        monkeypatch.setattr(noise, "_device", torch.device("meta"))
        monkeypatch.setattr(noise, "_ahead", 1)
        steps = [noise.at(step).normal(torch.empty(len(chains), sum(sizes.values()))) for step in (0, 1)]
        return torch.stack(steps)

    both = elsewhere([0, 1], {"a": 20, "b": BLOCK + 20})
    assert torch.equal(elsewhere([1], {"b": BLOCK + 20}), both[:, 1:, 20:])
    blocks = (both[..., :20], both[..., 20:40], both[..., -20:])
    starts = torch.stack([part[step, chain] for part in blocks for step in (0, 1) for chain in (0, 1)])
    assert len(starts.unique()) == starts.numel()


@pytest.mark.parametrize("part", ["real", "imag"])
def test_quantiles_are_as_near_the_normal_distribution_as_they_say(part: str) -> None:
    values = getattr(_pairs(np.dtype(np.float32)), part).astype(float)
    assert len(set(values)) == len(values) == 2**16
    assert kstest(values, "norm").statistic < 1.1e-5
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.var() == pytest.approx(1, abs=1e-8)
    assert kurtosis(values) + 3 == pytest.approx(2.9992, abs=1e-4)
    assert np.abs(values).max() < 4.33


def test_pairs_are_as_near_independent_normals_as_they_say() -> None:
    pairs = _pairs(np.dtype(np.float64))
    one, other = pairs.real, pairs.imag
    moments = {(1, 1): (0, 7e-6), (2, 2): (1, 2e-4), (1, 3): (0, 2e-4), (3, 1): (0, 2e-4), (1, 2): (0, 1e-9)}
    for (power, of_other), (expected, error) in moments.items():
        assert (one**power * other**of_other).mean() == pytest.approx(expected, abs=error), (power, of_other)
    for angle in np.linspace(0, np.pi, 25):
        assert kstest(np.cos(angle) * one + np.sin(angle) * other, "norm").statistic < 1e-3, angle
    assert kstest((one**2 + other**2) / 2, "expon").statistic < 1e-3
