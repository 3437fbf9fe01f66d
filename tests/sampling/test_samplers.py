"""Samplers are values that draw alike: with observables, by the seed alone, and leaving what they are given alone."""

import tomllib
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import ontogeny as og
from ontogeny.core.losses import mse
from ontogeny.testing.regression import LinearRegression

TARGET = LinearRegression(6, num_samples=80, noise=0.5)
SHORT = {"num_chains": 2, "num_draws": 12, "num_warmup": 4}
SAMPLERS: dict[str, Any] = {
    "calibrated": og.Calibrated(budget=6_000, num_chains=2),
    "SGLD": og.Fixed(kernel=og.SGLD(1e-3), **SHORT),
    "SGHMC": og.Fixed(kernel=og.SGHMC(0.03, friction=0.1), thinning=2, **SHORT),
    "control variate": og.Fixed(kernel=og.SGLD(1e-3), control_variate=True, **SHORT),
}
EACH = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)


def posterior(model: nn.Module | None = None) -> og.LocalPosterior:
    return og.LocalPosterior(model or TARGET.model(), TARGET.data(), mse, batch_size=16)


def probe() -> dict[str, Any]:
    x, y = TARGET.data()
    return {"probe": (x[:9], y[:9])}


@EACH
def test_observables_are_recorded_at_every_draw(sampler: og.sampling.Sampler) -> None:
    draws = sampler.draw(posterior(), observables=probe())
    shape = draws["posterior/loss_difference"].shape
    assert draws["posterior/probe"].shape == (*shape, 9)
    assert draws["posterior/probe"].notnull().all()
    x, y = probe()["probe"]
    expected = mse(TARGET.model(), (x, y)).detach()
    np.testing.assert_allclose(draws["constant_data/probe_at_center"], expected, rtol=1e-5)
    assert og.llc(draws).settings is not None
    assert np.isfinite(og.llc(draws).descent)


@EACH
def test_draws_are_those_of_the_seed(sampler: og.sampling.Sampler) -> None:
    first, again = (sampler.draw(posterior(), seed=3) for _ in range(2))
    xr.testing.assert_identical(first, again)
    other = sampler.draw(posterior(), seed=4)["posterior/loss_difference"]
    size = min(other.sizes["draw"], first["posterior/loss_difference"].sizes["draw"])
    same = np.asarray(first["posterior/loss_difference"])[:, 1:size] == np.asarray(other)[:, 1:size]
    assert same.mean() < 0.05


@EACH
def test_what_it_is_given_comes_back_as_it_was(sampler: og.sampling.Sampler) -> None:
    model = nn.Sequential(TARGET.model(), nn.Dropout(0.5)).train()
    mse(model, TARGET.data()).mean().backward()
    before = [
        (value.clone(), torch.zeros(0) if value.grad is None else value.grad.clone()) for value in model.parameters()
    ]
    state = torch.get_rng_state()
    sampler.draw(posterior(model), observables=probe())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert model[1].training
    for value, (weights, gradient) in zip(model.parameters(), before, strict=True):
        assert torch.equal(value, weights)
        assert value.grad is not None
        assert torch.equal(value.grad, gradient)


@EACH
def test_samplers_are_equal_by_value_and_come_back_from_text(sampler: Any) -> None:
    again = type(sampler).model_validate(tomllib.loads(as_toml(sampler.model_dump(exclude_none=True))))
    assert again == sampler
    assert hash(again) == hash(sampler)
    other = sampler.model_copy(update={"num_chains": 3})
    assert other != sampler
    assert isinstance(sampler, og.sampling.Sampler)


def as_toml(values: dict[str, Any]) -> str:
    """The values as TOML, one table within another at most."""
    lines = [f"{name} = {shown(value)}" for name, value in values.items() if not isinstance(value, dict)]
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"[{name}]", as_toml({key: kept for key, kept in value.items() if kept is not None})]
    return "\n".join(lines)


def shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else repr(value)


def test_a_kernel_is_a_mapping_in_text() -> None:
    fixed = og.Fixed.model_validate({"kernel": {"name": "SGLD", "step_size": 2e-4}, "num_draws": 7})
    assert fixed.kernel == og.SGLD(2e-4)
    assert fixed.model_dump()["kernel"] == {"name": "SGLD", "step_size": 2e-4}


