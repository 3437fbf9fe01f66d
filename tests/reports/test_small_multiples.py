"""Panels do not overlap, names at curves' ends stay apart, and large figures are thinned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontogeny.reports.small_multiples import (
    Curve,
    add_key,
    around,
    axes,
    draw_curves,
    padded_range,
    small_multiples,
    spread,
    thinned,
)


def domains(layout: dict, count: int) -> list[tuple[float, float, float, float]]:
    boxes = []
    for i in range(count):
        suffix = i + 1 if i else ""
        (left, right), (bottom, top) = layout[f"xaxis{suffix}.domain"], layout[f"yaxis{suffix}.domain"]
        boxes.append((left, bottom, right, top))
    return boxes


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_panels_do_not_overlap_and_stand_in_one_column_when_narrow(count: int) -> None:
    figure = small_multiples([f"panel {i}" for i in range(count)])
    plain = {f"{key}.domain": figure.layout[key].domain for key in figure.layout if key.startswith(("xaxis", "yaxis"))}
    narrow = figure.layout.meta["narrow"]
    for boxes in (domains(plain, count), domains(narrow, count)):
        for i, one in enumerate(boxes):
            for other in boxes[:i]:
                assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    assert all(box[0] == 0 and box[2] == 1 for box in domains(narrow, count))
    assert narrow["height"] >= figure.layout.height


@given(st.lists(st.floats(-5, 5), max_size=8), st.floats(0.1, 1.0))
def test_names_are_apart_and_in_the_order_of_their_curves(values: list[float], gap: float) -> None:
    placed = spread(values, gap, -5, 5)
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(placed)[order]) >= gap - 1e-9).all()
    assert all(y <= 5 + 1e-9 for y in placed)


def test_names_that_do_not_collide_stay_where_they_are() -> None:
    assert spread([3.0, 1.0, 2.0], 0.5, 0, 4) == [3.0, 1.0, 2.0]


def test_a_curve_has_its_band_its_line_and_its_name() -> None:
    x, y = np.arange(1.0, 5.0), np.array([1.0, 2.0, np.nan, 3.0])
    figure = small_multiples(["one", "two"])
    draw_curves(figure, axes(1), [Curve("a name that is too long", x, y, "#2f86d8", around(y, np.ones(4)))])
    band, line = figure.data
    assert (band.xaxis, line.yaxis) == ("x2", "y2")
    assert band.fill == "toself"
    assert np.isfinite(band.y).all()
    assert band.y.max() == pytest.approx(4.96)
    name = figure.layout.annotations[-1]
    assert name.text == "a name that i…"
    assert name.y == 3.0
    assert line.name == "a name that is too long"


def test_a_key_stands_below_all_panels_in_a_taller_figure() -> None:
    figure, bare = small_multiples(["one", "two"]), small_multiples(["one", "two"])
    add_key(figure, {"<b>": "#2f86d8", "a name of some thirty characters": "#dc781e"})
    note = figure.layout.annotations[-1]
    assert note.text.count("<br>") == 1
    assert "&lt;b&gt;" in note.text
    grown = figure.layout.height - bare.layout.height
    assert grown == figure.layout.margin.b + note.yshift == 2 * 18
    assert figure.layout.meta["narrow"]["height"] == bare.layout.meta["narrow"]["height"] + grown


def test_one_point_is_drawn_as_a_marker() -> None:
    figure = small_multiples(["one"])
    draw_curves(figure, axes(0), [Curve("a", np.array([3.0]), np.array([1.0]), "#2f86d8")])
    assert figure.data[0].mode == "markers"


def test_thinning_keeps_the_ends_and_the_budget() -> None:
    kept = thinned(100_000, 8)
    assert (kept[0], kept[-1]) == (0, 99_999)
    assert len(kept) * 8 <= 5_000
    assert thinned(60, 8).tolist() == list(range(60))
    assert thinned(0, 1).size == 0


def test_a_range_without_finite_values_can_be_drawn() -> None:
    assert padded_range(np.array([np.nan])) == (0.0, 1.0)
    low, high = padded_range(np.array([2.0, 2.0]))
    assert low < 2.0 < high
