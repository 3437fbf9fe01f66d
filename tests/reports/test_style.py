"""The style is readable on light and dark pages and with colour-blind eyes, and its step axis is honest."""

from itertools import combinations

import numpy as np
import pytest

from ontogeny.reports.style import NEUTRAL, PALETTE, SEQUENCE, StepAxis, along_sequence, distinct_colors, step_text

LIGHT, DARK = "#ffffff", "#12151b"
# Simulation of full protanopia and deuteranopia in linear RGB: Machado, Oliveira and Fernandes 2009, table 1.
EYES = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}


def linear(color: str) -> np.ndarray:
    channel = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    dark, light = sorted(float(linear(color) @ [0.2126, 0.7152, 0.0722]) for color in (one, other))
    return (light + 0.05) / (dark + 0.05)


def seen(color: str, eye: str) -> np.ndarray:
    """Where a colour lies in CIE Lab for an eye."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(np.array(EYES[eye]) @ linear(color), 1e-4, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(one: str, other: str, eye: str) -> float:
    return float(np.linalg.norm(seen(one, eye) - seen(other, eye)))


@pytest.mark.parametrize("color", [*PALETTE, *SEQUENCE, NEUTRAL])
@pytest.mark.parametrize("page", [LIGHT, DARK])
def test_colours_stand_out_on_both_pages(color: str, page: str) -> None:
    assert contrast(color, page) >= 3.0


@pytest.mark.parametrize("eye", EYES)
def test_colours_differ_for_every_eye(eye: str) -> None:
    assert min(difference(one, other, eye) for one, other in combinations(PALETTE, 2)) > 20


def test_red_and_green_would_not_do_for_a_deuteranope() -> None:
    assert difference("#c44e52", "#7d8f2e", "normal") > 20
    assert difference("#c44e52", "#7d8f2e", "deuteranope") < 20


def test_the_sequence_runs_from_its_first_colour_to_its_last() -> None:
    assert (along_sequence(0), along_sequence(1)) == (SEQUENCE[0], SEQUENCE[-1])


def test_step_zero_stands_left_of_step_one_under_its_own_tick() -> None:
    axis = StepAxis.of(np.array([0, 1, 10, 6000]))
    zero, one = axis.place(np.array([0, 1]))
    layout = axis.layout()
    assert zero < one
    assert f"{zero:.0f}" == "0"  # what the hover text shows
    assert layout["type"] == "log"
    assert dict(zip(layout["tickvals"], layout["ticktext"], strict=True))[zero] == "0"
    assert layout["ticktext"] == ["0", "1", "10", "100", "1k"]


def test_step_zero_is_not_drawn_where_the_gap_would_lie() -> None:
    axis = StepAxis.of(np.array([0, 1000, 2000, 9000]))
    assert np.isnan(axis.place(np.array([0]))[0])
    assert "0" not in axis.layout()["ticktext"]
    assert axis.within(np.array([0]))[0] == axis.left < 1000


@pytest.mark.parametrize("steps", [[5], [0], [1, 2], [300, 400, 500], [0, 1, 2, 10**7]])
def test_every_axis_has_ticks_inside_its_range(steps: list[int]) -> None:
    axis = StepAxis.of(np.array(steps))
    layout = axis.layout()
    assert layout["tickvals"]
    assert all(axis.left <= tick <= axis.right for tick in layout["tickvals"])
    assert layout["range"][0] < layout["range"][1]


def test_fractions_are_even_in_the_logarithm() -> None:
    steps = np.array([1, 10, 100, 1000])
    fractions = StepAxis.of(steps).fraction(steps)
    assert np.allclose(np.diff(fractions), np.diff(fractions)[0])


@pytest.mark.parametrize(("step", "text"), [(0, "0"), (250, "250"), (1000, "1k"), (1570, "1.57k"), (3e6, "3M")])
def test_steps_in_few_characters(step: float, text: str) -> None:
    assert step_text(step) == text


@pytest.mark.parametrize("count", [0, 1, 5, 6, 16])
def test_several_things_have_as_many_colours(count: int) -> None:
    assert len(set(distinct_colors(count))) == count
