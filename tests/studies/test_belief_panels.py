"""Panels on beliefs: the simplex, R² beside its rivals, loss against the optimum, the mixed states, the tables."""

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

from ontogeny.reports import Page, insert_after, trajectory_panels, write_page
from ontogeny.studies.belief_states.belief_figures import (
    fig_belief_lengths,
    fig_belief_r2,
    fig_context_loss,
    fig_rivals,
)
from ontogeny.studies.belief_states.belief_pictures import belief_colors, fig_simplex, site_colors
from ontogeny.studies.belief_states.belief_tables import (
    distance_rows,
    excess_sentence,
    linear_in_law,
    regression_table,
    steering_sentences,
)
from ontogeny.studies.belief_states.panels import belief_panels
from ontogeny.studies.belief_states.presentation_graph import MAX_NODES, drawn_levels, fig_presentation

SITES, AGAINST = ["embedding", "layer 0", "all sites"], ["beliefs", "next-token laws"]
PREDICTORS = ["activations", "untrained", "random_projection", "next_token_law", "last_1", "last_2", "last_3"]
PANELS = ["beliefs", "rivals", "context-loss", "presentation"]
HOSTILE = "<img src=x onerror=alert(2)>"
OPTIMUM = np.array([0.95, 0.85, 0.80])


