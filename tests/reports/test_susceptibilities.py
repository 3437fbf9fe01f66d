"""Panels on susceptibilities: of parts of a network to datasets, and to single tokens."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from tests.made_up_run import Content

from ontogeny.reports import fig_susceptibility, fig_token_susceptibility, write_page
from ontogeny.reports.susceptibility_map import row_scaled
from ontogeny.reports.token_plane import has_plane, standardised_tokens, token_in_context

HEADS = [f"L{layer}H{head}" for layer in range(2) for head in range(4)]
PARTS = ["embed", *reversed(HEADS), "L0"]
DATASETS = ["code", "prose", "wikipedia", "arithmetic", "repeated tokens"]
HOSTILE = "<img src=x onerror=alert(2)>"
CODE = "def find(text, word):\n    for part in text.split():\n        if part == word:\n            return part\n"
PROSE = "The first of these questions is the easiest, and it is the one that nobody asked when the house was built. "


def kind_of(part: str) -> int:
    """Parts of three kinds, which answer to different data."""
    return {"L0H3": 0, "L0H1": 0, "L1H2": 1, "L1H3": 1}.get(part, 2)


def make_susceptibility(datasets: Sequence[str] = DATASETS) -> xr.Dataset:
    rng = np.random.default_rng(1)
    values = np.array([[1.0, -1, 0.4, 0.2, 0.1], [0.3, 0.2, -0.2, 0.9, -1.4], [0.5, -0.6, 0.2, 0.1, -0.2]])
    kinds = np.array([kind_of(part) for part in PARTS])
    scale = 10.0 ** rng.uniform(-3, -1, len(PARTS))[:, None]
    table = scale * (values[kinds][:, : len(datasets)] + rng.normal(0, 0.15, (len(PARTS), len(datasets))))
    error = scale * rng.uniform(0.03, 0.12, table.shape)
    return xr.Dataset(
        {
            "susceptibility": (("component", "perturbation"), table),
            "mcse": (("component", "perturbation"), error),
            "susceptibility_noise": (("component", "perturbation"), scale * rng.normal(0, 0.05, table.shape)),
        },
        coords={"component": PARTS, "perturbation": list(datasets)},
    )


def make_tokens(count: int = 600) -> xr.Dataset:
    rng = np.random.default_rng(2)
    texts, contexts, datasets = [], [], []
    for k in range(count):
        name, source = (("code", CODE), ("prose", PROSE), ("repeated tokens", "fish tax sun "))[k % 3]
        words, at = re.findall(r"\s*\S+|\s+", source * 4), int(rng.integers(4, 12))
        texts.append(words[at])
        contexts.append("".join(words[max(at - 14, 0) : at]))
        datasets.append(name)
    kinds = np.array([kind_of(part) for part in PARTS])[:, None]
    group = np.arange(count)[None, :] % 3
    shared, table = rng.normal(0, 1, count), rng.normal(0, 0.7, (len(PARTS), count))
    table += shared + 1.4 * (kinds == group) - 0.8 * (kinds == 1) * (group == 2)
    table *= 10.0 ** rng.uniform(-4, -1, (len(PARTS), 1))
    return xr.Dataset(
        {"token_susceptibility": (("component", "token"), table)},
        coords={
            **{"component": PARTS, "token_text": ("token", texts), "context": ("token", contexts)},
            "token_dataset": ("token", datasets),
        },
    )


def texts(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def test_rows_of_susceptibilities_are_standardised_and_of_two_datasets_scaled() -> None:
    rng = np.random.default_rng(0)
    table = row_scaled(rng.normal(3, 5, (4, 5)) * 10.0 ** np.arange(4)[:, None])
    assert np.allclose(table.mean(1), 0)
    assert np.allclose(table.std(1), 1)
    assert row_scaled(np.array([[2.0, -8.0], [0.0, 0.0]])).tolist() == [[0.25, -1.0], [0.0, 0.0]]
    holed = row_scaled(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]]))
    assert holed[0, [0, 2]].tolist() == [-1, 1]
    assert np.isnan(holed[1]).all()


def test_the_map_of_susceptibilities_says_values_errors_and_controls() -> None:
    table = make_susceptibility()
    table.susceptibility.loc[{"component": "L0H1", "perturbation": "prose"}] = -0.02
    table.mcse.loc[{"component": "L0H1", "perturbation": "prose"}] = 0.005
    table.susceptibility_noise.loc[{"component": "L0H1", "perturbation": "prose"}] = -0.018
    figure = fig_susceptibility(table)
    cells, alike = figure.data
    assert list(figure.layout.yaxis.ticktext) == [*HEADS, "embed", "L0"]
    assert list(figure.layout.xaxis.ticktext) == list(table.perturbation.values)
    assert np.allclose(cells.z[1], row_scaled(table.susceptibility.sel(component=["L0H1"]).values)[0])
    assert cells.zmax == -cells.zmin == np.abs(cells.z).max()
    told = cells.customdata[1][1]
    assert told.startswith("<b>L0H1</b>, prose<br>χ = −0.0200 ± 0.0098, drawn as ")
    assert told.endswith("weights alone −0.018")
    assert (1, 1) in set(zip(alike.x, alike.y, strict=True))
    assert "standardised" in texts(figure)[0]


def test_susceptibilities_without_errors_or_control_are_drawn_all_the_same() -> None:
    figure = fig_susceptibility(make_susceptibility(("code", "prose"))[["susceptibility"]])
    cells, alike = figure.data
    assert np.allclose(np.abs(cells.z).max(axis=1), 1)
    assert len(alike.x) == 0
    assert "weights alone" not in cells.customdata[0][0]
    assert "by row" in texts(figure)[0]
    many = make_susceptibility().isel(perturbation=[0, 1, 2] * 6)
    many = many.assign_coords(perturbation=[f"a dataset {k}" for k in range(18)])
    assert fig_susceptibility(many).layout.xaxis.tickangle == 40


def test_tokens_stand_at_their_principal_components_by_dataset() -> None:
    table = make_tokens()
    figure = fig_token_susceptibility(table)
    _, columns = standardised_tokens(table)
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    shares = sizes**2 / (sizes**2).sum()
    places = np.concatenate([np.stack([trace.x, trace.y], 1) for trace in figure.data])
    order = np.concatenate([np.flatnonzero(table.token_dataset.values == trace.name) for trace in figure.data])
    assert np.allclose(np.abs(places), np.abs(left[order, :2] * sizes[:2]))
    assert figure.layout.xaxis.title.text == f"PC1 ({100 * shares[0]:.0f} %)"
    assert figure.layout.yaxis.title.text == f"PC2 ({100 * shares[1]:.0f} %)"
    assert [trace.name for trace in figure.data] == ["code", "prose", "repeated tokens"]
    assert len({trace.marker.color for trace in figure.data}) == 3
    first = (str(table[name].values[0]) for name in ("token_text", "context"))
    assert figure.data[0].customdata[0] == token_in_context(*first)


def test_tokens_without_a_value_are_left_out_and_of_many_some_are_drawn() -> None:
    table = make_tokens(60)
    table.token_susceptibility[0, 5] = np.nan
    table.token_susceptibility[1] = np.nan
    table.token_susceptibility[2] = 0.3
    kept, columns = standardised_tokens(table)
    assert 5 not in kept
    assert columns.shape == (59, len(PARTS) - 2)
    assert sum(len(trace.x) for trace in fig_token_susceptibility(table).data) == 59
    many = fig_token_susceptibility(table.isel(token=np.arange(6000) % 60))
    assert sum(len(trace.x) for trace in many.data) == 5000
    assert texts(many)[0] == "<b>5,900 tokens, 5,000 of them drawn</b>"
    assert not has_plane(table.isel(token=[0, 1]))
    assert not has_plane(table.isel(component=[0]))
    assert not has_plane(make_susceptibility())


def test_a_token_is_bold_after_its_context_and_can_be_seen() -> None:
    assert token_in_context(" the", "asked when\n\tit was") == "asked when⏎ ⇥ it was <b>·the</b>"
    assert token_in_context("\n", "") == " <b>⏎</b>"
    long = token_in_context("x" * 99, "word " * 40)
    assert long.startswith("…")
    assert max(len(re.sub("<[^>]+>", "", line)) for line in long.split("<br>")) <= 38 + 1 + 30
    assert "<i>" not in token_in_context("<i>", "<i>" * 9)


@pytest.mark.slow
def test_the_page_shows_both_panels_and_leaves_out_those_without_data(content: Content, tmp_path: Path) -> None:
    given = {
        ("susceptibility", "tokens"): xr.merge([make_susceptibility(), make_tokens()]),
        ("susceptibility",): make_susceptibility(("code", "prose")),
        ("tokens",): make_tokens(),
        (): make_tokens(2),
    }
    for shown, answers in given.items():
        path = write_page(tmp_path / "report.html", replace(content, susceptibility=answers).page())
        sections = re.findall(r'<section id="([^"]+)">', path.read_text(encoding="utf-8"))
        assert sections[sections.index("refined") + 1 : sections.index("behaviour")] == list(shown)


def test_names_and_tokens_from_the_data_are_no_markup(content: Content, tmp_path: Path) -> None:
    renamed = [HOSTILE if part == "embed" else part for part in PARTS]
    along = {name: ("token", [HOSTILE] * 30) for name in ("token_text", "context", "token_dataset")}
    tokens = make_tokens(30).assign_coords(along).assign_coords(component=renamed)
    answers = make_susceptibility().assign_coords(component=renamed, perturbation=[f"{HOSTILE} {k}" for k in range(5)])
    hostile = replace(content, susceptibility=xr.merge([answers, tokens]))
    assert "<img" not in write_page(tmp_path / "report.html", hostile.page()).read_text(encoding="utf-8")
    for figure in (fig_susceptibility(answers), fig_token_susceptibility(tokens)):
        assert "<img" not in figure.to_json().replace("\\u003c", "<")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_both_panels(
    width: int, content: Content, in_browser: Callable[[Path, int], str], tmp_path: Path
) -> None:
    answers = xr.merge([make_susceptibility(), make_tokens()])
    dom = in_browser(write_page(tmp_path / "report.html", replace(content, susceptibility=answers).page()), width)
    assert "data-errors" not in dom.partition("<body>")[0]
    assert 'data-drawn="9"' in dom
