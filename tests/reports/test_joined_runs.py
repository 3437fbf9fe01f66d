"""A report of joined runs: each run faint and with its own stages, the median bold, nothing that failed unmarked."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.runs import runs_of
from ontogeny.development import StageConfig, stages
from ontogeny.measurement import write_report
from ontogeny.reports import (
    fig_behaviour,
    fig_component_curves,
    fig_component_map,
    fig_head_scores,
    fig_loss_and_llc,
    fig_refined_llc,
    fig_slope,
    fig_traces,
)
from ontogeny.reports.diagnostics import trace_steps
from ontogeny.reports.estimates import estimates
from ontogeny.reports.headlines import summary
from ontogeny.reports.pooled_runs import pooled
from ontogeny.reports.small_multiples import Curve

QUICK = StageConfig(num_samples=100, num_grid=60)
TRIED = ("nbeta", "localization", "complexity", "descent", "rise")
SLIM = ("loss", "loss_sem", "llc", "llc_mcse", "llc_outcome", "llc_rhat", "llc_trace", "outputs")


def join(runs: list[xr.Dataset], dim: object = "seed") -> xr.Dataset:
    return xr.concat(runs, dim, join="outer")


@pytest.fixture
def seeds(trajectory: xr.Dataset) -> list[xr.Dataset]:
    """Three seeds: the second shifted in value, the third measured at fewer steps."""
    rng = np.random.default_rng(0)
    noisy = trajectory.assign(outputs=trajectory.outputs + rng.normal(size=trajectory.outputs.shape))
    second = noisy.assign(loss=noisy.loss + 0.5, llc=noisy.llc + 10)
    third = noisy.assign(loss=noisy.loss + 2.0, llc=noisy.llc - 4).isel(step=slice(0, 58, 2))
    return [noisy, second, third]


def lines(figure: go.Figure, axis: str) -> list:
    return [trace for trace in figure.data if trace.yaxis == axis and trace.mode == "lines" and trace.fill is None]


def written(trajectory: xr.Dataset, folder: Path, **options: Any) -> str:
    return write_report(trajectory, folder / "report.html", **options).read_text(encoding="utf-8")


def test_each_seed_is_faint_and_the_median_bold(seeds: list[xr.Dataset]) -> None:
    figure = fig_loss_and_llc(join(seeds))
    curves = {trace.name: trace for trace in lines(figure, "y")}
    assert list(curves) == ["seed 0", "seed 1", "seed 2", "median of 3"]
    median = curves.pop("median of 3")
    assert all(curve.opacity < median.opacity and curve.line.width < median.line.width for curve in curves.values())
    for curve, run in zip(curves.values(), seeds, strict=True):
        assert np.allclose(curve.y, run.loss[:, 0])
    assert np.allclose(median.y, seeds[1].loss[: len(median.y), 0])  # of values 0, 0.5 and 2 above one curve
    assert median.x[-1] == seeds[2].step[-1]


def test_what_failed_is_hollow_in_every_seed(seeds: list[xr.Dataset]) -> None:
    figure = fig_loss_and_llc(join(seeds))
    for label, run in zip(("seed 0", "seed 1", "seed 2"), seeds, strict=True):
        (points,) = [trace for trace in figure.data if trace.name == f"LLC, {label}"]
        assert np.allclose(points.y, run.llc[:, 0, 0])
        hollow = np.char.endswith(points.marker.symbol.astype(str), "-open")
        assert (hollow == (run.llc_outcome[:, 0, 0] != "converged").values).all()
    refined = fig_refined_llc(join(seeds))
    failed = sum(len(trace.x) for trace in refined.data if trace.name == "not converged")
    assert failed == sum(int((run.llc_outcome != "converged").sum()) for run in seeds)
    table = estimates(join(seeds))
    assert len(table) == sum(run.llc.size for run in seeds)
    assert int(table.hollow.sum()) == failed


def test_a_median_is_read_between_the_steps_of_each_run_and_no_farther() -> None:
    first = Curve("a", np.array([1.0, 100.0]), np.array([0.0, 2.0]), "#2f86d8")
    second = Curve("a", np.array([1.0, 10.0, 1000.0]), np.array([1.0, 3.0, 9.0]), "#2f86d8")
    zero = Curve("", np.array([1.0, 1000.0]), np.zeros(2), "#7f8a98", named=False, hover=False)
    lost = Curve("a", np.array([1.0, 10.0]), np.full(2, np.nan), "#2f86d8")
    curves = pooled({"run 0": [zero, first], "run 1": [zero, second], "run 2": [lost]})
    assert [curve.name for curve in curves] == ["", "a, run 0", "a, run 1", "a"]
    assert curves[-1].x.tolist() == [1, 10, 100]
    assert curves[-1].y == pytest.approx([0.5, 2.0, 4.0])
    assert pooled({"": [first]}) == [first]


@pytest.mark.slow
def test_one_seed_has_the_page_of_the_plain_run(trajectory: xr.Dataset, tmp_path: Path) -> None:
    plain = trajectory[[*SLIM, "icl_score", "head_score"]].isel(step=slice(0, None, 3))
    assert written(join([plain]), tmp_path) == written(plain, tmp_path)


def test_stages_and_boundaries_are_told_by_seed(seeds: list[xr.Dataset], tmp_path: Path) -> None:
    joined = join([run[[*SLIM, "icl_score", "head_score"]].isel(step=slice(1, None, 2)) for run in seeds])
    found = stages(joined, QUICK)
    figure = fig_loss_and_llc(joined, found)
    names = [note.text for note in figure.layout.annotations if note.yref == "y4"]
    assert names == ["seed 0", "seed 1", "seed 2"]
    rows = [shape for shape in figure.layout.shapes if shape.yref == "y4" and shape.type == "line"]
    assert len(rows) == int(found.boundary_step.notnull().sum())
    assert [trace.name for trace in lines(fig_slope(found), "y")][-3:] == names
    html = written(joined, tmp_path, stage_config=QUICK)
    table = html[html.index("<h3>Boundaries</h3>") : html.index("A <b>plateau</b>")]
    assert re.findall(r'<th scope="row">(.*?)</th>', table)[:1] == ["seed 0"]
    assert set(re.findall(r"seed \d", table)) == set(names)
    assert '"label":"seed 2"' in html  # of the head scores
    assert '"label":"seed 1, step 6k"' in html  # of the traces
    assert "was not recorded" in html


@pytest.mark.slow
def test_posteriors_that_differ_are_told_and_have_no_median(seeds: list[xr.Dataset], tmp_path: Path) -> None:
    recorded = [
        run[[*SLIM]].isel(step=slice(0, None, 9)).assign(llc_nbeta=nbeta, llc_localization=1.0)
        for run, nbeta in zip(seeds, (30.0, 30.0, 100.0), strict=True)
    ]
    html = written(join(recorded), tmp_path)
    assert "nβ is 30 (seed 0, seed 1) and 100 (seed 2)" in html
    assert "30, 100" in html
    assert "learning coefficient" not in summary(join(recorded))
    for runs, expected in ((recorded, 3), (recorded[:2], 3)):  # three runs, or two and their median
        assert len(lines(fig_loss_and_llc(join(runs)), "y2")) == expected
    assert "nβ and γ are the same for every seed" in written(join(recorded[:2]), tmp_path)


@pytest.mark.parametrize("keep", ["override", "drop_conflicts"])
def test_a_choice_is_said_to_be_that_of_one_run(
    keep: Literal["override", "drop_conflicts"], seeds: list[xr.Dataset], tmp_path: Path
) -> None:
    trials = xr.Dataset(
        {name: (("pilot", "trial"), [[1.0]]) for name in TRIED}, attrs={"nbeta": 30.0, "loss_gain": 2.0}
    )
    kept = json.dumps(trials.to_dict())
    chosen = [run[["loss", "llc"]].assign_attrs(choice=kept + " " * k) for k, run in enumerate(seeds)]
    html = written(xr.concat(chosen, "seed", join="outer", combine_attrs=keep), tmp_path)
    assert ('id="choice"' in html) == (keep == "override")
    assert ("This is the choice for one of the runs" in html) == (keep == "override")


@pytest.mark.parametrize(
    "select",
    [
        lambda t: t.sel(component="all", dataset="mixed"),
        lambda t: t.isel(component=0, dataset=0, drop=True),
        lambda t: t.isel(step=5),
        lambda t: t.isel(step=[5]),
        lambda t: t.isel(step=slice(None, None, -1)),
        lambda t: t.assign_coords(step=t.step / 64),
        lambda t: join([t, t.where(t.step < 0)]),
        lambda t: join([t.isel(step=slice(0, None, 2)), t.isel(step=slice(1, None, 2))]),
        lambda t: join([t, t], pd.Index([0.1, 0.2], name="learning rate")),
        lambda t: join([t[["loss"]], t[["loss"]]], "model"),
        lambda t: join([t[["outputs"]], t[["outputs"]]], "run"),
        lambda t: join([t[["loss", "llc", "llc_mcse"]]] * 7),
    ],
    ids=[
        "selected",
        "dropped",
        "one step",
        "one",
        "reversed",
        "epochs",
        "empty run",
        "disjoint",
        "rates",
        "loss",
        "outputs",
        "many",
    ],
)
def test_any_selection_has_its_page(select: Callable, seeds: list[xr.Dataset], tmp_path: Path) -> None:
    given = select(seeds[0][[*SLIM]].isel(step=slice(0, None, 9)) if select else None)
    before = given.copy(deep=True)
    html = written(given, tmp_path, title="Selected")
    xr.testing.assert_identical(given, before)
    for label in runs_of(given):
        assert label in html


def test_what_shows_one_run_refuses_several_and_its_advice_works(seeds: list[xr.Dataset]) -> None:
    joined = join([run.assign_coords(component=["L0H3"]) for run in seeds[:2]])
    step = trace_steps(seeds[0])[-1]
    draws: list[Callable[[xr.Dataset], go.Figure]] = [
        fig_head_scores,
        lambda t: fig_traces(t, step),
        fig_component_curves,
        lambda t: fig_component_map(t, step),
    ]
    for draw in draws:
        with pytest.raises(InvalidArgument, match=r"along the dimension `seed`.*\.isel\(seed=0\)"):
            draw(joined)
        assert draw(joined.isel(seed=0)).data


def test_a_dimension_too_many_is_refused_by_name_and_the_advice_works(seeds: list[xr.Dataset], tmp_path: Path) -> None:
    slim = [run[["loss"]] for run in seeds[:2]]
    crossed = join([join(slim), join(slim)], "learning_rate")
    with pytest.raises(InvalidArgument, match=r"`learning_rate` \(2\) and `seed` \(2\).*\.isel\(learning_rate=0\)"):
        written(crossed, tmp_path)
    assert "seed 1" in written(crossed.isel(learning_rate=0), tmp_path)
    assert "learning rate 1, seed 1" in written(crossed.stack(run=["learning_rate", "seed"]), tmp_path)


def test_behaviour_is_pooled_panel_by_panel(seeds: list[xr.Dataset]) -> None:
    figure = fig_behaviour(join(seeds))
    single = fig_behaviour(seeds[0])
    titles = [note.text for note in single.layout.annotations if note.text.startswith("<b>")]
    assert [note.text for note in figure.layout.annotations if note.text.startswith("<b>")] == titles
    names = {trace.name for trace in figure.data}
    assert {"score", "score, seed 0", "score, seed 2", "code, seed 1", "code"} <= names