def mess3_beliefs(length: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Words of up to `length` symbols, their beliefs and probabilities."""
    x, a, emitted = 0.05, 0.85, np.full((3, 3), 0.075) + np.eye(3) * 0.775
    assert emitted[0, 0] == pytest.approx(a)
    moves = np.full((3, 3), x) + np.eye(3) * (1 - 3 * x)
    words, beliefs, chances = [], [], []
    for count in range(1, length + 1):
        for word in product(range(3), repeat=count):
            joint = np.full(3, 1 / 3)
            for token in word:
                joint = (joint @ moves) * emitted[:, token]
            words.append("".join(map(str, word)))
            beliefs.append(joint / joint.sum())
            chances.append(joint.sum())
    return words, np.array(beliefs), np.array(chances)


def make_picture(states: int = 3, site: str = "layer 0") -> xr.Dataset:
    words, beliefs, chances = mess3_beliefs(4)
    beliefs = np.pad(beliefs, ((0, 0), (0, states - 3)))
    mean = chances @ beliefs / chances.sum()
    plane = np.linalg.svd(beliefs - mean, full_matrices=False)[2][:2].T
    true = (beliefs - mean) @ plane
    noise = np.random.default_rng(0).normal(0, 0.02, true.shape)
    return xr.Dataset(
        {
            "true": (("context", "axis"), true),
            "predicted": (("context", "axis"), true + noise),
            "belief": (("context", "state"), beliefs),
            "weight": ("context", chances / chances.sum()),
            "corner": (("state", "axis"), (np.eye(states) - mean) @ plane),
        },
        coords={"context": words},
        attrs={"site": site, "process": "mess3"},
    )


def make_regressions(linear: bool = True, sites: list[str] = SITES) -> xr.Dataset:
    activations = np.array([0.7, 0.97, 0.99])[:, None]
    rivals = np.tile([0.5, 0.95, 0.98], (3, 1))
    law = np.full((3, 1), 1.0 if linear else 0.4)
    r2 = np.concatenate([activations, activations - 0.1, activations - 0.2, law, rivals], axis=1)
    hidden = np.full_like(r2, np.nan) if linear else r2 - 0.1
    table = np.stack([r2, r2, hidden], axis=-1)
    return xr.Dataset(
        {
            "r2": (("site", "predictor", "target"), table),
            "in_sample_r2": (("site", "predictor", "target"), table),
            "columns": (("site", "predictor"), np.full(r2.shape, 64)),
            "num_contexts": ("site", [1092] * 3),
            "p_value": ("site", [0.005] * 3),
            "overtaken_by": ("site", [2, 3, np.nan]),
            "too_many_columns": ("site", [False] * 3),
            "unweighted_r2": ("site", activations[:, 0]),
            "shuffled_mean": ("site", [-0.01, -0.02, -0.01]),
            "r2_by_length": (("site", "length"), np.tile([np.nan, 0.9, 0.95], (3, 1))),
            "distance_r2": (("site", "against"), np.tile([0.9, 0.4], (3, 1))),
            "untrained_distance_r2": (("site", "against"), np.tile([0.3, 0.5], (3, 1))),
            "final_loss_by_length": ("length", OPTIMUM + 0.003),
        },
        coords={
            **{"site": sites, "predictor": PREDICTORS, "length": [1, 2, 3], "against": AGAINST},
            "target": ["belief", "next_token_law", "hidden"],
        },
        attrs={"steered": 0.87, "steered_at_random": -0.03, "steered_pairs": 512},
    )


def make_presentation(levels: int = 3, complete: bool = True) -> xr.Dataset:
    """A binary tree whose leaves fall back on the first of them."""
    count = 2**levels - 1
    source = np.repeat(np.arange(count), 2)
    target = 2 * source + np.tile([1, 2], count)
    target = np.where(target < count, target, 2 ** (levels - 1) - 1)
    belief = np.random.default_rng(0).dirichlet([1, 1, 1], count)
    found = xr.Dataset(
        {
            "source": ("edge", source),
            "target": ("edge", target),
            "token": ("edge", np.tile([0, 1], count)),
            "probability": ("edge", np.tile([0.2, 0.8], count)),
            "depth": ("node", np.floor(np.log2(np.arange(count) + 1)).astype(int)),
            "recurrent": ("node", (np.arange(count) == 2 ** (levels - 1) - 1) & complete),
            "belief": (("node", "state"), belief),
        },
        attrs={"complete": int(complete), "process": "tree"},
    )
    return found.assign(transient_modulus=("mode", np.linspace(0.8, 0, count - 1))) if complete else found


def make_trajectory() -> xr.Dataset:
    steps = np.array([0, 1, 10, 100, 1000])
    learnt = np.linspace(0, 1, 5)
    return xr.Dataset(
        {
            "loss": (("step", "dataset"), 1.1 - 0.3 * learnt[:, None]),
            "loss_by_length": (("step", "length"), OPTIMUM + 0.4 * (1 - learnt[:, None])),
            "optimal_loss": ("length", OPTIMUM),
            "belief_r2": (("step", "site"), np.outer(learnt, [0.7, 0.97, 0.99])),
            "belief_distance_r2": (("step", "site", "against"), np.full((5, 3, 2), 0.5)),
        },
        coords={"step": steps, "length": [1, 2, 3], "site": SITES, "against": AGAINST, "dataset": [""]},
    )


def make_page(trajectory: xr.Dataset, **made: Any) -> Page:
    panels = insert_after(trajectory_panels(trajectory), "stages", belief_panels(trajectory, **made))
    return Page("Beliefs", panels=panels)


@pytest.fixture
def full() -> dict[str, Any]:
    return {
        "trajectory": make_trajectory(),
        "beliefs": {"transformer": make_regressions(), "LSTM": make_regressions()},
        "picture": make_picture(),
        "presentation": make_presentation(),
    }


def written(folder: Path, full: dict[str, Any], **changes: Any) -> str:
    return write_page(folder / "report.html", make_page(**(full | changes))).read_text(encoding="utf-8")


def sections(folder: Path, full: dict[str, Any], **changes: Any) -> list[str]:
    return re.findall(r'<section id="([^"]+)">', written(folder, full, **changes))


def texts(figure: go.Figure) -> str:
    return " ".join(annotation.text for annotation in figure.layout.annotations)


def test_the_simplex_shows_both_places_in_one_range_and_one_colour() -> None:
    figure = fig_simplex(make_picture())
    true, predicted = (trace for trace in figure.data if trace.mode == "markers")
    assert len(true.x) == len(predicted.x) == 3 + 9 + 27 + 81
    assert list(true.marker.color) == list(predicted.marker.color)
    assert figure.layout.xaxis.range == figure.layout.xaxis2.range
    assert "layer 0, held out" in texts(figure)
    assert true.marker.size.max() == 13
    assert "belief (" in true.customdata[0]


def test_the_corners_of_three_states_stand_upright_around_all_beliefs() -> None:
    figure = fig_simplex(make_picture())
    outline = next(trace for trace in figure.data if trace.mode == "lines")
    x, y = np.array(outline.x), np.array(outline.y)
    assert np.allclose(np.hypot(np.diff(x), np.diff(y)), np.sqrt(2))
    assert y[2] > y[0] == pytest.approx(y[1])
    assert x[0] < x[2] < x[1]
    points = next(trace for trace in figure.data if trace.mode == "markers")
    assert min(points.y) > y[0]


def test_more_states_are_coloured_by_the_likeliest_without_an_outline() -> None:
    figure = fig_simplex(make_picture(states=5))
    assert {trace.mode for trace in figure.data} == {"markers"}
    assert "state 4" in figure.layout.xaxis.title.text
    assert len(set(belief_colors(np.eye(5)))) == 5


@pytest.mark.parametrize("states", [2, 3, 4, 9])
def test_colours_are_colours_whatever_the_belief(states: int) -> None:
    beliefs = np.concatenate([np.eye(states), np.zeros((1, states)), -np.eye(states), np.full((1, states), 1 / states)])
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in belief_colors(beliefs))


def test_sites_keep_the_order_of_the_network_and_all_of_them_stand_apart() -> None:
    colors = site_colors(SITES)
    assert list(colors) == SITES
    assert len(set(colors.values())) == 3
    assert site_colors(["only"])["only"] == colors["embedding"]


def test_r2_along_training_has_a_panel_for_each_kind_of_distance() -> None:
    trajectory = make_trajectory()
    assert "distances between next-token laws" in texts(fig_belief_r2(trajectory))
    alone = fig_belief_r2(trajectory.drop_vars("belief_distance_r2"))
    assert [trace.name for trace in alone.data] == SITES
    assert np.allclose(alone.data[1].y, trajectory.belief_r2.sel(site="layer 0"))


def test_excess_loss_is_on_a_logarithmic_axis_and_read_in_nats() -> None:
    figure = fig_context_loss(make_trajectory())
    mean = next(trace for trace in figure.data if trace.name == "mean")
    assert np.allclose(mean.customdata[:4], [0.4, 0.3, 0.2, 0.1])
    assert np.allclose(mean.y[:4], np.log10([0.4, 0.3, 0.2, 0.1]))
    assert np.isfinite(mean.y[4])
    assert "optimum" in texts(figure)


def test_rivals_have_one_row_each_and_say_what_is_the_same_everywhere() -> None:
    figure = fig_rivals(make_regressions())
    rows = list(figure.layout.yaxis.ticktext)
    assert rows[:5] == ["activations", "untrained network", "random projection", "shuffled beliefs", "next-token law"]
    assert rows[-1] == "last 3 tokens"
    everywhere = next(trace for trace in figure.data if trace.name == "every site")
    assert [row for row, _ in everywhere.customdata] == rows[4:]
    assert everywhere.x[0] == pytest.approx(4)  # an R² of 1 stands at the end of the axis
    assert "cannot see" not in texts(figure)
    assert "cannot see" in texts(fig_rivals(make_regressions(linear=False)))


def test_r2_by_length_has_a_panel_for_each_network() -> None:
    figure = fig_belief_lengths({"transformer": make_regressions(), "LSTM": make_regressions()})
    assert "transformer" in texts(figure)
    assert "LSTM" in texts(figure)


def test_mixed_states_are_filled_where_recurrent_and_every_edge_is_drawn() -> None:
    figure = fig_presentation(make_presentation())
    nodes = next(trace for trace in figure.data if trace.name == "mixed states")
    assert list(nodes.marker.symbol).count("circle") == 1
    assert sorted(set(nodes.y)) == [-2, -1, 0]
    edges = [trace for trace in figure.data if str(trace.name).startswith("symbol")]
    assert sum(int(np.isnan(np.array(trace.x)).sum()) for trace in edges) == 14
    assert {trace.opacity for trace in edges} == {0.3, 1.0}
    assert all(np.isfinite(np.array(trace.marker.size)).all() for trace in edges)
    assert "7, of which 1 recurrent" in texts(figure)


def test_only_the_first_levels_of_a_large_presentation_are_drawn_and_it_says_so() -> None:
    large = make_presentation(levels=9)
    assert large.sizes["node"] > MAX_NODES
    assert drawn_levels(large) == 7
    assert "the first 7 levels" in texts(fig_presentation(large))
    assert "the first 3 levels" in texts(fig_presentation(make_presentation(complete=False)))


def test_the_table_names_every_control_and_the_rival_that_overtakes() -> None:
    columns, rows = regression_table({"transformer": make_regressions()})
    assert [column.title for column in columns.values()][2:8] == [
        "R²",
        "Untrained",
        "Projection",
        "Law",
        "Last 2",
        "Last 3",
    ]
    assert [row["overtaken"] for row in rows] == ["last 2 tokens", "last 3 tokens", "none of 3"]
    assert rows[0]["columns"] == "64 for 1,092"
    assert rows[0]["shuffled"] == "−0.0100"
    crowded = make_regressions().assign(too_many_columns=("site", [True, False, False]))
    columns, rows = regression_table({"transformer": crowded})
    assert list(columns)[-1] == "remarks"
    assert "any target" in rows[0]["remarks"]


def test_sentences_say_what_was_steered_and_where_each_network_ended() -> None:
    beliefs = {"transformer": make_regressions()}
    assert "87 %" in steering_sentences(beliefs)[0]
    assert "−3 %" in steering_sentences(beliefs)[0]
    assert excess_sentence(beliefs, make_trajectory()).endswith("the transformer 0.0030.")
    assert distance_rows(beliefs)[0]["untrained next-token laws"] == "0.5000"
    assert linear_in_law(beliefs)
    assert not linear_in_law({"transformer": make_regressions(linear=False)})


def test_the_page_shows_all_panels_and_each_without_data_is_left_out(full: dict[str, Any], tmp_path: Path) -> None:
    assert sections(tmp_path, full) == ["loss-llc", *PANELS]
    trajectory = full["trajectory"]
    lesser: dict[str, dict[str, Any]] = {
        "beliefs": {"picture": None, "trajectory": trajectory.drop_vars("belief_r2")},
        "rivals": {"beliefs": {}},
        "context-loss": {"trajectory": trajectory.drop_vars("optimal_loss")},
        "presentation": {"presentation": None},
    }
    for gone, changes in lesser.items():
        assert sections(tmp_path, full, **changes) == ["loss-llc", *(panel for panel in PANELS if panel != gone)]
    short = {"trajectory": trajectory.drop_vars(["belief_r2", "optimal_loss"])}
    assert sections(tmp_path, short) == ["loss-llc"]


def test_the_page_says_when_the_law_alone_explains_the_beliefs(full: dict[str, Any], tmp_path: Path) -> None:
    sentence = "a linear map of the next-token law"
    assert sentence in written(tmp_path, full)
    assert sentence not in written(tmp_path, full, beliefs={"transformer": make_regressions(linear=False)})


def test_hostile_names_stay_text(full: dict[str, Any], tmp_path: Path) -> None:
    picture = make_picture(site=HOSTILE).assign_coords(context=[HOSTILE] * 120)
    sites = [HOSTILE, "layer 0", "all sites"]
    beliefs = {HOSTILE: make_regressions(sites=sites)}
    hostile = {
        "trajectory": full["trajectory"].assign_coords(site=sites),
        "beliefs": beliefs,
        "picture": picture,
        "presentation": make_presentation().assign_attrs(process=HOSTILE),
    }
    assert "<img" not in written(tmp_path, hostile)
    for figure in (fig_simplex(picture), fig_rivals(beliefs[HOSTILE]), fig_belief_lengths(beliefs)):
        assert "<img" not in figure.to_json().replace("\\u003c", "<")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_every_panel(
    width: int, full: dict[str, Any], in_browser: Callable[[Path, int], str], tmp_path: Path
) -> None:
    dom = in_browser(write_page(tmp_path / "report.html", make_page(**full)), width)
    assert "data-errors" not in dom.partition("<body>")[0]
    assert 'data-drawn="7"' in dom
