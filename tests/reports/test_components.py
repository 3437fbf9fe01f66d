"""Panels on the complexity of parts of a network: maps, curves, clusters, other data, a reference model."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from ontogeny.reports.data_refinement import dataset_pairs

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports import (
    ReportContent,
    fig_component_curves,
    fig_component_map,
    fig_data_refinement,
    fig_relative_llc,
    write_page,
)
from ontogeny.reports.component_groups import cluster_colors, component_colors, group_key, heads_by_layer, ordered
from ontogeny.reports.component_map import map_steps
from ontogeny.reports.mark_names import Panel, draw_out
from ontogeny.reports.signature_table import signature_rows, signature_sentences
from ontogeny.reports.style import NEUTRAL

HEADS = [f"L{layer}H{head}" for layer in range(2) for head in range(8)]
PARTS = ["unembed", "L1", *reversed(HEADS), "L0", "embed"]  # in no order
DATASETS = ["mixed", "code", "prose"]
STEPS = np.array([1, 4, 16, 40, 100, 180, 320, 560, 1000, 1800, 3200, 5600])
KINDS = {"L0H3": "previous token", "L0H6": "previous token", "L1H2": "induction", "L1H5": "induction"}
PANELS = ["components", "signatures", "data-refinement", "relative"]
HOSTILE = "<img src=x onerror=alert(2)>"


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def kind_of(part: str) -> int:
    """Previous-token heads rise early, induction heads late, others slowly; whole layers are larger."""
    return {"previous token": 0, "induction": 1}.get(KINDS.get(part, ""), 2)


def make_refined(parts: list[str] = PARTS, datasets: list[str] = DATASETS, seed: int = 0) -> xr.Dataset:
    rng, log_step = np.random.default_rng(seed), np.log10(STEPS)
    middles, heights = np.array([1.8, 3.2, 2.4]), np.array([9.0, 13.0, 6.0])
    curves = []
    for part in parts:
        kind, scale = kind_of(part), 1 if "H" in part else 3.5
        rise = sigmoid((log_step - middles[kind]) / (0.5 if kind == 2 else 0.22))
        curves.append(scale * (2 + heights[kind] * rng.uniform(0.8, 1.25) * rise))
    tilt = {"code": [1.1, 1.45, 0.8], "prose": [1.15, 0.85, 1.1]}
    factors = np.array([[tilt.get(name, [1, 1, 1])[kind_of(part)] for name in datasets] for part in parts])
    llc = np.array(curves).T[:, :, None] * factors
    llc = llc + rng.normal(0, 0.25, llc.shape)
    outcome = np.full(llc.shape, "converged", dtype=object)
    return xr.Dataset(
        {
            "llc": (("step", "component", "dataset"), llc),
            "llc_mcse": (("step", "component", "dataset"), rng.uniform(0.15, 0.4, llc.shape)),
            "llc_outcome": (("step", "component", "dataset"), outcome),
        },
        coords={"step": STEPS, "component": parts, "dataset": datasets},
    )


def doubted(refined: xr.Dataset, part: str, step: int, outcome: str, value: float | None = None) -> xr.Dataset:
    """The same, but for one estimate on the first dataset that ended otherwise."""
    changed, where = refined.copy(deep=True), {"component": part, "step": step, "dataset": refined.dataset.values[0]}
    changed.llc_outcome.loc[where] = outcome
    if value is not None:
        changed.llc.loc[where] = value
    return changed


def make_signatures(labelled: bool = True, runs: int = 2) -> xr.Dataset:
    members = [f"{run}/{head}" for run in range(runs) for head in HEADS]
    clusters = [kind_of(head) for head in HEADS] * runs
    found = xr.Dataset(
        {
            "cluster": ("member", clusters),
            "curve": (("member", "at"), np.zeros((len(members), 4))),
            "stability": ("num_clusters", [0.71, 0.93, 0.64]),
        },
        coords={"member": members, "num_clusters": [2, 3, 4], "at": [1.0, 10.0, 100.0, 1000.0]},
        attrs={"chosen": 3},
    )
    if not labelled:
        return found
    labels = [KINDS.get(head, "other") for head in HEADS] * runs
    labels[1] = "current token"
    return found.assign(label=("member", labels)).assign_attrs(chosen=3, agreement=0.8213, p_value=0.0004)


@pytest.fixture
def refined() -> xr.Dataset:
    return make_refined()


@pytest.fixture
def signed() -> xr.Dataset:
    return make_signatures()


@pytest.fixture
def parts(content: ReportContent) -> ReportContent:
    """A report with every panel on the complexity of parts."""
    refined = doubted(make_refined(), "L1H2", 5600, "not_converged")
    return replace(
        content,
        refined=doubted(refined, "L0H5", 5600, "diverged", np.nan),
        relative=doubted(make_refined(HEADS, ["mixed"], seed=3), "L1H1", 3200, "not_a_minimum"),
        signatures=make_signatures(),
    )


def named(figure: go.Figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


def texts(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def sections(content: ReportContent, folder: Path) -> list[str]:
    html = write_page(folder / "report.html", content).read_text(encoding="utf-8")
    return re.findall(r'<section id="([^"]+)">', html)


def test_heads_are_ordered_by_layer_and_number_and_other_parts_follow() -> None:
    assert ordered(["embed", "L10H2", "L2H10", "L2H9", "L1", "embed"]) == ["L2H9", "L2H10", "L10H2", "embed", "L1"]
    assert heads_by_layer(PARTS) == {0: HEADS[:8], 1: HEADS[8:]}
    assert heads_by_layer(["L0.mlp", "embed"]) == {}


def test_colours_are_those_of_clusters_of_the_own_run(signed: xr.Dataset) -> None:
    other = signed.assign(cluster=("member", [kind_of(head) for head in HEADS] + [3] * 16))
    colors = component_colors(PARTS, other)
    assert colors["L0H3"] == colors["L0H6"] == cluster_colors(other)[0]
    assert colors["L1H2"] != colors["L0H3"]
    assert colors["embed"] == NEUTRAL
    assert list(group_key(PARTS, other)) == ["cluster 0", "cluster 1", "cluster 2", "in no cluster"]
    assert group_key(HEADS, None) == {}
    assert len(set(component_colors(HEADS, None).values())) == 16


def test_the_map_has_a_cell_for_each_head_with_its_value(refined: xr.Dataset) -> None:
    figure = fig_component_map(refined, 5600)
    (cells,) = figure.data
    expected = refined.llc.sel(step=5600, dataset="mixed", component=HEADS).values.reshape(2, 8)
    assert np.allclose(cells.z, expected)
    assert f"<b>{expected[1, 2]:.1f}</b>" in texts(figure)
    assert cells.customdata[1, 2].startswith(f"L1H2: {expected[1, 2]:.1f} ± ")
    assert list(figure.layout.yaxis.ticktext) == ["layer 0", "layer 1"]
    assert texts(figure)[0] == "<b>Heads on mixed, step 5,600</b>"


def test_maps_of_all_checkpoints_share_their_colours(refined: xr.Dataset) -> None:
    offered = map_steps(refined)
    assert (offered[0], offered[-1], len(offered)) == (1, 5600, 6)
    cells = [fig_component_map(refined, step).data[0] for step in offered]
    heads = refined.llc.sel(dataset="mixed", component=HEADS)
    assert {(c.zmin, c.zmax) for c in cells} == {(float(heads.min()), float(heads.max()))}
    wild = fig_component_map(doubted(refined, "L0H0", 4, "not_a_minimum", -900.0), 5600)
    assert wild.data[0].zmin > 0


def test_cells_say_what_did_not_converge_and_what_is_missing(refined: xr.Dataset) -> None:
    doubtful = doubted(doubted(refined, "L1H2", 5600, "not_converged"), "L0H5", 5600, "diverged", np.nan)
    figure = fig_component_map(doubtful.sel(component=[part for part in PARTS if part != "L0H0"]), 5600)
    assert sum(text.endswith("<br>○") for text in texts(figure)) == 1
    assert texts(figure).count("<b>×</b>") == 1
    assert "diverged" in figure.data[0].customdata[0, 5]
    assert figure.data[0].customdata[0, 0] == "not measured"
    assert len(texts(figure)) == 1 + 15
    sizes = [note.font.size for note in figure.layout.annotations[1:]]
    narrow = figure.layout.meta["narrow"]
    assert all(7 <= narrow[f"annotations[{k + 1}].font.size"] <= size for k, size in enumerate(sizes))


def test_a_map_of_a_step_without_heads_is_refused(refined: xr.Dataset) -> None:
    with pytest.raises(InvalidArgument, match="step"):
        fig_component_map(refined, 3)
    assert map_steps(refined.sel(component=["embed", "L0"])) == []


def test_curves_have_a_panel_for_each_layer_and_one_for_other_parts(refined: xr.Dataset) -> None:
    figure = fig_component_curves(refined)
    titles = ["<b>Heads of layer 0</b>", "<b>Heads of layer 1</b>", "<b>Other parts</b>"]
    assert texts(figure)[:3] == titles
    (curve,) = named(figure, "L1H2")
    assert np.allclose(curve.y, refined.llc.sel(component="L1H2", dataset="mixed"))
    assert (curve.xaxis, named(figure, "embed")[0].xaxis) == ("x2", "x3")
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range != figure.layout.yaxis3.range
    assert sum(trace.fill == "toself" for trace in figure.data) == len(PARTS)
    assert len({named(figure, head)[0].line.color for head in HEADS[:8]}) == 8


def test_curves_are_coloured_by_cluster_and_say_which(refined: xr.Dataset, signed: xr.Dataset) -> None:
    figure = fig_component_curves(doubted(refined, "L1H2", 3200, "not_converged"), signed)
    colors = {name: named(figure, name)[0].line.color for name in PARTS}
    assert colors["L0H3"] == colors["L0H6"] != colors["L0H0"]
    assert colors["L0H0"] == colors["L1H0"]
    assert {colors[part] for part in ("embed", "unembed", "L0", "L1")} == {NEUTRAL}
    assert len({named(figure, part)[0].line.dash for part in ("embed", "unembed", "L0", "L1")}) == 4
    assert all(f"cluster {k}" in texts(figure)[-1] for k in range(3))
    (doubtful,) = named(figure, "not converged")
    assert list(doubtful.x) == [3200]
    assert figure.layout.height > fig_component_curves(refined).layout.height


def test_relative_coefficients_have_a_bold_mean_for_each_layer() -> None:
    relative = make_refined(HEADS, ["mixed"])
    figure = fig_relative_llc(relative)
    (mean,) = named(figure, "layer 1")
    assert np.allclose(mean.y, relative.llc.sel(component=HEADS[8:]).mean("component")[:, 0])
    assert mean.line.width > 2 > named(figure, "L1H2")[0].line.width
    assert mean.line.color == named(figure, "L1H2")[0].line.color != named(figure, "L0H2")[0].line.color
    band = next(trace for trace in figure.data if trace.fill == "toself" and trace.fillcolor.startswith("rgba(220"))
    error = float(np.sqrt((relative.llc_mcse.sel(component=HEADS[8:])[-1] ** 2).sum())) / 8
    assert band.y[len(STEPS) - 1] - mean.y[-1] == pytest.approx(1.96 * error)
    gap = fig_relative_llc(doubted(relative, "L1H1", 3200, "diverged", np.nan))
    assert np.isnan(named(gap, "layer 1")[0].y[list(STEPS).index(3200)])
    assert np.isfinite(named(gap, "layer 0")[0].y).all()


def test_heads_stand_at_their_values_on_two_datasets(refined: xr.Dataset, signed: xr.Dataset) -> None:
    doubtful = refined.copy(deep=True)
    doubtful.llc_outcome.loc[{"component": "L0H0", "step": 5600, "dataset": "code"}] = "not_converged"
    figure = fig_data_refinement(doubtful, "code", "prose", signed)
    told = [(hover, trace, k) for trace in figure.data for k, hover in enumerate(trace.customdata)]
    points = {hover.split("</b>")[0][3:]: (trace, k) for hover, trace, k in told}
    assert set(points) == set(HEADS)
    trace, k = points["L1H2"]
    last = refined.sel(step=5600, component="L1H2")
    assert (trace.x[k], trace.y[k]) == (float(last.llc.sel(dataset="code")), float(last.llc.sel(dataset="prose")))
    assert trace.error_x.array[k] == pytest.approx(1.96 * float(last.llc_mcse.sel(dataset="code")))
    assert trace.error_y.array[k] == pytest.approx(1.96 * float(last.llc_mcse.sel(dataset="prose")))
    assert "(induction)<br>code " in trace.customdata[k]
    assert trace.marker.color == component_colors(HEADS, signed)["L1H2"]
    hollow = {head for head, (trace, k) in points.items() if trace.marker.symbol[k] == "circle-open"}
    assert hollow == {"L0H0"}
    equality = figure.layout.shapes[0]
    assert (equality.x0, equality.x1) == (equality.y0, equality.y1) == figure.layout.xaxis.range
    assert set(HEADS) <= set(texts(figure))
    assert figure.layout.xaxis.title.text == "LLC on code"


def test_heads_are_coloured_by_layer_where_there_are_no_clusters(refined: xr.Dataset) -> None:
    figure = fig_data_refinement(refined, "code", "prose")
    assert [len(trace.x) for trace in figure.data] == [8, 8]
    assert "layer 1" in texts(figure)[-1]


def test_pairs_of_datasets_are_those_after_the_first_that_heads_were_measured_on(refined: xr.Dataset) -> None:
    assert dataset_pairs(refined) == [("code", "prose")]
    assert dataset_pairs(refined.isel(dataset=[0, 1])) == []
    assert dataset_pairs(refined.sel(component=["embed"])) == []
    assert dataset_pairs(refined.where(refined.dataset != "prose")) == []
    three = xr.concat([refined, refined.isel(dataset=[2]).assign_coords(dataset=["maths"])], "dataset")
    assert len(dataset_pairs(three)) == 3


def test_names_of_crowded_marks_lie_apart_and_inside_the_panel() -> None:
    at, names = np.random.default_rng(0).normal(0.5, 0.06, (16, 2)), HEADS
    panel = Panel(np.array([[0.0, 1.0], [0.0, 1.0]]), (270, 400))
    middle = panel.pixels(at) + draw_out(at, np.full((16, 2), 0.01), names, panel)
    assert ((middle > [12, 7]) & (middle < [258, 393])).all()
    apart = np.abs(middle[:, None] - middle[None])[np.triu_indices(16, 1)]
    assert ((apart[:, 0] >= 6.2 * 4) | (apart[:, 1] >= 14)).all()
    assert (draw_out(at, np.zeros((16, 2)), [""] * 16, panel) == 0).all()


def test_the_table_of_signatures_has_the_own_run_by_cluster_and_label(signed: xr.Dataset) -> None:
    rows = signature_rows(signed)
    assert [(row["cluster"], row["label"]) for row in rows] == [
        *(("cluster 0", "previous token"), ("cluster 1", "induction")),
        *(("cluster 2", "current token"), ("cluster 2", "other")),
    ]
    assert rows[1]["components"] == "L1H2, L1H5"
    assert rows[0]["color"] == component_colors(HEADS, signed)["L0H3"]
    assert [row["label"] for row in signature_rows(make_signatures(labelled=False))] == ["", "", ""]
    assert signature_rows(None) == signature_rows(signed.isel(member=slice(16, 32))) == []


def test_sentences_on_signatures_say_how_far_to_trust_them(signed: xr.Dataset) -> None:
    size, agreement = signature_sentences(signed)
    assert size.startswith("3 clusters of 32 curves, 16 of them of other runs: stability 0.93, ")
    assert size.endswith(", against 0.71 for 2 and 0.64 for 4.")
    assert agreement.replace("\u00a0", " ") == "Agreement with the labels: adjusted Rand index 0.82, p < 0.001."
    shaky = make_signatures(labelled=False, runs=1).assign_attrs(chosen=4)
    assert signature_sentences(shaky)[0].startswith("4 clusters of 16 curves: stability 0.64")
    assert "read nothing into it" in signature_sentences(shaky)[1]
    assert signature_sentences(None) == []


@pytest.mark.parametrize("draw", [fig_component_curves, fig_relative_llc])
def test_drawing_changes_nothing(draw: Callable[[xr.Dataset], go.Figure], refined: xr.Dataset) -> None:
    before = refined.copy(deep=True)
    draw(refined)
    fig_component_map(refined, 5600)
    fig_data_refinement(refined, "code", "prose")
    xr.testing.assert_identical(refined, before)


def test_the_page_of_parts_without_heads_has_their_curves_alone(content: ReportContent, tmp_path: Path) -> None:
    html = write_page(tmp_path / "a.html", replace(content, refined=make_refined(["embed", "L0"]))).read_text("utf-8")
    assert 'id="figure-component-curves"' in html
    assert 'id="figure-component-map"' not in html


@pytest.mark.slow
def test_the_page_shows_all_panels_before_behaviour_and_leaves_out_those_without_data(
    parts: ReportContent, tmp_path: Path
) -> None:
    shown = sections(parts, tmp_path)
    first = shown.index("refined") + 1
    assert shown[first : first + 5] == [*PANELS, "behaviour"]
    assert parts.refined is not None
    lesser = {
        ("components", "data-refinement"): replace(parts, refined=None),
        ("data-refinement",): replace(parts, refined=parts.refined.isel(dataset=[0, 1])),
        ("relative",): replace(parts, relative=None),
        ("signatures",): replace(parts, signatures=None),
    }
    for gone, content in lesser.items():
        left = [panel for panel in PANELS if panel not in gone]
        assert [panel for panel in sections(content, tmp_path) if panel in PANELS] == left


def test_names_from_the_data_are_no_markup(parts: ReportContent, tmp_path: Path) -> None:
    renamed = [HOSTILE if part == "embed" else part for part in PARTS]
    refined = make_refined().assign_coords(component=renamed, dataset=[HOSTILE, f"{HOSTILE} a", f"{HOSTILE} b"])
    signatures = make_signatures().assign(label=("member", [HOSTILE] * 32))
    hostile = replace(parts, refined=refined, signatures=signatures)
    assert "<img" not in write_page(tmp_path / "report.html", hostile).read_text(encoding="utf-8")
    figures = [
        fig_component_map(refined, 5600),
        fig_component_curves(refined, signatures),
        fig_data_refinement(refined, f"{HOSTILE} a", f"{HOSTILE} b", signatures),
    ]
    for figure in figures:
        assert "<img" not in figure.to_json().replace("\\u003c", "<")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_every_panel(
    width: int, parts: ReportContent, in_browser: Callable[[Path, int], str], tmp_path: Path
) -> None:
    dom = in_browser(write_page(tmp_path / "report.html", parts), width)
    assert "data-errors" not in dom.partition("<body>")[0]
    assert 'data-drawn="11"' in dom
