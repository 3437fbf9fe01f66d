"""Responses of parts to data, where a quadratic loss gives them in closed form."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.development.usable import over_steps
from ontogeny.execution import Serial
from ontogeny.measurement import Responses, Run, measure, measure_cells
from ontogeny.models import restrict
from ontogeny.sampling import SGHMC, SGLD, Calibrated, Fixed, PosteriorConfig, Sampler
from ontogeny.stores import MemoryCheckpoints
from ontogeny.terminal import as_progress

NBETA, GAMMA = 50.0, 10.0
CURVATURES = torch.tensor([4.0, 3.0, 2.0, 3.0])
# exact on Gaussians: positions of BAOAB have their variance at any step
SAMPLER = Fixed(kernel=SGHMC(0.06, friction=0.3), num_chains=4, num_draws=150, num_warmup=20, thinning=4)
POSTERIOR = PosteriorConfig(nbeta=NBETA, localization=GAMMA)


class Two(nn.Module):
    """Two parts of two weights each."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))


def loss(model: Two, batch: Tensor) -> Tensor:
    """½ Σ h w² · scale of the sample, at two positions: of the first and of the second part."""
    parts = [0.5 * (h * w**2).sum() for h, w in zip(CURVATURES.split(2), (model.a, model.b), strict=True)]
    return torch.stack([batch * parts[0], batch * parts[1]], dim=1)


def measured(
    probes: dict[str, Tensor], names: list[str], sampler: Sampler, tokens: Any = None, store: Path | None = None
) -> xr.Dataset:
    """Responses of the parts of one checkpoint, at the origin."""
    components = {name: restrict(Two(), name) for name in names}
    asked = Responses(torch.ones(30), loss, probes, components, POSTERIOR, sampler, tokens)
    run = Run(MemoryCheckpoints({0: Two().state_dict()}), Two)
    found = measure_cells(run, [0], [asked], store=store, executor=Serial(), progress=as_progress(False))
    return found.isel(step=0, drop=True)


def test_susceptibilities_and_their_control_are_those_of_gaussians() -> None:
    threes = 3 * torch.ones(7)
    found = measured({"base": torch.ones(5), "threes": threes}, ["a", "b"], SAMPLER, threes[:2])
    for part, h in zip(("a", "b"), CURVATURES.double().split(2), strict=True):
        row = found.sel(component=part)
        # losses of both positions are averaged: K = ¼ Σ h w²
        variances = 1 / (NBETA * h / 2 + GAMMA)
        # χ = -Cov(K, 3K - K), and Var(¼ Σ h w²) = Σ (h v)² / 8
        expected = -2 * float(((h * variances) ** 2).sum() / 8)
        chi = row["susceptibility"].sel(perturbation="threes")
        assert abs(float(chi) - expected) < 4 * float(row["mcse"].sel(perturbation="threes"))
        assert float(row["mcse"].sel(perturbation="threes")) < 0.2 * abs(expected)
        radius = float(variances.sum().sqrt())
        assert float(row["radius"]) == pytest.approx(radius, rel=0.05)
        rise = float((h * variances).sum() / 4)
        assert float(row["rise"].sel(probe="threes")) == pytest.approx(3 * rise, rel=0.1)
        crossed = row.sel(probe="threes")  # without a slope at w*, nβ times the rise
        assert float(crossed["cross_llc"]) == pytest.approx(NBETA * float(crossed["rise"]), rel=1e-5)
        assert abs(float(crossed["cross_llc"]) - 3 * NBETA * rise) < 4 * float(crossed["cross_llc_mcse"])
        assert float(crossed["cross_llc_noise"]) == pytest.approx(NBETA * float(crossed["rise_noise"]), rel=1e-5)
        even = radius**2 / 2 * torch.ones(2, dtype=torch.float64)  # the control: as far, in all directions alike
        noise = -2 * float(((h * even) ** 2).sum() / 8)
        off = abs(float(row["susceptibility_noise"].sel(perturbation="threes")) - noise)
        assert off < 4 * float(row["mcse_noise"].sel(perturbation="threes")) + 0.05 * abs(noise)
        base = row.sel(probe="base")
        assert abs(float(base["rise_noise"]) - float((h * even).sum() / 4)) < 4 * float(base["rise_mcse_noise"])
        assert float(base["rise_mcse_noise"]) < 0.05 * float(base["rise_noise"])