@pytest.mark.parametrize("kernel", [{"name": "Metropolis"}, {"step_size": 1e-4}, 1e-4, None])
def test_what_is_no_kernel_is_said(kernel: Any) -> None:
    with pytest.raises(og.InvalidArgument, match=r"`kernel`.* og.SGLD\(1e-4\)"):
        og.Fixed(kernel=kernel)


def test_settings_that_do_not_exist_are_refused() -> None:
    unknown, few = dict[str, Any](num_draws=5), dict[str, Any](num_chains=1)
    with pytest.raises(og.InvalidArgument, match="`num_draws`: expected a setting of Calibrated"):
        og.Calibrated(**unknown)
    with pytest.raises(og.InvalidArgument, match="`num_chains`: expected greater than or equal to 2, found 1"):
        og.Calibrated(**few)


def test_lengths_beside_a_sampler_are_refused() -> None:
    with pytest.raises(og.InvalidArgument, match=r"og.Fixed\(kernel=og.SGLD\(1e-4\), num_draws=5\)"):
        og.sample(posterior(), num_draws=5)
    with pytest.raises(og.InvalidArgument, match="no budget with a sampler"):
        og.estimate_llc(TARGET.model(), TARGET.data(), mse, budget=100, sampler=og.Calibrated())
    with pytest.raises(og.InvalidArgument, match="None with a calibrated sampler"):
        og.sample(posterior(), sink=og.core.draws.MemorySink())


def test_a_bare_kernel_and_its_fixed_sampler_have_the_same_draws() -> None:
    bare = og.sample(posterior(), og.SGLD(1e-3), **SHORT)
    fixed = og.sample(posterior(), SAMPLERS["SGLD"])
    np.testing.assert_allclose(
        bare["posterior/loss_difference"], fixed["posterior/loss_difference"], rtol=1e-4, atol=1e-6
    )
    assert np.isnan(og.llc(bare).complexity)
    assert og.llc(fixed).descent == pytest.approx(0, abs=1e-3)


@pytest.fixture(scope="module")
def observed() -> xr.DataTree:
    return og.Calibrated(num_chains=8, error=0.04).draw(posterior(), observables=probe())


def covariance() -> tuple[np.ndarray, np.ndarray]:
    """Hessian of the loss, and covariance of the Gaussian posterior."""
    x = TARGET.data()[0].double().numpy()
    hessian = 2 * x.T @ x / len(x)
    return hessian, np.linalg.inv(posterior().nbeta * hessian + np.eye(6))


def test_influence_of_calibrated_draws_is_that_of_a_gaussian(observed: xr.DataTree) -> None:
    """Of losses (xᵢ·d)² + 2 rᵢ xᵢ·d, with residuals rᵢ at w* and d ~ N(0, S)."""
    x, y = (part.double().numpy() for part in probe()["probe"])
    residuals = (x @ TARGET.model().weight.detach().double().numpy().T - y)[:, 0]
    inner = x @ covariance()[1] @ x.T
    exact = -(2 * inner**2 + 4 * np.outer(residuals, residuals) * inner)
    found = og.influence(observed, "probe")
    assert (np.abs(found["influence"] - exact) < 4 * found["mcse"]).all()
    assert float(found["mcse"].max()) < 0.15 * np.abs(exact).max()


def test_susceptibility_of_calibrated_draws_is_that_of_a_gaussian(observed: xr.DataTree) -> None:
    """Cov(d'Hd/2, (x·d)²) = x'SHSx, and Cov(d'Hd/2, d'Hd/2) = ½ tr(HSHS)."""
    x, (hessian, spread) = probe()["probe"][0].double().numpy(), covariance()
    along = spread @ hessian @ spread
    exact = -(np.einsum("ij,jk,ik->i", x, along, x).mean() - 0.5 * np.trace(hessian @ along))
    found = og.susceptibility(observed, "probe")
    assert abs(found.value - exact) < 4 * found.error
    assert found.error < 0.25 * abs(exact) + 0.05 * 0.5 * np.trace(hessian @ along)
