"""The memorised-items study at its smallest, and its parts where the answer is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.memorised_items import STUDY
from ontogeny.studies.memorised_items.compression import critical_bits, critical_rank
from ontogeny.studies.memorised_items.recipe import RuleWithExceptions

SMALL = {
    "tables": {"items": (6, 8, 12), "labels": 3, "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4}},
    "exceptions": {
        "modulus": 5,
        "counts": (0, 2, 4),
        "copies": 1,
        "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
    },
    "training.num_steps": 30,
    "table_training.num_steps": 30,
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("memorised-items", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    page = run.report.read_text(encoding="utf-8")
    assert 'id="tables"' in page
    assert 'id="exceptions"' in page
    assert "could not be drawn" not in page


def squared(model: nn.Module, rows: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return (model(rows[0]) - rows[1]).square().mean(1)


def test_the_critical_rank_is_that_of_the_matrix() -> None:
    source = torch.Generator().manual_seed(0)
    model, x = nn.Linear(8, 8, bias=False), torch.randn(200, 8, generator=source)
    left, right = torch.randn(8, 3, generator=source), torch.randn(3, 8, generator=source)
    with torch.no_grad():
        model.weight.copy_(left @ right + 0.03 * torch.randn(8, 8, generator=source))
        before, rows = model.weight.clone(), (x, model(x))
    assert critical_rank(model, rows, squared, 1e-2) == 3
    assert critical_rank(model, rows, squared, 1e-12) > 6
    assert torch.equal(model.weight, before)


def test_critical_bits_are_those_that_the_weights_have() -> None:
    model, x = nn.Linear(4, 1, bias=False), torch.eye(4)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -0.5, 0.5, 1.0]]))  # multiples of half the largest
        rows = (x, model(x))
        assert critical_bits(model, rows, squared, 0.01) < 5
        fine = critical_bits(model, rows, squared, 1e-9)
        model.weight.copy_(torch.tensor([[1.0, -0.37, 0.123, 0.77]]))
        assert critical_bits(model, (x, model(x)), squared, 1e-9) > fine or fine > 10
        loose, strict = (critical_bits(model, (x, model(x)), squared, rise) for rise in (0.05, 1e-6))
    assert loose < strict - 3


def test_exceptions_are_the_wrong_labels_and_no_others() -> None:
    task = RuleWithExceptions(7, 10, seed=1)
    pairs, labels = task.rows
    wrong = (labels != pairs.sum(1) % 7).nonzero().ravel()
    assert wrong.tolist() == sorted(task.exceptions.tolist())
    assert len(wrong) == 10


def made(factor: float, per_exception: float) -> Findings:
    """Tables at their exact values times a factor, and networks whose λ̂ grows by so much an exception."""
    config, rng = STUDY.config("quick"), np.random.default_rng(0)
    items, found = np.array(config.tables.items), dict[str, object]()
    for n in items:
        for kind, value in (("fixed", 0.05 * n * factor), ("same", 0.05 * n)):
            noise = 0.01 * rng.standard_normal()
            found[f"{kind}-{n}"] = xr.Dataset({"llc": value + noise, "llc_mcse": 0.1})
    found["exact"] = xr.Dataset({"llc": ("items", 0.05 * items)}, coords={"items": items})
    count = np.repeat(config.exceptions.counts, config.exceptions.copies)
    value = 20 + per_exception * count + rng.standard_normal(len(count))
    table = {"exceptions": count, "accuracy": np.ones(len(count)), "norm": 0 * value + 1, "bits": value, "rank": -value}
    found["witnesses"] = xr.Dataset({name: ("network", values) for name, values in table.items()})
    columns = {"llc_complexity": value, "loss": np.exp(rng.standard_normal(len(count)))}
    found["beside"] = xr.Dataset({name: ("step", values) for name, values in columns.items()})
    return Findings(found)


@pytest.mark.parametrize(("factor", "per_exception", "met"), [(1.0, 0.5, True), (1.2, 0.0, False)])
def test_claims_follow_the_coefficients(factor: float, per_exception: float, met: bool) -> None:
    config = STUDY.config("quick").model_copy(update={"tested": ("linear", "exceptions", "bits", "rank")})
    found = STUDY.claims.test(made(factor, per_exception), config)
    for name, expected in (("linear", met), ("exceptions", met), ("bits", True), ("rank", False)):
        evidence = found[name]
        assert isinstance(evidence, Evidence), evidence
        assert evidence.met == expected, name
