"""The linear-networks study at its smallest, and its claims on tables that are made to meet them and not to."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.stores import MemoryCheckpoints
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.linear_networks import STUDY
from ontogeny.studies.linear_networks.config import Hierarchy, Stairs
from ontogeny.studies.linear_networks.hierarchy import Items, flow, labels, parted_at, strengths, tree, weighted
from ontogeny.studies.linear_networks.layers import gap, linear_network, product
from ontogeny.studies.linear_networks.recipe import distances, plateaus
from ontogeny.studies.linear_networks.stagewise import influences, phases, plateau_steps

SMALL = {
    "networks": ((4, 4, 4), (4, 3, 5)),
    "singular_values": (2.0, 1.0),
    "training.num_steps": 300,
    "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
    "hierarchy": {
        "singular_values": (4.0, 2.0),
        "networks": 1,
        "training": {"num_steps": 80, "checkpoints_log": 8, "checkpoints_linear": 0},
        "first": 20,
        "measured": 3,
        "spread": 4,
        "sampler": {"num_chains": 8, "num_draws": 12, "num_warmup": 2},
    },
    "stairs": {
        "widths": (3, 3, 3),
        "singular_values": (3.0, 1.0, 0.0),
        "count": 2,
        "training": {"num_steps": 120, "checkpoints_linear": 24},
        "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
    },
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("linear-networks", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    claims = {claim["id"]: claim for claim in run.claims}
    assert claims["saddles"]["status"] == "held", claims["saddles"]
    page = run.report.read_text(encoding="utf-8")
    assert 'id="staircases"' in page
    assert "could not be drawn" not in page
    assert all(f'id="{panel}"' in page for panel in ("plateaus", "influence", "phases", "stairs"))


def test_products_and_distances_are_those_of_the_layers_in_order() -> None:
    model = linear_network((5, 3, 4), 1.0, 0)
    first, second = model.parameters()
    torch.testing.assert_close(product(model), second @ first)
    target = torch.zeros(4, 5)
    target[0, 0], target[1, 1] = 3.0, 1.0
    saved = {0: {"1.weight": second.detach(), "0.weight": first.detach()}}
    found = distances(MemoryCheckpoints(saved), target)
    assert found["distance"].shape == (1, 3)
    assert float(found["loss"][0]) == pytest.approx(float(gap(model, torch.zeros(2), target)[0].detach()), rel=1e-5)
    assert float(found["distance"][0, 0]) == pytest.approx(float(product(model).norm().detach()), rel=1e-5)


def made(complexity: float) -> Findings:
    """Two networks at their exact values, times a factor."""
    widths = [(10, 10, 10), (12, 8, 12)]
    path = xr.Dataset(
        {"saddle_step": ("rank", [0, 10, 20]), "distance": (("step", "rank"), np.zeros((1, 3)))},
        coords={"rank": range(3), "step": [0]},
    )
    measured = xr.Dataset(
        {"complexity": ("step", np.zeros(3)), "outcome": ("step", ["converged"] * 3)}, coords={"step": [0, 10, 20]}
    )
    table = plateaus(dict.fromkeys(widths, path), dict.fromkeys(widths, measured))
    return Findings({"plateaus": table.assign(complexity=table["exact"] * complexity)})


@pytest.mark.parametrize(("factor", "met"), [(1.02, True), (1.2, False), (0.9, False)])
def test_complexity_is_held_against_the_exact_values(factor: float, met: bool) -> None:
    config = STUDY.config("quick").model_copy(update={"tested": ("exact", "opposed")})
    found = STUDY.claims.test(made(factor), config)
    exact, opposed = found["exact"], found["opposed"]
    assert isinstance(exact, Evidence)
    assert exact.met == met
    assert isinstance(opposed, Evidence)
    assert opposed.met
    assert opposed.null is not None
    assert opposed.null.p_value < 0.1


def test_the_tree_has_orthonormal_rows_that_part_its_items() -> None:
    rows, level = tree(4)
    np.testing.assert_allclose(rows @ rows.T, np.eye(8), atol=1e-12)
    assert np.bincount(level).tolist() == [1, 1, 2, 4]
    parted = parted_at(4)
    assert parted[0].tolist() == [0, 3, 2, 2, 1, 1, 1, 1]
    np.testing.assert_array_equal(parted, parted.T)
    assert strengths(labels((4.0, 2.0, 1.0, 0.5)), (4.0, 2.0, 1.0, 0.5)) == pytest.approx(np.ones(4))


def descended(network: torch.nn.Sequential, target: torch.Tensor, steps: int, rate: float) -> torch.Tensor:
    """P after gradient descent on |P - T|², step by step."""
    first, second = (weight.detach().double() for weight in network.parameters())
    for _ in range(steps):
        rest = second @ first - target.double()
        first, second = first - 2 * rate * second.mT @ rest, second - 2 * rate * rest @ first.mT
    return second @ first


@pytest.mark.parametrize("without", [None, 2])
def test_the_flow_is_that_of_small_steps(without: int | None) -> None:
    target = labels((3.0, 1.5, 0.8))
    if without is not None:
        target[:, without] = 0.0
    network = linear_network((4, 5, 4), 1e-3, 0)
    times = [0.3, 0.8, 1.5, 3.0]
    exact = flow(network, target, times)
    for time, found in zip(times, exact, strict=True):
        stepped = descended(network, target, round(time / 5e-4), 5e-4)
        torch.testing.assert_close(found, stepped, atol=0.02, rtol=0)
    assert float((exact[0] - exact[-1]).abs().max()) > 0.5


def test_influence_is_zero_before_training_and_retraining_follows_the_flow() -> None:
    values = (3.0, 1.5, 0.8)
    config = Hierarchy(singular_values=values, width=5, initial=1e-3, measured=4, first=20)
    training = config.training.model_copy(update={"num_steps": 400, "batch_size": 4})
    make = partial(linear_network, (4, 5, 4), config.initial, 0)
    tasks = [Items(values), *(Items(values, item) for item in range(4))]
    trained = og.train_instances([make() for _ in tasks], tasks, weighted, training)
    config = config.model_copy(
        update={"training": training, "sampler": og.Fixed(num_chains=8, num_draws=12, num_warmup=4)}
    )
    table = influences(trained, make, config, 0)
    others = parted_at(3) > 0
    assert np.abs(table["retrained"].values[0]).max() < 1e-3
    exact, retrained = (table[name].values[1:, others] for name in ("exact", "retrained"))
    assert np.abs(retrained).max() > 0.1
    assert np.corrcoef(exact.ravel(), retrained.ravel())[0, 1] > 0.95
    permuted = np.random.default_rng(0).permutation(exact.shape[1])
    assert np.corrcoef(exact[:, permuted].ravel(), retrained.ravel())[0, 1] < 0.9


def test_covariances_are_divided_between_two_phases() -> None:
    """Two groups of networks that differ in one level alone: all covariance lies between them."""
    values, network = (3.0, 1.0), torch.nn.Sequential(torch.nn.Linear(2, 2, False), torch.nn.Linear(2, 2, False))
    rows, level = tree(2)
    states = []
    for learned in (False, False, False, True):
        have = torch.from_numpy(rows * (np.array(values) * [1.0, learned])[level][:, None]).float()
        states.append(MemoryCheckpoints({0: {"0.weight": torch.eye(2), "1.weight": have}}))
    table = phases(states, lambda: network, Hierarchy(singular_values=values))
    assert table["share"].values[:, 0].tolist() == [1.0, 0.25]
    assert float(table["between"][1, 0]) == pytest.approx(float(table["total"][0]))
    assert float(table["total"][0]) == pytest.approx(0.25 * 0.75 * 0.5**2)


def test_plateaus_are_found_where_the_loss_stays() -> None:
    levels = np.repeat([2.0, 1.0, 0.0], 6)
    network = linear_network((1, 1, 1), 1.0, 0)
    states = {step: {"0.weight": torch.eye(1), "1.weight": torch.full((1, 1), v)} for step, v in enumerate(levels)}
    found = plateau_steps([MemoryCheckpoints(states)], torch.zeros(1, 1), lambda: network, Stairs(least=4))
    assert found["step"].values.tolist() == [2, 8, 14]
    assert found["loss"].values.tolist() == [4.0, 1.0, 0.0]
