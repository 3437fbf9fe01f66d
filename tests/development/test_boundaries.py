"""Valleys of slopes that are written down, and boundaries in posteriors that are made up."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontogeny.development.boundaries import find_boundaries, valleys
from ontogeny.development.settings import StageConfig
from ontogeny.development.smoothing import SmoothCurve

GRID = np.linspace(0, 4, 401)
LOW = np.full(GRID.shape, 1e-3)


def bump(center, height=1.0, width=0.2):
    return height * np.exp(-((GRID - center) ** 2) / (2 * width**2))


def posterior(slope_samples):
    """A posterior of slopes alone, with a little noise so that its spread is nowhere zero."""
    samples = slope_samples + 1e-3 * np.random.default_rng(0).standard_normal(slope_samples.shape)
    mean, sd = samples.mean(axis=0), samples.std(axis=0)
    return SmoothCurve(GRID, mean, sd, mean, sd, samples, samples, length_scale=1.0, extra_noise=0.0)


def config(**changes):
    return StageConfig(num_samples=100, num_grid=401, **changes)


@pytest.mark.parametrize(
    ("slope", "center", "has_zero"),
    [
        (np.cos(np.pi * GRID / 4), 2.0, True),
        (1.5 - GRID, 1.5, True),
        (bump(1) + bump(3), 2.0, False),
        (bump(1) - bump(3), 2.0, True),
        (bump(1) + bump(3) - bump(2, 5e-4), 2.0, True),
        (np.where(np.abs(GRID - 1.7) < 0.8, 0.0, 1.0), 1.7, True),
        (0.3 + np.abs(GRID - 1.2), 1.2, False),
    ],
    ids=["cosine", "parabola", "two rises", "rise and fall", "dip just below zero", "flat stretch", "knee"],
)
def test_valley_lies_where_the_slope_dips(slope, center, has_zero):
    (valley,) = valleys(GRID, slope, LOW, prominence=0.5)
    assert valley.center == pytest.approx(center, abs=0.02)
    assert valley.has_zero == has_zero


@pytest.mark.parametrize(
    ("slope", "threshold"),
    [
        (bump(1) + bump(3) + 1.5, LOW),  # min 1.5 of peaks 2.5: not below half
        (bump(2), LOW),
        (np.zeros_like(GRID), LOW),
        (np.ones_like(GRID), LOW),
        (bump(1) + bump(3, height=0.1), np.full(GRID.shape, 0.2)),
        (bump(1) - bump(3, height=0.1), np.full(GRID.shape, 0.2)),
    ],
    ids=["shallow", "one rise", "zero", "constant", "second rise not significant", "fall not significant"],
)
def test_no_valley_without_a_deep_dip_between_significant_slopes(slope, threshold):
    assert valleys(GRID, slope, threshold, prominence=0.5) == []


@given(
    st.lists(st.floats(-1, 1).filter(lambda h: abs(h) > 0.05), min_size=2, max_size=7),
    st.sampled_from([0.3, 0.5, 0.8]),
)
def test_valleys_separate_peaks_as_the_definition_says(heights, prominence):
    centers = np.linspace(0.3, 3.7, len(heights))
    slope = np.sum([bump(center, height, 0.15) for center, height in zip(centers, heights, strict=True)], axis=0)
    found = valleys(GRID, slope, LOW, prominence)
    edges = np.concatenate([[0], np.searchsorted(GRID, [valley.center for valley in found]), [len(GRID)]])
    peaks = [np.abs(slope[a:b]).max() for a, b in pairwise(edges)]
    for i, valley in enumerate(found):
        assert abs(slope[np.abs(GRID - valley.center) < 0.4]).min() <= prominence * min(peaks[i], peaks[i + 1]) + 1e-9
    changes = np.flatnonzero(np.diff(np.sign(np.array(heights))))  # every change of direction is a boundary
    assert sum(valley.has_zero for valley in found) >= len(changes)
    for mirrored in (valleys(GRID, -slope, LOW, prominence), valleys(GRID, 7 * slope, 7 * LOW, prominence)):
        assert [valley.center for valley in mirrored] == pytest.approx([valley.center for valley in found])


def test_probability_is_the_share_of_samples_that_show_it():
    rises, one_rise = bump(1) + bump(3), bump(1) + bump(2, width=0.6) + bump(3)
    samples = np.concatenate([np.tile(rises, (85, 1)), np.tile(one_rise, (15, 1))])
    (boundary,) = find_boundaries(posterior(samples), config())
    assert boundary.probability == pytest.approx(0.85)
    assert find_boundaries(posterior(samples), config(min_probability=0.9)) == []


def test_interval_is_that_of_the_places_in_the_samples():
    samples = np.array([bump(1 + shift) + bump(3 + shift) for shift in np.linspace(-0.1, 0.1, 100)])
    (boundary,) = find_boundaries(posterior(samples), config())
    assert boundary.log_step == pytest.approx(2.0, abs=0.005)
    assert (boundary.low, boundary.high) == pytest.approx((1.905, 2.095), abs=0.005)


def test_samples_that_show_it_elsewhere_do_not_count():
    samples = np.array([1 - 0.9 * bump(2 + shift, width=0.15) for shift in np.repeat([0.0, 0.3], [70, 30])])
    for tolerance, probability in ((0.1, 0.7), (0.4, 1.0)):
        (boundary,) = find_boundaries(posterior(samples), config(min_probability=0, tolerance=tolerance))
        assert boundary.probability == pytest.approx(probability)


def test_kind_is_that_of_most_samples():
    knee, plateau = bump(1) + bump(3) + 0.1, bump(1) + bump(3) - 0.05
    for share, kind in ((30, "plateau"), (70, "knee")):
        samples = np.concatenate([np.tile(knee, (share, 1)), np.tile(plateau, (100 - share, 1))])
        (boundary,) = find_boundaries(posterior(samples), config())
        assert (boundary.kind, boundary.probability) == (kind, 1.0)


def test_ends_of_the_curve_are_not_cut():
    samples = np.tile(3.93 - GRID, (100, 1))
    assert find_boundaries(posterior(samples), config()) == []
    assert len(find_boundaries(posterior(samples), config(resolution=0.05))) == 1


def test_two_boundaries_close_together_do_not_share_a_witness():
    apart = bump(1.5) + bump(2.5)
    samples = np.concatenate([np.tile(apart + bump(2, width=0.1), (95, 1)), np.tile(apart, (5, 1))])
    found = find_boundaries(posterior(samples), config(tolerance=0.4))
    assert len(found) == 2
    assert sum(boundary.probability for boundary in found) == pytest.approx(1.95)
