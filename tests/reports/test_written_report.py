"""`write_report` writes a page of every trajectory, whether or not stages can be found in it."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.development import StageConfig
from ontogeny.measurement.written import write_report
from ontogeny.reports import trajectory_panels


def of_outcome(run: xr.Dataset, outcome: str) -> xr.Dataset:
    run = run[[name for name in run if str(name).startswith(("llc", "loss")) and "trace" not in str(name)]]
    return run.assign(llc_outcome=(run.llc.dims, np.full(run.llc.shape, outcome, dtype=object)))


@pytest.mark.parametrize("outcome", ["diverged", "not_a_minimum"])
def test_a_trajectory_that_cannot_be_staged_has_its_page_and_the_reason(
    outcome: str, apart: xr.Dataset, tmp_path: Path
) -> None:
    run = of_outcome(apart, outcome)
    if outcome == "diverged":
        values = [name for name in run if str(name).startswith("llc") and run[name].dtype.kind == "f"]
        run = run.assign({name: np.nan * run[name] for name in values})
    page = write_report(run, tmp_path / "page.html").read_text()
    assert "Stages were not looked for: they need usable estimates of llc_complexity" in page
    assert f"(left out: 57 {outcome})" in page
    assert "0 of 174</strong>" in page
    with pytest.raises(og.InvalidArgument, match=outcome):
        write_report(run, tmp_path / "strict.html", stage_config=StageConfig())


def test_a_part_alone_is_staged(apart: xr.Dataset, tmp_path: Path) -> None:
    run = of_outcome(apart, "converged").assign_coords(component=["L0H3"])
    page = write_report(run, tmp_path / "page.html").read_text()
    assert "not looked for" not in page
    assert 'id="stages"' in page


def test_outputs_that_cannot_be_decomposed_are_named(apart: xr.Dataset, choice: xr.Dataset, tmp_path: Path) -> None:
    run = apart[["loss", "outputs"]].copy(deep=True)
    run["outputs"][3] = np.nan
    run.attrs["choice"] = json.dumps(choice.to_dict())
    page = write_report(run, tmp_path / "page.html").read_text()
    assert "not drawn: it needs finite values" in page
    assert 'id="trajectory"' not in page
    assert 'id="choice"' in page


def test_a_behaviour_with_one_test_loss_is_no_figure_of_losses_by_distribution(apart: xr.Dataset) -> None:
    plain = apart[["llc", "llc_mcse", "llc_outcome", "loss"]].isel(dataset=[0])
    own = plain.assign(test_loss=("step", np.linspace(3, 1, plain.sizes["step"])))
    for given in (plain, own):
        panels = {panel.id: panel for panel in trajectory_panels(given)}
        assert panels["behaviour"].blocks == []
