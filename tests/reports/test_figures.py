"""Every figure shows what its data say: traces, bands, hollow points, boundaries, controls, the null."""

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports import (
    fig_behaviour,
    fig_head_scores,
    fig_loss_and_llc,
    fig_refined_llc,
    fig_slope,
    fig_traces,
    fig_trajectory_pca,
)
from ontogeny.reports.diagnostics import listed_estimates, trace_steps


def named(figure: go.Figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


def texts(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def test_points_of_the_llc_are_the_estimates_and_hollow_where_they_failed(trajectory: xr.Dataset) -> None:
    figure = fig_loss_and_llc(trajectory)
    (points,) = named(figure, "LLC")
    assert np.allclose(points.y, trajectory.llc[:, 0, 0])
    assert [i for i, symbol in enumerate(points.marker.symbol) if symbol == "circle-open"] == [3, 41]
    assert set(points.marker.symbol) == {"circle", "circle-open"}
    assert points.error_y.array[41] == pytest.approx(1.96 * 2.1)
    assert "not converged" in points.customdata[41]
    assert figure.layout.xaxis.type == "log"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_estimate_that_is_no_number_is_a_cross_and_not_a_gap(value: float, trajectory: xr.Dataset) -> None:
    assert "<b>×</b>" not in texts(fig_loss_and_llc(trajectory))
    trajectory.llc[20, 0, 0] = value
    trajectory.llc_outcome[20, 0, 0] = "diverged"
    cross = next(a for a in fig_loss_and_llc(trajectory).layout.annotations if a.text == "<b>×</b>")
    assert "diverged" in cross.hovertext
    assert cross.x == pytest.approx(np.log10(trajectory.step.values[20]))


def test_stages_are_shaded_and_boundaries_drawn(trajectory: xr.Dataset, stages: xr.Dataset) -> None:
    figure = fig_loss_and_llc(trajectory, stages)
    shapes = figure.layout.shapes
    shades = [s for s in shapes if s.type == "rect" and s.yref == "paper"]
    lines = [s for s in shapes if s.type == "line"]
    assert len(shades) == 4
    assert [line.x0 for line in lines] == [9, 251, 1510]
    assert [line.line.dash for line in lines] == ["solid", "dot", "dot"]
    numbers = [text for text in texts(figure) if text.startswith("<b>")]
    assert numbers == ["<b>stage 1</b>", "<b>2</b>", "<b>3</b>", "<b>4</b>"]
    assert shades[0].fillcolor != shades[1].fillcolor
    intervals = [s for s in shapes if s.type == "rect" and s.yref == "y2 domain"]
    assert [(s.x0, s.x1) for s in intervals] == [(5, 15), (214, 290), (1320, 1790)]


def test_a_curve_without_boundaries_has_one_stage(trajectory: xr.Dataset, stages: xr.Dataset) -> None:
    single = stages.isel(boundary=slice(0, 0), stage=slice(0, 1))
    figure = fig_loss_and_llc(trajectory, single)
    assert not [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert len(figure.layout.shapes) == 1


def test_the_slope_shows_its_band_and_zero(stages: xr.Dataset) -> None:
    figure = fig_slope(stages)
    (slope,) = named(figure, "slope")
    assert np.allclose(slope.y, stages.slope)
    assert any(trace.fill == "toself" for trace in figure.data)
    assert any(np.all(np.asarray(trace.y) == 0) for trace in figure.data)


def test_refined_coefficients_have_a_curve_for_each_dataset(trajectory: xr.Dataset) -> None:
    figure = fig_refined_llc(trajectory)
    curves = [trace for trace in figure.data if trace.fill is None and trace.name != "not converged"]
    assert [trace.name for trace in curves] == ["mixed", "code", "prose"]
    hollow = named(figure, "not converged")
    assert sum(len(trace.x) for trace in hollow) == 3
    assert "<b>Whole network, by dataset</b>" in texts(figure)


def test_refined_coefficients_have_a_panel_for_each_dataset_of_several_components(trajectory: xr.Dataset) -> None:
    parts = [trajectory[["llc"]].assign_coords(component=[name]) for name in ("all", "L0H3")]
    figure = fig_refined_llc(xr.concat(parts, "component"))
    assert texts(figure)[:3] == ["<b>On mixed</b>", "<b>On code</b>", "<b>On prose</b>"]
    assert len(named(figure, "L0H3")) == 3


def test_behaviour_has_a_panel_for_everything_that_was_measured(trajectory: xr.Dataset) -> None:
    figure = fig_behaviour(trajectory)
    assert len([text for text in texts(figure) if text.startswith("<b>")]) == 5
    for order in ("unigram", "bigram", "trigram"):
        (curve,), (reference,) = named(figure, order), named(figure, f"{order}: its entropy")
        assert np.allclose(curve.y, trajectory.ngram_cross_entropy.sel(order=order))
        assert np.allclose(reference.y, trajectory.ngram_entropy.sel(order=order))
        assert reference.line.dash == "dot"
    assert len([trace for trace in figure.data if (trace.name or "").startswith("step ")]) == 6


@pytest.mark.parametrize(
    ("variable", "traces"),
    [
        ("icl_score", 2),
        ("repeated_gain", 2),
        ("loss_by_position", 6),
        ("test_loss", 3),
        ("loss", 3),
        ("ngram_cross_entropy", 3),
    ],
)
def test_behaviour_draws_what_there_is(trajectory: xr.Dataset, variable: str, traces: int) -> None:
    assert len(fig_behaviour(trajectory[[variable]]).data) == traces


def test_every_head_is_drawn_and_the_strongest_of_each_layer_named(trajectory: xr.Dataset) -> None:
    figure = fig_head_scores(trajectory)
    previous = [trace for trace in figure.data if trace.xaxis == "x" and trace.fill is None]
    assert sorted(trace.name for trace in previous) == sorted(f"L{i}H{j}" for i in range(2) for j in range(8))
    assert len({trace.line.color for trace in previous}) == 2
    bold = {trace.name for trace in previous if trace.line.width > 2}
    assert len(bold) == 2
    assert "L0H3" in bold
    assert "L0H3" in texts(figure)
    induction = {trace.name for trace in figure.data if trace.xaxis == "x4" and (trace.line.width or 0) > 2}
    assert "L1H2" in induction


def test_a_control_is_the_dashed_maximum_over_its_heads(trajectory: xr.Dataset) -> None:
    control = trajectory.isel(layer=[0])
    figure = fig_head_scores(trajectory, {"one layer": control})
    dashed = [trace for trace in figure.data if trace.line.dash == "dash"]
    assert [trace.name for trace in dashed] == ["one layer"] * 4
    assert np.allclose(dashed[3].y, control.head_score.sel(score="prefix_matching").max(["layer", "head"]))


def test_of_many_heads_the_strongest_are_drawn(trajectory: xr.Dataset) -> None:
    many = xr.concat([trajectory[["head_score"]].assign_coords(head=np.arange(8) + 8 * k) for k in range(12)], "head")
    figure = fig_head_scores(many)
    drawn = [trace for trace in figure.data if trace.xaxis == "x" and trace.fill is None]
    assert len(drawn) == 24
    assert sum(len(trace.x) for trace in figure.data if trace.fill is None) <= 6_000


def test_the_trajectory_stands_beside_its_null(pca: xr.Dataset, stages: xr.Dataset) -> None:
    figure = fig_trajectory_pca(pca, stages)
    paths = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [trace.xaxis for trace in paths] == ["x", "x2", "x3", "x4"]
    assert np.allclose(paths[0].x, pca.score.values[:, 0])
    assert np.allclose(paths[1].y, pca.brownian_score.values[:, 1])
    assert figure.layout.xaxis.title.text == "PC1 (81 %)"
    assert figure.layout.xaxis2.title.text == "PC1 (61 %)"
    measured, null = (next(t for t in figure.data if t.xaxis == x and t.mode == "markers+text") for x in ("x", "x2"))
    assert sum(symbol == "diamond-open" for symbol in measured.marker.symbol) == 3
    assert set(null.marker.symbol) == {"circle-open"}


def test_several_trajectories_are_named_where_they_end(pca: xr.Dataset) -> None:
    other = pca.assign_coords(trajectory=("point", np.repeat("control", pca.sizes["point"])))
    figure = fig_trajectory_pca(xr.concat([pca, other], "point", data_vars="minimal"))
    labels = [text for trace in figure.data if trace.mode == "markers+text" for text in trace.text]
    assert {"seed 0", "control"} <= set(labels)


def test_traces_show_every_chain_with_its_warm_up_and_the_settling_estimate(trajectory: xr.Dataset) -> None:
    step = int(trajectory.step.values[-1])
    figure = fig_traces(trajectory, step)
    first = next(trace for trace in named(figure, "chain 0") if trace.xaxis == "x")
    assert (first.x[0], first.x[-1]) == (-40, 79)
    assert np.allclose(first.y[40:], trajectory.llc_trace.values[-1, 0, 0, 0])
    warm = next(shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (warm.x0, warm.x1) == (-40, -0.5)
    (running,) = named(figure, "all chains")
    assert running.y[-1] == pytest.approx(trajectory.llc_trace.values[-1, 0, 0].mean())
    band = next(trace for trace in figure.data if trace.fill == "toself")
    middle = len(band.y) // 2
    reported = 1.96 * float(trajectory.llc_mcse[-1, 0, 0])
    assert band.y[middle - 1] - running.y[-1] == pytest.approx(reported)


def test_traces_of_an_unknown_step_are_refused(trajectory: xr.Dataset) -> None:
    with pytest.raises(InvalidArgument, match="step"):
        fig_traces(trajectory, 12345)


def test_failed_estimates_are_among_the_traces_offered(trajectory: xr.Dataset) -> None:
    offered = trace_steps(trajectory)
    steps = trajectory.step.values
    assert {int(steps[0]), int(steps[-1]), int(steps[3]), int(steps[41])} <= set(offered)
    assert len(offered) <= 9


def test_the_table_never_leaves_out_an_estimate_that_failed(trajectory: xr.Dataset) -> None:
    long = xr.concat([trajectory[["llc", "llc_outcome"]]] * 12, "component").assign_coords(component=range(12))
    rows, omitted = listed_estimates(long)
    assert len(rows) + omitted == long.llc.size
    assert (rows.outcome != "converged").sum() == 36
    assert (rows.outcome == "converged").sum() == 400


@pytest.mark.parametrize("draw", [fig_loss_and_llc, fig_behaviour, fig_head_scores])
def test_drawing_changes_nothing(draw: Callable[[xr.Dataset], go.Figure], trajectory: xr.Dataset) -> None:
    before = trajectory.copy(deep=True)
    draw(trajectory)
    xr.testing.assert_identical(trajectory, before)


def test_names_from_the_data_are_no_markup(trajectory: xr.Dataset) -> None:
    hostile = trajectory.assign_coords(
        distribution=["<b>", "<i>", "<u>"], dataset=["<a href='x'>y</a>", "code", "prose"]
    )
    assert "<a" not in fig_loss_and_llc(hostile).to_json()
    assert "<u>" not in fig_behaviour(hostile).to_json()


def test_entropies_that_do_not_depend_on_the_step_are_lines_all_the_same(trajectory: xr.Dataset) -> None:
    constant = trajectory.assign(ngram_entropy=trajectory.ngram_entropy.isel(step=0))
    (line,) = named(fig_behaviour(constant), "bigram: its entropy")
    assert np.allclose(line.y, 3.35)
