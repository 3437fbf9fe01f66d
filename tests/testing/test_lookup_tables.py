"""Exact coefficients of look-up tables: against brute force, and against a sampler."""

import pytest
import torch

import ontogeny as og
from ontogeny.testing.lookup_tables import LookupTable, table_coefficients


def by_brute_force(center: torch.Tensor, label: int, c: float, gamma: float, places: int) -> float:
    """On a grid over all logits."""
    z = torch.linspace(-9, 9, places, dtype=torch.float64) * gamma**-0.5
    w = torch.cartesian_prod(*(value + z for value in center.double()))
    loss = torch.logsumexp(w, 1) - w[:, label]
    weights = (-c * loss - gamma / 2 * (w - center).square().sum(1)).softmax(0)
    return c * float((weights * loss).sum() - torch.logsumexp(center.double(), 0) + center[label].double())


@pytest.mark.parametrize(("c", "gamma"), [(1.0, 1.0), (0.1, 0.1), (10.0, 1.0), (3.0, 0.3), (100.0, 0.1), (1.0, 100.0)])
@pytest.mark.parametrize("center", [(0.0, 0.0), (4.0, -2.0), (1.0, 3.0, 0.0)])
def test_values_are_those_of_a_grid_over_all_logits(c: float, gamma: float, center: tuple[float, ...]) -> None:
    logits = torch.tensor(center)
    truth = by_brute_force(logits, 0, c, gamma, 700 if len(center) == 2 else 130)
    found = float(table_coefficients(logits[None], torch.tensor([0]), c, gamma).value)
    assert found == pytest.approx(truth, rel=1e-5, abs=1e-7)


def test_items_add_up_whatever_their_order() -> None:
    source = torch.Generator().manual_seed(0)
    weights, labels = torch.randn(70, 3, generator=source), torch.randint(3, (70,), generator=source)
    found = table_coefficients(weights, labels, 1.0, 1.0).value
    again = table_coefficients(weights.flip(0), labels.flip(0), 1.0, 1.0).value
    torch.testing.assert_close(found, again.flip(0))
    moved = table_coefficients(weights[:, [2, 0, 1]] + 5, (labels + 1) % 3, 1.0, 1.0).value
    torch.testing.assert_close(found, moved, rtol=1e-4, atol=1e-6)  # other names of labels, logits shifted


def test_a_sampler_finds_the_exact_value_at_fixed_temperature_an_item_and_not_at_another() -> None:
    source = torch.Generator().manual_seed(1)
    labels = torch.randint(4, (40,), generator=source)
    weights = torch.randn(40, 4, generator=source) + 5 * torch.nn.functional.one_hot(labels, 4)
    exact = float(table_coefficients(weights, labels, 1.0, 1.0).value.sum())
    data, loss = (torch.arange(40), labels), og.losses.cross_entropy
    sampler = og.Calibrated(error=0.05, budget=150_000)
    found = og.estimate_llc(LookupTable(weights), data, loss, nbeta=40.0, sampler=sampler)
    assert found.mcse < 0.1 * exact
    assert abs(found.value - exact) < 4 * found.mcse
    other = og.estimate_llc(LookupTable(weights), data, loss, nbeta=80.0, sampler=sampler)
    assert abs(other.value - exact) > 4 * other.mcse
