"""The linear-networks study at its smallest, and its claims on tables that are made to meet them and not to."""

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
from ontogeny.studies.linear_networks.recipe import distances, gap, linear_network, plateaus, product

SMALL = {
    "networks": ((4, 4, 4), (4, 3, 5)),
    "singular_values": (2.0, 1.0),
    "training.num_steps": 500,
    "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("linear-networks", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    claims = {claim["id"]: claim for claim in run.claims}
    assert claims["saddles"]["status"] == "held", claims["saddles"]
    page = run.report.read_text(encoding="utf-8")
    assert 'id="staircases"' in page
    assert 'id="plateaus"' in page


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
