"""Placing the names of marks in a panel: on the side where they cover least, or pulled out of a crowd."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from ontogeny.reports.style import NEUTRAL, translucent
from ontogeny.reports.wording import plain

SIDES = {"top center": (0, 1), "bottom center": (0, -1), "middle right": (1, 0), "middle left": (-1, 0)}
LETTER, LINE = 6.2, 14  # width of a letter of a name in pixels, and its height
# Candidate positions of a name: directions from its mark, and distances in pixels.
ANGLES, RADII = np.arange(16) * np.pi / 8, (15, 24, 34, 46, 60, 76, 94, 114, 136)
WAYS = np.tile(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1), (len(RADII), 1))
DISTANCES = np.repeat(RADII, len(ANGLES))
LEADER = translucent(NEUTRAL, 0.6)  # the line from a name to its mark
# Costs of a name for overlapping another name, a mark or an error bar, for leaving the panel, for crossing another's
# line, and per hundred pixels of distance; and the reward for pointing away from the crowd.
ON_NAME, ON_MARK, ON_BAR, OUTSIDE, CROSSING, FAR, OUTWARDS = 10.0, 6.0, 2.0, 20.0, 3.0, 2.0, 0.6


class Frame(NamedTuple):
    """A panel's axes, as rows of lower and upper end, and its width and height in pixels."""

    limits: np.ndarray
    size: tuple[int, int]

    def pixels(self, at: np.ndarray) -> np.ndarray:
        """Convert points from the panel's coordinates to pixels from its lower left corner."""
        low, high = self.limits.T
        return (at - low) * np.array(self.size) / (high - low)


def clear_sides(at: np.ndarray, points: np.ndarray, names: Sequence[str], panel: Frame) -> list[str]:
    """For each name, the side of its mark on which it covers least, avoiding other names first and then points.

    Args:
        at: (name, 2): the marks, in the panel's coordinates.
        points: (point, 2): other things drawn there.
        names: what stands beside each mark.
        panel: its axes and its size.
    """
    dots, placed = _boxes(panel.pixels(points), 4), np.empty((0, 4))
    chosen = []
    for mark, name in zip(panel.pixels(at), names, strict=True):
        half = np.array([LETTER * len(name), LINE]) / 2
        boxes = _boxes(mark + np.array(list(SIDES.values())) * (half[0] + 9, 16), half)
        cut_off = (boxes[:, 0] < 0) | (boxes[:, 2] > panel.size[0])
        best = int((10 * _overlaps(boxes, placed) + _overlaps(boxes, dots) + 20 * cut_off).argmin())
        placed = np.append(placed, boxes[[best]], axis=0)
        chosen.append(list(SIDES)[best])
    return chosen


def draw_out(at: np.ndarray, reach: np.ndarray, names: Sequence[str], panel: Frame) -> np.ndarray:
    """(name, 2): offsets in pixels, right and up, at which each name covers neither a name nor a mark.

    Names move outwards from the crowd, the most crowded first, each to the nearest free place.

    Args:
        at: (name, 2): the marks, in the panel's coordinates.
        reach: (name, 2): how far the error bars of each mark reach to both sides.
        names: what stands beside each mark, empty beside those that have none.
        panel: its axes and its size.
    """
    marks = panel.pixels(at)
    lengths = panel.pixels(at + reach) - marks
    dots, bars = _boxes(marks, 6), np.concatenate([_boxes(marks, lengths * along + 1) for along in np.eye(2)])
    gaps = marks[:, None] - marks[None]
    near = 1 / (np.hypot(*np.moveaxis(gaps, -1, 0)) + 20)
    outwards = (gaps * near[..., None] ** 2).sum(axis=1)
    outwards /= np.maximum(np.hypot(*outwards.T), 1e-9)[:, None]
    offsets, placed, lines = np.zeros(marks.shape), np.empty((0, 4)), np.empty((0, 2, 2))
    for k in np.argsort(-near.sum(axis=1), kind="stable"):
        if not names[k]:
            continue
        half = np.array([LETTER * len(names[k]), LINE]) / 2
        options = WAYS * (DISTANCES[:, None] + [half[0] - half[1], 0])
        boxes = _boxes(marks[k] + options, half)
        outside = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > panel.size).any(axis=1)
        cost = ON_NAME * _overlaps(boxes, placed) + ON_MARK * _overlaps(boxes, dots) + ON_BAR * _overlaps(boxes, bars)
        cost = cost + OUTSIDE * outside + CROSSING * _crossings(marks[k], marks[k] + options, lines)
        best = int((cost + FAR * DISTANCES / 100 - OUTWARDS * WAYS @ outwards[k]).argmin())
        offsets[k] = options[best]
        placed = np.append(placed, boxes[[best]], axis=0)
        lines = np.append(lines, [[marks[k], marks[k] + options[best]]], axis=0)
    return offsets.round()


def write_names(
    figure: go.Figure,
    at: np.ndarray,
    reach: np.ndarray,
    names: Sequence[str],
    colors: Sequence[str],
    wide: Frame,
    narrow: Frame,
) -> None:
    """Write names next to the marks of the only panel, each with a line to its mark, for wide and narrow screens.

    Args:
        figure: of one panel, from `small_multiples`.
        at, reach, names: as for `draw_out`.
        colors: of the names.
        wide, narrow: the panel on a page and on a phone.
    """
    changes = dict(figure.layout.meta["narrow"])
    shown, tight = (draw_out(at, reach, names, panel) for panel in (wide, narrow))
    for k in (k for k, name in enumerate(names) if name):
        text = {"text": plain(names[k]), "font": {"size": 11, "color": colors[k]}, "x": at[k, 0], "y": at[k, 1]}
        note = f"annotations[{len(figure.layout.annotations)}]"
        line = {"showarrow": True, "arrowhead": 0, "arrowwidth": 0.8, "arrowcolor": LEADER, "standoff": 4}
        place = {"ax": shown[k, 0], "ay": -shown[k, 1], "xanchor": "center", "yanchor": "middle", "borderpad": 0}
        figure.add_annotation(**text, **line, **place)
        changes |= {f"{note}.ax": tight[k, 0], f"{note}.ay": -tight[k, 1]}
    figure.layout.meta = {**figure.layout.meta, "narrow": changes}


def _boxes(middles: np.ndarray, half: np.ndarray | int) -> np.ndarray:
    """Left, bottom, right and top of boxes with half this width and height."""
    return np.concatenate([middles - half, middles + half], axis=1)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The number of other boxes that each box overlaps."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return ((low < others[:, 2:]) & (others[:, :2] < high)).all(axis=-1).sum(axis=1)


def _crossings(start: np.ndarray, ends: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """The number of lines, (line, end, 2), crossed by each line from the start to one of the ends."""
    along, ways = lines[:, 1] - lines[:, 0], ends - start
    first, second = (_side(ways[:, None], lines[:, k] - start) for k in (0, 1))
    here, there = _side(along, start - lines[:, 0]), _side(along, ends[:, None] - lines[:, 0])
    return ((first * second < 0) & (here * there < 0)).sum(axis=1)


def _side(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Positive to the left of a direction, negative to its right."""
    return along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0]
