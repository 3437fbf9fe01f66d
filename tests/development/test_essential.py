"""Essential dynamics of curves whose evolutes, vertices and cusps are known, and of Brownian paths."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.development import EssentialConfig, essential_dynamics
from ontogeny.development.trajectories import brownian_scores

CONFIG = EssentialConfig(width=0.01, num_grid=2000, null_draws=0)


def path(curve: Callable[[np.ndarray], tuple[np.ndarray, ...]], start: float, stop: float) -> xr.DataArray:
    """A curve over two decades of steps, its parameter even in them."""
    decades = np.linspace(0, 2, 4001)
    values = np.stack(curve(np.linspace(start, stop, 4001)), 1)
    return xr.DataArray(values, dims=("step", "pc"), coords={"step": 10**decades - 1})


def parameter(found: xr.Dataset, start: float, stop: float) -> np.ndarray:
    return start + (stop - start) * found["decade"].values / 2


def test_an_ellipse_has_four_vertices_and_its_evolute() -> None:
    start, stop = 0.3, 0.3 + 2 * np.pi + 0.2
    found = essential_dynamics(path(lambda t: (2 * np.cos(t), np.sin(t)), start, stop), CONFIG)
    t, inner = parameter(found, start, stop), slice(60, -60)
    at = t[found["vertex"].values[:, 0]]
    np.testing.assert_allclose(at, np.pi / 2 * np.arange(1, 5), atol=0.01)
    assert not found["cusp"].any()
    np.testing.assert_allclose(found["evolute_x"].values[inner, 0], 1.5 * np.cos(t[inner]) ** 3, atol=0.02)
    np.testing.assert_allclose(found["evolute_y"].values[inner, 0], -3 * np.sin(t[inner]) ** 3, atol=0.02)


def test_a_parabola_has_one_vertex_and_a_semicubical_evolute() -> None:
    found = essential_dynamics(path(lambda t: (t, t**2), -1, 1.2), CONFIG)
    t, inner = parameter(found, -1, 1.2), slice(60, -60)
    np.testing.assert_allclose(t[found["vertex"].values[:, 0]], [0.0], atol=0.01)
    np.testing.assert_allclose(found["evolute_x"].values[inner, 0], -4 * t[inner] ** 3, atol=0.02)
    np.testing.assert_allclose(found["evolute_y"].values[inner, 0], 3 * t[inner] ** 2 + 0.5, atol=0.02)


def test_a_cusp_is_where_the_path_stops() -> None:
    found = essential_dynamics(path(lambda t: (t**2, t**3), -1, 1.1), CONFIG)
    at = parameter(found, -1, 1.1)[found["cusp"].values[:, 0]]
    np.testing.assert_allclose(at, [0.0], atol=0.01)


def test_a_form_is_a_mark_in_every_plane_and_its_potential_is_flat_on_the_circle() -> None:
    found = essential_dynamics(path(lambda t: (t**2, t**3, t**2 + t**4), -1, 1.1), CONFIG)
    assert found["plane"].values.tolist() == ["1-2", "1-3", "2-3"]
    at = parameter(found, -1, 1.1)[np.searchsorted(found["decade"], found["form_decade"])]
    np.testing.assert_allclose(at, [0.0], atol=0.03)
    arc = essential_dynamics(path(lambda t: (t, t**2), -1, 1.2), CONFIG)
    potential = arc["form_potential"].values[0]
    near = np.abs(parameter(arc, -1, 1.2)) < 0.2
    assert np.abs(potential[near] - 1).max() < 0.01  # |γ − c|² − r² = t⁴ at the vertex of t², r = 1/2
    assert np.abs(potential - 1).max() > 1


def test_brownian_paths_have_forms_and_their_own_p_values_are_uniform() -> None:
    steps = np.unique(np.geomspace(1, 10_000, 40).round())
    config = EssentialConfig(null_draws=30, num_grid=200)
    p_values = []
    for seed in range(16):
        scores = brownian_scores(steps, 3, np.random.default_rng(seed))
        array = xr.DataArray(scores, dims=("step", "pc"), coords={"step": steps})
        found = essential_dynamics(array, config.model_copy(update={"seed": seed}))
        p_values.append(float(found["p_value"]))
    assert float(found["null_forms"].mean()) > 1
    assert np.mean(np.array(p_values) <= 0.1) <= 0.25
    assert np.mean(np.array(p_values) <= 0.6) >= 0.2


def test_a_smooth_turn_has_fewer_forms_than_chance() -> None:
    array = path(lambda t: (t, t**2, t**3), -1, 1.2).isel(step=slice(None, None, 40))
    assert float(essential_dynamics(array, EssentialConfig(null_draws=20))["p_value"]) > 0.5


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda p: p.rename(pc="component"), "two components"),
        (lambda p: p.isel(pc=[0]), "two components"),
        (lambda p: p.isel(step=slice(7)), "8 different steps"),
        (lambda p: p.where(p["step"] < 50), "finite"),
    ],
)
def test_scores_without_a_path_are_refused_by_name(spoil: Callable, expected: str) -> None:
    with pytest.raises(og.InvalidArgument, match=f"`scores`.*{expected}"):
        essential_dynamics(spoil(path(lambda t: (t, t**2), -1, 1)))