@pytest.mark.slow
def test_tokens_that_a_part_does_not_touch_do_not_answer() -> None:
    probes = {"base": torch.ones(5), "threes": 3 * torch.ones(7)}
    short = SAMPLER.model_copy(update={"num_draws": 100})
    found = measured(probes, ["a"], short, torch.zeros(2))
    assert found["token_susceptibility"].shape == (1, 4)
    assert np.ptp(found["token_susceptibility"].values) == 0  # samples of no weight: what is left is the base's own
    assert (found["token_susceptibility"].values > 0).all()


def test_too_few_draws_for_tokens_are_an_outcome_of_that_part() -> None:
    probes = {"base": torch.ones(5), "threes": 3 * torch.ones(7)}
    short = SAMPLER.model_copy(update={"num_chains": 2, "num_draws": 14, "thinning": 1})
    found = measured(probes, ["a", "b"], short, torch.ones(2))
    assert (found["outcome"] != "converged").all()
    assert found["token_susceptibility"].isnull().all()
    assert found["token_susceptibility"].shape == (2, 4)
    assert found["susceptibility"].notnull().all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_a_part_whose_chains_diverge_has_no_numbers_and_says_so() -> None:
    wild = Fixed(kernel=SGLD(50.0), num_chains=2, num_draws=200, num_warmup=4)
    found = measured({"base": torch.ones(30), "other": 2 * torch.ones(30)}, ["a"], wild).sel(component="a")
    assert str(found["outcome"].values) == "diverged"
    assert np.isnan(found["cross_llc"]).all()
    assert float(found["radius"]) == 0


def test_a_base_alone_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="a base and at least one dataset"):
        measured({"base": torch.ones(5)}, ["a"], SAMPLER)


def test_one_part_more_measures_that_part_alone(tmp_path: Path) -> None:
    probes = {"base": torch.ones(5), "threes": 3 * torch.ones(7)}
    short = SAMPLER.model_copy(update={"num_draws": 20, "thinning": 1})
    whole = measured(probes, ["a", "b"], short)
    measured(probes, ["b"], short, store=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("responses/*")}
    xr.testing.assert_identical(measured(probes, ["a", "b"], short, store=tmp_path), whole)
    assert len(before) == 1
    assert len(list(tmp_path.glob("responses/*"))) == 2
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


@pytest.mark.slow
def test_the_default_sampler_agrees_with_chains_of_fixed_settings() -> None:
    probes = {"base": torch.ones(5), "threes": 3 * torch.ones(7)}
    fixed, calibrated = (measured(probes, ["a"], each) for each in (SAMPLER, Calibrated(error=0.01, budget=300_000)))
    error = float(np.hypot(fixed["mcse"], calibrated["mcse"]).squeeze())
    assert abs(float((fixed["susceptibility"] - calibrated["susceptibility"]).squeeze())) < 4 * error
    assert error < 0.3 * abs(float(fixed["susceptibility"].squeeze()))


def test_beside_coefficients_on_other_data_neither_loses_its_first_labels() -> None:
    """The main dataset and the whole network stay first, and each variable has the labels that it was measured on."""
    states = {step: Two().state_dict() for step in (0, 1)}
    quick = Fixed(kernel=SGHMC(0.06, friction=0.3), num_chains=2, num_draws=5, num_warmup=5)
    probes = {"base": torch.ones(5), "Threes": 3 * torch.ones(5)}
    asked = Responses(torch.ones(30), loss, probes, {"B": restrict(Two(), "b")}, POSTERIOR, quick)
    given: dict[str, Any] = {"posterior": POSTERIOR, "sampler": quick, "executor": Serial()}
    found = measure(MemoryCheckpoints(states), Two, torch.ones(30), loss, measurements=[asked], **given)
    assert found.component.values.tolist() == ["all", "B"]
    assert found.dataset.values.tolist() == ["data"]
    assert found.perturbation.values.tolist() == ["Threes"]
    assert found.loss.notnull().all()
    assert over_steps(found, "llc", "all").notnull().all()
    assert found.susceptibility.sel(component="B").notnull().all()
