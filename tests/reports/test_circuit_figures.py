"""Maps of heads, graphs of composition, matrices of similarity and tails show what their data say."""

import numpy as np
import pytest
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports import fig_composition_graph, fig_head_map, fig_similarity, fig_tails, graph_steps

HEADS = [f"L{layer}H{head}" for layer in range(2) for head in range(4)]


@pytest.fixture
def circuits() -> xr.Dataset:
    scores = np.full((3, 3, 8, 8), np.nan)
    scores[:, :, :4, 4:] = 1.0
    scores[2, 1, 2, 5] = 4.0  # K, from L0H2 to L1H1
    scores[1, 1, 2, 5] = 2.5
    coords = {"step": [0, 100, 1000], "input": ["Q", "K", "V"], "sender": HEADS, "receiver": HEADS}
    return xr.Dataset({"composition": (("step", "input", "sender", "receiver"), scores)}, coords)


def test_a_map_has_a_row_for_each_head_and_the_values_of_its_checkpoints(trajectory: xr.Dataset) -> None:
    figure = fig_head_map(trajectory, "prefix_matching")
    (cells,) = figure.data
    assert list(cells.y) == [f"L{layer}H{head}" for layer in range(2) for head in range(8)]
    own = trajectory["head_score"].sel(score="prefix_matching", layer=1, head=2).dropna("step").values
    assert cells.z[10][-1] == pytest.approx(own[-1])
    assert cells.zmax == pytest.approx(np.nanmax(cells.z))
    assert len(cells.z[0]) <= 40


def test_a_score_that_was_not_measured_is_refused_and_the_advice_works(trajectory: xr.Dataset) -> None:
    with pytest.raises(InvalidArgument, match="previous_token"):
        fig_head_map(trajectory, "attention")
    assert fig_head_map(trajectory, "previous_token").data


def test_lines_of_the_graph_are_as_wide_as_composition_is_above_chance(circuits: xr.Dataset) -> None:
    lines = {trace.name: trace for trace in fig_composition_graph(circuits, 1000).data}
    assert lines["L0H2 L1H1 K"].line.width == 7
    assert "4.00 times chance" in lines["L0H2 L1H1 K"].text[0]
    assert set(lines) == {"L0H2 L1H1 K", "heads"}  # nothing else is above chance
    earlier = {trace.name: trace for trace in fig_composition_graph(circuits, 100).data}
    assert earlier["L0H2 L1H1 K"].line.width == pytest.approx(3.5)
    assert [trace.name for trace in fig_composition_graph(circuits, 0).data] == ["heads"]
    assert graph_steps(circuits) == [0, 100, 1000]


def test_a_step_without_composition_is_refused_and_the_advice_works(circuits: xr.Dataset) -> None:
    with pytest.raises(InvalidArgument, match="1000"):
        fig_composition_graph(circuits, 7)
    assert fig_composition_graph(circuits, float("1000")).data


def test_pairs_are_framed_where_they_are() -> None:
    values = xr.DataArray(np.eye(3)[[1, 0, 2]], {"network": HEADS[:3], "twin": HEADS[4:7]}, ("network", "twin"))
    figure = fig_similarity(values, np.array([1, 0, -1]))
    assert figure.data[0].z[0][1] == 1
    assert [(shape.x0, shape.y0) for shape in figure.layout.shapes] == [(0.5, -0.5), (-0.5, 0.5)]


def test_an_exponential_tail_is_straight_and_a_gaussian_one_bends_down() -> None:
    rng = np.random.default_rng(0)
    sizes = np.stack([rng.exponential(size=20_000), np.abs(rng.standard_normal(20_000))])
    curves = {
        trace.name: trace for trace in fig_tails(xr.DataArray(sizes, {"unit": ["one", "two"]}, ("unit", "sample"))).data
    }

    def bend(name: str) -> float:
        x, y = np.asarray(curves[name].x), np.asarray(curves[name].y)
        kept = np.isfinite(y) & (y > -2.6)
        return float(np.polyfit(x[kept], y[kept], 2)[0])

    assert abs(bend("one")) < 0.2
    assert bend("two") < -0.35
    assert bend("Gaussian") < -0.35
