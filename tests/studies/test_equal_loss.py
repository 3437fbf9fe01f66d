"""The study of networks of equal loss at its smallest, its data, and its claims on made-up networks."""

from pathlib import Path

import numpy as np
import torch
import xarray as xr
from scipy.stats import kstest

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.equal_loss import STUDY
from ontogeny.studies.equal_loss.brackets import Brackets, lowest_depth
from ontogeny.studies.equal_loss.evidence import instruments, told
from ontogeny.studies.equal_loss.recipe import dimension

FEW = {"num_chains": 2, "num_draws": 12, "num_warmup": 4}
SMALL = {
    "networks": 2,
    "sums.modulus": 5,
    "sums.shape": {"embedding": 3, "hidden": 4},
    "sums.training.num_steps": 4,
    "sums.training.checkpoints_linear": 1,
    "sums.memorising.num_steps": 4,
    "sums.memorising.checkpoints_linear": 1,
    "matching.length": 6,
    "matching.unequal": 10,
    "matching.hidden": 4,
    "matching.training.num_steps": 4,
    "matching.training.checkpoints_linear": 1,
    "sampler": FEW,
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("equal-loss", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    page = run.report.read_text(encoding="utf-8")
    for panel in ("instruments", "table"):
        assert f'id="{panel}"' in page
    assert "could not be drawn" not in page


def test_the_rules_agree_on_the_rows_and_differ_on_the_others() -> None:
    counting, nesting = (Brackets(8, 30, rule, seed=1) for rule in ("counting", "nesting"))
    x, labels = counting.rows
    assert torch.equal(x, nesting.rows[0])
    assert int(labels.sum()) == 14  # Catalan number of 4 pairs
    balanced = x.sum(1) == 0
    assert torch.equal(balanced.long(), labels)
    assert torch.equal((lowest_depth(x)[:, 0] >= 0) & balanced, balanced)
    (one, first), (other, second) = counting.rest, nesting.rest
    assert torch.equal(one, other)
    assert first.all()
    assert not second.any()
    learned = {tuple(each) for each in counting.sample(counting.size, seed=0)[0].tolist()}
    assert len(learned) == counting.size
    assert not learned & {tuple(each) for each in one.tolist()}


def test_dimension_counts_equal_variances() -> None:
    values = torch.diag(torch.tensor([3.0, 3.0, 3.0, 0.0])).repeat(2, 1)
    values[4:] *= -1
    assert abs(dimension(values.double()) - 3) < 1e-9


def made(apart: float, rng: np.random.Generator, spread: float = 1.0, count: int = 20) -> Findings:
    """Networks whose coefficients differ between algorithms so much, and within one by chance; errors are 1."""
    size = 2 * count
    cells = {"component": ["all"], "dataset": ["rows"]}
    value = rng.normal(0, spread, size) + np.repeat([apart, 0.0], count)
    dims = ("step", "component", "dataset")
    llc = {"llc_complexity": (dims, value[:, None, None]), "llc_complexity_mcse": (dims, np.ones((size, 1, 1)))}
    names = ("loss", "norm", "dimension", "readout")
    geometry = {name: ("step", rng.normal(size=size)) for name in names}
    geometry |= {f"{name}_error": ("step", np.ones(size)) for name in names}
    geometry["rest"] = ("step", np.repeat([1.0, 0.0], count))
    answer = rng.normal(size=(size, 1, 1)), np.ones((size, 1, 1))
    responses = {
        name: (("step", "component", "perturbation"), answer[i]) for i, name in enumerate(("susceptibility", "mcse"))
    }
    crossed = [np.concatenate([each, each], axis=2) for each in answer]
    responses |= {
        name: (("step", "component", "probe"), crossed[i]) for i, name in enumerate(("cross_llc", "cross_llc_mcse"))
    }
    return Findings(
        {
            "coefficients-sums": xr.Dataset(llc, cells),
            "geometry-sums": xr.Dataset(geometry),
            "responses-sums": xr.Dataset(responses),
        }
    )


def test_what_lies_apart_is_told_and_what_does_not_is_an_alarm_by_chance() -> None:
    table = told(instruments(made(100.0, np.random.default_rng(0)), "sums"), 1.96).sel(instrument="coefficient")
    assert float(table["told"]) == 1
    assert float(table["separation"]) > 50
    none = told(instruments(made(0.0, np.random.default_rng(0), count=4000), "sums"), 1.96).sel(
        instrument="coefficient"
    )
    assert abs(float(none["alarms"]) - 0.05) < 0.015  # networks differ by no more than their errors
    assert abs(float(none["told"]) - 0.05) < 0.015


def test_the_null_of_the_coefficient_is_uniform() -> None:
    rng, config, found = np.random.default_rng(0), STUDY.config("quick").model_copy(update={"resamples": 99}), []
    for _ in range(100):
        evidence = STUDY.claims.test(made(0.0, rng), config)["sums-told-apart"]
        assert isinstance(evidence, Evidence), evidence
        assert evidence.null is not None
        found.append(evidence.null.p_value)
    assert kstest(np.array(found) + rng.uniform(-0.005, 0.005, 100), "uniform").pvalue > 0.01
