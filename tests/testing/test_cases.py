"""The list of known truths: enough of them, built as they were, and stored values that come out again."""

import math
from collections import Counter

import numpy as np
import pytest

from ontogeny import InvalidArgument
from ontogeny.testing.cases import CASES, Case, stored_references
from ontogeny.testing.curvature import FlatLoss
from ontogeny.testing.hmc import run_hmc, tempered
from ontogeny.testing.reference import loss_at_center, reference, summarize
from ontogeny.testing.regression import LinearRegression

BY_NAME = {case.name: case for case in CASES}
SMALL = [case for case in CASES if case.num_parameters * case.num_samples <= 3e6]


def test_the_list_is_long_and_wide() -> None:
    assert len(BY_NAME) == len(CASES) >= 40
    assert min(case.num_parameters for case in CASES) < 200
    assert sum(case.num_parameters > 90_000 for case in CASES) == 3
    assert {round(math.log10(case.num_samples)) for case in CASES} == {3, 4, 5, 6}
    geometries = Counter(case.geometry for case in CASES)
    assert min(geometries[kind] for kind in ("regular", "morse-bott", "rank-deficient")) >= 4
    tasks = Counter(case.task for case in CASES)
    assert min(tasks[task] for task in ("regression", "classification")) >= 4


def test_every_case_has_a_value_and_no_value_is_left_over() -> None:
    assert set(stored_references()) == set(BY_NAME)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stored_values_are_of_these_settings_and_precise(case: Case) -> None:
    stored = case.reference
    assert (stored.nbeta, stored.localization) == (pytest.approx(case.nbeta), case.localization)
    assert stored.standard_error <= 0.02 * stored.value
    assert stored.rhat < 1.05


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_a_case_is_built_as_it_was(case: Case) -> None:
    assert loss_at_center(case.target) == pytest.approx(case.reference.loss_at_center, rel=1e-5, abs=1e-9)
    model, _, _ = case.build()
    assert sum(parameter.numel() for parameter in model.parameters()) == case.num_parameters
    assert case.target.num_samples == case.num_samples


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in SMALL], ids=lambda case: case.name)
def test_a_large_case_is_built_as_it_was(case: Case) -> None:
    test_a_case_is_built_as_it_was(case)


@pytest.mark.parametrize(
    "name", ["linear-5x10x5-generic-n1e4-noise0.1", "linear-7x7x7-rank1-n1e4-noise0.1", "least-squares-150-embedded"]
)
def test_a_cheap_value_comes_out_again(name: str) -> None:
    case = BY_NAME[name]
    again = reference(case.target, case.nbeta, num_chains=4, num_draws=100)
    assert again.standard_error < 0.005 * again.value
    error = math.hypot(again.standard_error, case.reference.standard_error)
    assert abs(again.value - case.reference.value) <= 4 * error + 1e-8 * again.value
    assert again.loss_at_center == pytest.approx(case.reference.loss_at_center, rel=1e-6)
    elsewhere = reference(case.target, 0.1 * case.nbeta, num_chains=4, num_draws=150)
    assert abs(elsewhere.value - case.reference.value) > 4 * error


def test_hamiltonian_dynamics_finds_an_exact_answer() -> None:
    target = LinearRegression(6, 1, 2, 200, 0.5, spread=3.0)
    loss = FlatLoss(target.model(), target.data(), target.loss)
    counts = {"num_chains": 64, "num_draws": 30, "num_leapfrogs": 6}
    runs = [run_hmc(tempered(loss, 20.0), loss.center, 2.0, **counts, seed=seed) for seed in (0, 1)]
    found = summarize([run.energies for run in runs], 20.0, 2.0, 0.0, "HMC")
    assert all(0.6 < run.acceptance < 0.97 for run in runs)
    assert found.standard_error < 0.1
    assert abs(found.value - target.llc(20.0, 2.0)) < 4 * found.standard_error
    assert abs(found.value - target.llc(20.0, 20.0)) > 4 * found.standard_error


def test_runs_that_disagree_have_a_large_error() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 4, 100))
    agreed = summarize([noise[0], noise[1]], 1.0, 1.0, 0.0, "HMC")
    apart = summarize([noise[0], noise[1] + 3], 1.0, 1.0, 0.0, "HMC")
    assert agreed.standard_error < 0.2
    assert apart.standard_error > 1.4


def test_a_case_without_a_value_says_how_to_make_one() -> None:
    case = Case("unknown", CASES[0].make, "regular", "regression", 100, 1000)
    with pytest.raises(InvalidArgument, match=r"ontogeny\.testing\.reference unknown"):
        case.reference  # noqa: B018
