"""Boundaries between stages: where the slope of a curve vanishes or dips between two significant slopes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.signal import find_peaks

from ontogeny.development.settings import StageConfig
from ontogeny.development.smoothing import SmoothCurve

_ZERO = 1e-12  # |slope| at a sign change, as a share of the largest: the grid misses the exact zero


@dataclass(frozen=True)
class Boundary:
    """A boundary at `log_step`, its 95 % interval, the probability that it is there, and its kind.

    At a "plateau" the slope crosses zero. At a "knee" the curve keeps its direction but slows down.
    """

    log_step: float
    low: float
    high: float
    probability: float
    kind: Literal["plateau", "knee"]


class Valley(NamedTuple):
    """A dip of |slope|: its centre in log step, and whether the slope crosses zero in it."""

    center: float
    has_zero: bool


def find_boundaries(curve: SmoothCurve, config: StageConfig) -> list[Boundary]:
    """Valleys of the posterior-mean slope that most posterior samples also show, in order.

    A slope is significant outside the simultaneous band of the whole slope curve, |slope| > q·sd(x) with q the
    `confidence` quantile over samples of max_x |sample − mean| / sd. Every sample is searched by the same rule, and
    each of its valleys supports the nearest candidate, if within `tolerance`. The samples that show a candidate give
    its probability (their share), location (median), interval (95 %) and kind (majority: a plateau if the sample's own
    slope crosses zero in the dip, otherwise a knee).
    """
    deviation = np.abs(curve.slope_samples - curve.slope) / curve.slope_sd
    threshold = np.quantile(deviation.max(axis=1), config.confidence) * curve.slope_sd
    first, last = curve.log_step[0] + config.resolution, curve.log_step[-1] - config.resolution
    mean_valleys = valleys(curve.log_step, curve.slope, threshold, config.prominence)
    candidates = [valley.center for valley in mean_valleys if first < valley.center < last]
    if not candidates:
        return []

    centers: list[list[float]] = [[] for _ in candidates]
    plateaus: list[list[bool]] = [[] for _ in candidates]
    for slope in curve.slope_samples:
        found = valleys(curve.log_step, slope, threshold, config.prominence)
        for i, (center, has_zero) in _matches(found, candidates, config.tolerance).items():
            centers[i].append(center)
            plateaus[i].append(has_zero)
    return [
        _summary(centers[i], plateaus[i], config.num_samples)
        for i in range(len(candidates))
        if centers[i] and len(centers[i]) >= config.min_probability * config.num_samples
    ]


def valleys(
    log_step: Float[np.ndarray, " grid"],
    slope: Float[np.ndarray, " grid"],
    threshold: Float[np.ndarray, " grid"],
    prominence: float,
) -> list[Valley]:
    """Dips of |slope| below `prominence` times the smaller of the adjacent peaks, which must exceed `threshold`.

    A sign change is a dip to zero. The centre is the mean of log step over the dip, weighted by the depth of |slope|
    below that level. It is the zero itself at a simple zero, and the middle of a long plateau, where the zero of a
    noisy slope could be anywhere.
    """
    size = _size_with_zeros(slope)
    # Prominence in the sense of topography is a ratio in logarithms; the low rim lets a peak stand at either end.
    height = np.pad(np.log(threshold), 1)
    peaks, _ = find_peaks(np.pad(np.log(size), 1, mode="minimum"), height=height, prominence=-np.log(prominence))
    found = []
    for left, right in zip(peaks[:-1] - 1, peaks[1:] - 1, strict=True):
        within = slice(left, right + 1)
        depth = np.maximum(prominence * min(size[left], size[right]) - size[within], 0.0)
        if depth.any():  # zero where the dip just touches the level
            center = float(depth @ log_step[within] / depth.sum())
            found.append(Valley(center, bool(slope[within].min() <= 0 <= slope[within].max())))
    return found


def _size_with_zeros(slope: Float[np.ndarray, " grid"]) -> Float[np.ndarray, " grid"]:
    """|slope|, with a zero at the point nearest to each change of sign, and no zero too small for a logarithm."""
    size = np.abs(slope)
    least = max(_ZERO * size.max(), np.finfo(float).tiny)
    change = np.flatnonzero(slope[:-1] * slope[1:] <= 0)
    size[np.where(size[change] < size[change + 1], change, change + 1)] = least
    return np.maximum(size, least)


def _matches(found: Sequence[Valley], candidates: Sequence[float], tolerance: float) -> dict[int, Valley]:
    """Candidate index -> the closest valley among those nearest to it and within `tolerance`."""
    matches: dict[int, Valley] = {}
    for valley in found:
        distance = [abs(valley.center - candidate) for candidate in candidates]
        nearest = int(np.argmin(distance))
        rival = matches.get(nearest)
        if distance[nearest] <= tolerance and (
            rival is None or distance[nearest] < abs(rival.center - candidates[nearest])
        ):
            matches[nearest] = valley
    return matches


def _summary(centers: Sequence[float], plateaus: Sequence[bool], num_samples: int) -> Boundary:
    low, location, high = (float(quantile) for quantile in np.quantile(centers, [0.025, 0.5, 0.975]))
    kind = "plateau" if np.mean(plateaus) >= 0.5 else "knee"
    return Boundary(location, low, high, len(centers) / num_samples, kind)
