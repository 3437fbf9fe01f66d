"""Essential dynamics: the geometry of a training run's path in a few principal components.

Cusps, vertices and the evolute of the smoothed path, and the times at which all planar projections have one at once,
"forms" (Hoogland et al., 2402.02364, versions 1 and 2). Brownian motion has them too, so that their number is held
against it.
"""

from itertools import combinations

import numpy as np
import xarray as xr
from jaxtyping import Float
from pydantic import Field, PositiveInt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import argrelmax, argrelmin

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive
from ontogeny.core.settings import Settings
from ontogeny.development.trajectories import brownian_scores

_EDGE = 4.0  # widths of the filter that it reaches, so that nothing made up beyond the ends is seen

Path = Float[np.ndarray, "grid pc"]


class EssentialConfig(Settings):
    """How a path is smoothed and its forms are found.

    Attributes:
        width: standard deviation of the Gaussian filter, in decades of step + 1.
        num_grid: points of the even grid in decades that the path is interpolated on.
        slow: speed, relative to the median, below which a minimum of the speed is a cusp.
        coincidence: largest distance between marks of all planes that make a form, in decades.
        null_draws: Brownian paths that the number of forms is held against; 0 for none.
        seed: of these.
    """

    width: float = Field(default=0.1, gt=0)
    num_grid: PositiveInt = 500
    slow: float = Field(default=0.1, gt=0, lt=1)
    coincidence: float = Field(default=0.05, gt=0)
    null_draws: int = Field(default=200, ge=0)
    seed: int = 0


def essential_dynamics(scores: xr.DataArray, config: EssentialConfig | None = None) -> xr.Dataset:
    """Osculating circles, evolute, cusps, vertices and forms of a path along training.

    With the path γ(u) smoothed over u = log₁₀(step + 1), in each plane of two components
    κ = (x'y'' − y'x'')/(x'² + y'²)^(3/2), and the evolute is γ + n/κ, the centre of the osculating circle. A vertex is
    an extremum of κ, where the evolute has a cusp. A cusp of the path is a point where it nearly stops. A form is a
    time at which every plane has a mark. Its form potential is |γ(u) − c|²/r², with c and r those of the osculating
    circle there in all components together: it is flat where the path follows that circle.

    Args:
        scores: (step, pc) with coordinate `step`, two components at least, such as one run's scores of `joint_pca`.
        config: of smoothing and forms.

    Returns:
        Over `decade`, the even grid of u: `path` (pc), `speed`; with `plane` besides, named "1-2" and so on:
        `curvature`, `evolute_x`, `evolute_y`, `cusp` and `vertex` (bool). Over `form`: `form_decade`, `form_step` and
        `form_potential` (decade). With a null: `null_forms` (draw) of Brownian paths over the same steps with as many
        components, and `p_value`, the probability of as many forms or more.

    Raises:
        InvalidArgument: for scores of other dimensions, that are not finite, or of fewer than eight steps.

    When not to trust it: a form says that the path turns, not that anything formed. Brownian motion draws turns, whose
    number depends on the width: read `p_value` first. Within four widths of the ends nothing is marked.
    """
    config, array = config or EssentialConfig(), _checked(scores)
    decades, path = _on_grid(array["step"].values, array.values, config)
    marks = _Marks(path, decades, config)
    forms = marks.forms()
    found = xr.Dataset(
        {
            "path": (("decade", "pc"), marks.path),
            "speed": ("decade", marks.speed),
            "curvature": (("decade", "plane"), marks.curvature),
            "evolute_x": (("decade", "plane"), marks.evolute[..., 0]),
            "evolute_y": (("decade", "plane"), marks.evolute[..., 1]),
            "cusp": (("decade", "plane"), marks.cusps),
            "vertex": (("decade", "plane"), marks.vertices),
            "form_decade": ("form", decades[forms]),
            "form_step": ("form", 10 ** decades[forms] - 1),
            "form_potential": (
                ("form", "decade"),
                np.array([marks.potential(each) for each in forms]).reshape(-1, len(decades)),
            ),
        },
        coords={"decade": decades, "pc": array["pc"].values, "plane": marks.names},
    )
    if config.null_draws:
        steps, size = array["step"].values, array.sizes["pc"]
        null = [_null_forms(steps, size, draw, config) for draw in range(config.null_draws)]
        found["null_forms"] = ("draw", null)
        found["p_value"] = (1 + sum(each >= len(forms) for each in null)) / (1 + len(null))
    return found


