"""The panels of the language study alone: attention on a snippet, heads on other data, heads beside a simpler model."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from tests.made_up_parts import HEADS, PARTS, STEPS, doubted, make_refined, make_signatures
from tests.made_up_run import make_snippet

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports import Page, Panel, write_page
from ontogeny.reports.component_groups import component_colors
from ontogeny.studies.language.data_refinement import dataset_pairs, fig_data_refinement
from ontogeny.studies.language.panels import data_panel, relative_panel, snippet_panel
from ontogeny.studies.language.relative_curves import fig_relative_llc

HOSTILE = "<img src=x onerror=alert(2)>"


@pytest.fixture
def refined() -> xr.Dataset:
    return make_refined()


@pytest.fixture
def signed() -> xr.Dataset:
    return make_signatures()


@pytest.fixture
def panels(refined: xr.Dataset, signed: xr.Dataset) -> list[Panel]:
    relative = doubted(make_refined(HEADS, ["mixed"], seed=3), "L1H1", 3200, "not_a_minimum")
    return [data_panel(refined, signed), relative_panel(relative), snippet_panel(make_snippet())]


def named(figure: go.Figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


def texts(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


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


def test_what_shows_one_run_refuses_several_and_its_advice_works(refined: xr.Dataset) -> None:
    joined = xr.concat([refined, refined], "seed")
    draws: list[Callable[[xr.Dataset], go.Figure]] = [
        fig_relative_llc,
        lambda refined: fig_data_refinement(refined, "code", "prose"),
    ]
    for draw in draws:
        with pytest.raises(InvalidArgument, match=r"along the dimension `seed`.*\.isel\(seed=0\)"):
            draw(joined)
        assert draw(joined.isel(seed=0)).data


def test_drawing_changes_nothing(refined: xr.Dataset) -> None:
    before = refined.copy(deep=True)
    fig_relative_llc(refined)
    fig_data_refinement(refined, "code", "prose")
    xr.testing.assert_identical(refined, before)


def test_a_panel_without_data_has_no_blocks(refined: xr.Dataset) -> None:
    assert data_panel(refined.isel(dataset=[0, 1])).blocks == []
    assert data_panel(refined).blocks
    assert relative_panel(refined.isel(step=[])).blocks == []


def test_the_page_shows_what_did_not_converge_and_links_every_panel(panels: list[Panel], tmp_path: Path) -> None:
    html = write_page(tmp_path / "page.html", Page("Language", panels=panels)).read_text(encoding="utf-8")
    assert re.findall(r'<section id="([^"]+)">', html) == ["data-refinement", "relative", "attention"]
    assert "191 of 192 estimates converged; 1 not a minimum." in html


def test_names_from_the_data_are_no_markup(tmp_path: Path) -> None:
    renamed = [HOSTILE if part == "embed" else part for part in PARTS]
    refined = make_refined().assign_coords(component=renamed, dataset=[HOSTILE, f"{HOSTILE} a", f"{HOSTILE} b"])
    signatures = make_signatures().assign(label=("member", [HOSTILE] * 32))
    page = Page(HOSTILE, panels=[data_panel(refined, signatures), relative_panel(refined)])
    assert "<img" not in write_page(tmp_path / "report.html", page).read_text(encoding="utf-8")
    figure = fig_data_refinement(refined, f"{HOSTILE} a", f"{HOSTILE} b", signatures)
    assert "<img" not in figure.to_json().replace("\\u003c", "<")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_every_panel(
    width: int, panels: list[Panel], in_browser: Callable[[Path, int], str], tmp_path: Path
) -> None:
    dom = in_browser(write_page(tmp_path / "report.html", Page("Language", panels=panels)), width)
    assert "data-errors" not in dom.partition("<body>")[0]
    assert dom.count('data-drawn="true"') == 3
