"""Numbers are written with the digits they deserve, and the verdict says what the data say."""

import math

import pytest
import xarray as xr

from ontogeny.reports.headlines import summary, verdict
from ontogeny.reports.wording import listed, measured, number, p_value, probability, shorten, visible, with_error


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (18.04, "18.0"),
        (-0.31, "−0.310"),
        (24576.0, "24,576"),
        (0, "0"),
        (None, "–"),
        (math.nan, "–"),
        (2e-5, "2.00e-5"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (0.4124, [0.371, 0.4532], "0.412 [0.371, 0.453]"),
        (27.12, [25.2, 29.3], "27.1 [25.2, 29.3]"),
        (-0.4, [-1.6, 0.9], "−0.4 [−1.6, 0.9]"),
        (3.0, None, "3.00"),
        (None, None, "–"),
        (1.0, [math.nan, 2.0], "1.00"),
        (9.5e-10, [9e-10, 1e-9], "9.5e-10 [9.0e-10, 1.0e-9]"),
    ],
)
def test_intervals_set_the_digits(value: float | None, interval: list[float] | None, text: str) -> None:
    assert measured(value, interval) == text


@pytest.mark.parametrize(("p", "text"), [(0.0002, "< 0.001"), (0.012, "0.012"), (0.62, "0.62"), (None, "–")])
def test_p_values(p: float | None, text: str) -> None:
    assert p_value(p) == text


@pytest.mark.parametrize(("p", "text"), [(0.998, "> 99 %"), (0.93, "93 %"), (1.0, "100 %"), (0.001, "< 1 %")])
def test_a_probability_is_never_rounded_to_certainty(p: float, text: str) -> None:
    assert probability(p) == text


def test_lists_and_short_names() -> None:
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([]) == ""
    assert shorten("previous", 5) == "prev…"


def test_the_summary_says_what_moved(trajectory: xr.Dataset) -> None:
    text = summary(trajectory)
    assert text.startswith("Between step 0 and step 6,000, the loss fell from 6.0")
    assert "the learning coefficient rose from" in text
    assert summary(trajectory[["repeated_gain"]]) == "58 checkpoints."


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.000662, 0.00231, "0.0007 ± 0.0023"),
        (-0.02, 0.0098, "−0.0200 ± 0.0098"),
        (1234.5, 31.0, "1,234 ± 31"),
        (1.5e-9, 2.25e-10, "1.50e-9 ± 2.2e-10"),
        (4.0, math.nan, "4.00"),
        (math.nan, 1.0, "– ± 1.0"),
    ],
)
def test_a_value_has_the_digits_of_its_error(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


def test_white_space_of_a_token_can_be_seen() -> None:
    assert visible(" a\tb\n") == "·a⇥b⏎"


def test_the_verdict_counts_what_failed(trajectory: xr.Dataset, stages: xr.Dataset) -> None:
    claims = [{"status": "held"}, {"status": "held"}, {"status": "not held"}, {"status": "not tested"}]
    estimates, found, tested = verdict(trajectory, stages, claims)
    assert (estimates.grade, estimates.figure) == ("good", "171 of 174")
    assert "1 diverged" in estimates.text
    assert found.figure == "4 stages"
    assert "9, 251 and 1,510" in found.text
    assert (tested.grade, tested.figure) == ("caution", "2 of 3")
    assert "1 did not and 1 more was not tested" in tested.text


def test_estimates_that_mostly_failed_are_called_poor(trajectory: xr.Dataset) -> None:
    trajectory["llc_outcome"][:30] = "not_converged"
    assert verdict(trajectory, None, ())[0].grade == "poor"


def test_no_boundary_is_said(stages: xr.Dataset, trajectory: xr.Dataset) -> None:
    single = stages.isel(boundary=slice(0, 0), stage=slice(0, 1))
    assert verdict(trajectory[["loss"]], single, ())[0].text == "No boundary is distinguishable from noise."


def test_nothing_is_claimed_of_what_is_not_there(trajectory: xr.Dataset) -> None:
    assert verdict(trajectory[["loss"]], None, ()) == []
    unjudged = verdict(trajectory[["llc"]], None, ())[0]
    assert unjudged.grade == "caution"