class _Marks:
    """The derivatives of a smoothed path and what they mark."""

    def __init__(self, rough: Path, decades: np.ndarray, config: EssentialConfig) -> None:
        self.decades, self.config = decades, config
        spacing = float(decades[1] - decades[0])
        cells = config.width / spacing
        # Differences of the smoothed path: derivatives of a truncated filter do not vanish on a straight line.
        self.path = gaussian_filter1d(rough, cells, axis=0, mode="nearest")
        first = np.gradient(self.path, spacing, axis=0)
        self._first, self._second = first, np.gradient(first, spacing, axis=0)
        self.speed = np.linalg.norm(first, axis=1)
        self.inner = np.zeros(len(decades), dtype=bool)
        edge = int(np.ceil(_EDGE * cells))
        self.inner[edge : len(decades) - edge] = True
        pairs = list(combinations(range(rough.shape[1]), 2))
        self.names = [f"{one + 1}-{two + 1}" for one, two in pairs]
        planes = [self._plane(list(pair)) for pair in pairs]
        self.curvature, self.evolute, self.cusps, self.vertices = (
            np.stack(each, 1) for each in zip(*planes, strict=True)
        )

    def _plane(self, pair: list[int]) -> tuple[np.ndarray, ...]:
        (x, y), (ddx, ddy) = self._first[:, pair].T, self._second[:, pair].T
        squared, turn = x**2 + y**2, x * ddy - y * ddx
        with np.errstate(divide="ignore", invalid="ignore"):
            curvature = turn / squared**1.5
            evolute = self.path[:, pair] + (squared / turn)[:, None] * np.stack([-y, x], 1)
        speed = np.sqrt(squared)
        stops = _extrema(speed, argrelmin) & (speed < self.config.slow * np.median(speed)) & self.inner
        near = np.convolve(stops, np.ones(2 * self._reach + 1), "same") > 0  # a cusp has extrema of κ on both sides
        turns = (_extrema(curvature, argrelmax) | _extrema(curvature, argrelmin)) & self.inner & ~near
        return curvature, evolute, stops, turns

    @property
    def _reach(self) -> int:
        return int(np.ceil(self.config.coincidence / (self.decades[1] - self.decades[0])))

    def forms(self) -> list[int]:
        """Places on the grid where all planes have a mark within the coincidence, one for each group of marks."""
        marked = self.cusps | self.vertices
        kernel = np.ones(self._reach + 1)  # half the coincidence on each side
        near = np.all([np.convolve(column, kernel, "same") > 0 for column in marked.T], axis=0)
        starts = np.flatnonzero(near & ~np.r_[False, near[:-1]])
        ends = np.flatnonzero(near & ~np.r_[near[1:], False])
        return [int(start + end) // 2 for start, end in zip(starts, ends, strict=True)]

    def potential(self, place: int) -> np.ndarray:
        """|γ(u) − c|²/r² along the path, of the osculating circle at a place, in all components."""
        first, second = self._first[place], self._second[place]
        squared = float(first @ first)
        across = second - (second @ first) / max(squared, 1e-300) * first
        size = float(across @ across)
        if not size or not squared:
            return np.full(len(self.path), np.nan)
        center = self.path[place] + across * squared / size
        return ((self.path - center) ** 2).sum(1) / ((self.path[place] - center) ** 2).sum()


def _extrema(curve: np.ndarray, find: object) -> np.ndarray:
    marked = np.zeros(len(curve), dtype=bool)
    marked[find(curve)[0]] = True  # type: ignore[operator]
    return marked


def _on_grid(steps: np.ndarray, values: np.ndarray, config: EssentialConfig) -> tuple[np.ndarray, Path]:
    """The path by linear interpolation on an even grid of decades."""
    decades = np.log10(steps + 1.0)
    grid = np.linspace(decades[0], decades[-1], config.num_grid)
    return grid, np.stack([np.interp(grid, decades, column) for column in values.T], 1)


def _null_forms(steps: np.ndarray, num_components: int, draw: int, config: EssentialConfig) -> int:
    source = np.random.default_rng(derive(config.seed, "brownian path", draw))
    decades, path = _on_grid(steps, brownian_scores(steps, num_components, source), config)
    return len(_Marks(path, decades, config).forms())


def _checked(scores: xr.DataArray) -> xr.DataArray:
    if set(scores.dims) != {"step", "pc"} or "step" not in scores.coords or scores.sizes["pc"] < 2:
        expected = "dimensions (step, pc) with coordinate `step` and two components or more"
        raise InvalidArgument("scores", expected=expected, found=f"{dict(scores.sizes)}")
    array = scores.transpose("step", "pc").sortby("step").astype(float)
    if array.sizes["step"] < 8 or len(np.unique(array["step"])) < array.sizes["step"]:
        raise InvalidArgument("scores", expected="at least 8 different steps", found=f"{array['step'].values.tolist()}")
    if not np.isfinite(array.values).all():
        raise InvalidArgument("scores", expected="finite values", found="NaN or infinity")
    return array if "pc" in array.coords else array.assign_coords(pc=np.arange(1, array.sizes["pc"] + 1))
