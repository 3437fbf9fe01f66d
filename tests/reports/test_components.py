"""Panels on the complexity of parts of a network: maps, curves, clusters."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from tests.made_up_parts import HEADS, PARTS, doubted, kind_of, make_refined, make_signatures
from tests.made_up_run import Content

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports import fig_component_curves, fig_component_map, write_page
from ontogeny.reports.component_groups import cluster_colors, component_colors, group_key, heads_by_layer, ordered
from ontogeny.reports.component_map import map_steps
from ontogeny.reports.mark_names import Frame, draw_out
from ontogeny.reports.signature_table import signature_rows, signature_sentences
from ontogeny.reports.style import NEUTRAL

PANELS = ["components", "signatures"]
HOSTILE = "<img src=x onerror=alert(2)>"


@pytest.fixture
def refined() -> xr.Dataset:
    return make_refined()


@pytest.fixture
def signed() -> xr.Dataset:
    return make_signatures()


@pytest.fixture
def parts(content: Content) -> Content:
    """A report with every panel on the complexity of parts."""
    refined = doubted(make_refined(), "L1H2", 5600, "not_converged")
    return replace(
        content,
        refined=doubted(refined, "L0H5", 5600, "diverged", np.nan),
        signatures=make_signatures(),
    )


def named(figure: go.Figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


def texts(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def sections(content: Content, folder: Path) -> list[str]:
    html = write_page(folder / "report.html", content.page()).read_text(encoding="utf-8")
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


def test_names_of_crowded_marks_lie_apart_and_inside_the_panel() -> None:
    at, names = np.random.default_rng(0).normal(0.5, 0.06, (16, 2)), HEADS
    panel = Frame(np.array([[0.0, 1.0], [0.0, 1.0]]), (270, 400))
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


def test_drawing_changes_nothing(refined: xr.Dataset) -> None:
    before = refined.copy(deep=True)
    fig_component_curves(refined)
    fig_component_map(refined, 5600)
    xr.testing.assert_identical(refined, before)


def test_the_page_of_parts_without_heads_has_their_curves_alone(content: Content, tmp_path: Path) -> None:
    html = write_page(tmp_path / "a.html", replace(content, refined=make_refined(["embed", "L0"])).page()).read_text(
        "utf-8"
    )
    assert 'id="data-component-curves"' in html
    assert 'id="data-component-map"' not in html


@pytest.mark.slow
def test_the_page_shows_all_panels_before_behaviour_and_leaves_out_those_without_data(
    parts: Content, tmp_path: Path
) -> None:
    shown = sections(parts, tmp_path)
    first = shown.index("refined") + 1
    assert shown[first : first + 3] == [*PANELS, "behaviour"]
    lesser = {
        ("components", "signatures"): replace(parts, refined=None),
        ("signatures",): replace(parts, signatures=None),
    }
    for gone, content in lesser.items():
        left = [panel for panel in PANELS if panel not in gone]
        assert [panel for panel in sections(content, tmp_path) if panel in PANELS] == left


def test_names_from_the_data_are_no_markup(parts: Content, tmp_path: Path) -> None:
    renamed = [HOSTILE if part == "embed" else part for part in PARTS]
    refined = make_refined().assign_coords(component=renamed, dataset=[HOSTILE, f"{HOSTILE} a", f"{HOSTILE} b"])
    signatures = make_signatures().assign(label=("member", [HOSTILE] * 32))
    hostile = replace(parts, refined=refined, signatures=signatures)
    assert "<img" not in write_page(tmp_path / "report.html", hostile.page()).read_text(encoding="utf-8")
    figures = [
        fig_component_map(refined, 5600),
        fig_component_curves(refined, signatures),
    ]
    for figure in figures:
        assert "<img" not in figure.to_json().replace("\\u003c", "<")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_every_panel(
    width: int, parts: Content, in_browser: Callable[[Path, int], str], tmp_path: Path
) -> None:
    dom = in_browser(write_page(tmp_path / "report.html", parts.page()), width)
    assert "data-errors" not in dom.partition("<body>")[0]
    assert 'data-drawn="9"' in dom
