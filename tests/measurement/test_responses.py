"""Responses of parts to data, where a quadratic loss gives them in closed form."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.measurement import SamplerConfig, measure_responses, responses
from ontogeny.sampling import LocalPosterior, sample

NBETA, GAMMA = 50.0, 10.0
CURVATURES = torch.tensor([4.0, 3.0, 2.0, 3.0])
# a step adds up to εh/4 = 6 % to a variance
SAMPLER = SamplerConfig(nbeta=NBETA, localization=GAMMA, step_size=2e-3, num_chains=4, num_draws=250, thinning=20)


class Two(nn.Module):
    """Two parts of two weights each."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))


def loss(model: Two, batch: Tensor) -> Tensor:
    """½ Σ h w² · scale of the sample, at two positions: of the first and of the second part."""
    parts = [0.5 * (h * w**2).sum() for h, w in zip(CURVATURES.split(2), (model.a, model.b), strict=True)]
    return torch.stack([batch * parts[0], batch * parts[1]], dim=1)


def test_susceptibilities_and_their_control_are_those_of_gaussians() -> None:
    ones, threes = torch.ones(30), 3 * torch.ones(7)
    found = measure_responses(
        Two(), ones, loss, {"base": torch.ones(5), "threes": threes}, ["a", "b"], tokens=threes[:2], sampler=SAMPLER
    )
    for part, h in zip(("a", "b"), CURVATURES.double().split(2), strict=True):
        row = found.sel(component=part)
        # losses of both positions are averaged: K = ¼ Σ h w²
        variances = 1 / (NBETA * h / 2 + GAMMA)
        # χ = -Cov(K, 3K - K), and Var(¼ Σ h w²) = Σ (h v)² / 8
        expected = -2 * float(((h * variances) ** 2).sum() / 8)
        chi = row["susceptibility"].sel(dataset="threes")
        assert abs(float(chi) - expected) < 4 * float(row["mcse"].sel(dataset="threes"))
        assert float(row["mcse"].sel(dataset="threes")) < 0.2 * abs(expected)
        radius = float(variances.sum().sqrt())
        assert float(row["radius"]) == pytest.approx(radius, rel=0.05)
        rise = float((h * variances).sum() / 4)
        assert float(row["rise"].sel(probe="threes")) == pytest.approx(3 * rise, rel=0.1)
        even = radius**2 / 2 * torch.ones(2, dtype=torch.float64)  # the control: as far, in all directions alike
        noise = -2 * float(((h * even) ** 2).sum() / 8)
        off = abs(float(row["susceptibility_noise"].sel(dataset="threes")) - noise)
        assert off < 4 * float(row["mcse_noise"].sel(dataset="threes")) + 0.05 * abs(noise)
        base = row.sel(probe="base")
        assert abs(float(base["rise_noise"]) - float((h * even).sum() / 4)) < 4 * float(base["rise_mcse_noise"])
        assert float(base["rise_mcse_noise"]) < 0.05 * float(base["rise_noise"])


def test_tokens_that_a_part_does_not_touch_do_not_answer() -> None:
    probes = {"base": torch.ones(5), "threes": 3 * torch.ones(7)}
    short = SAMPLER.model_copy(update={"num_draws": 100})
    found = measure_responses(Two(), torch.ones(30), loss, probes, ["a"], tokens=torch.zeros(2), sampler=short)
    assert found["token_susceptibility"].shape == (1, 4)
    assert np.ptp(found["token_susceptibility"].values) == 0  # samples of no weight: what is left is the base's own
    assert (found["token_susceptibility"].values > 0).all()


def test_a_base_alone_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="a base and at least one dataset"):
        measure_responses(Two(), torch.ones(30), loss, {"base": torch.ones(5)}, ["a"])


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probes = {"base": torch.ones(5), "threes": 3 * torch.ones(7)}
    short = SAMPLER.model_copy(update={"num_draws": 20, "thinning": 1})
    asked = (Two(), torch.ones(30), loss, probes)
    whole = measure_responses(*asked, ["a", "b"], sampler=short)
    measure_responses(*asked, ["b"], sampler=short, store=tmp_path)
    sampled: list[str] = []

    def watched(posterior: LocalPosterior, *args: Any, **options: Any) -> xr.DataTree:
        sampled.append(posterior.restriction.name if posterior.restriction else "all")
        return sample(posterior, *args, **options)

    monkeypatch.setattr(responses, "sample", watched)
    resumed = measure_responses(*asked, ["a", "b"], sampler=short, store=tmp_path)
    assert set(sampled) == {"a"}
    xr.testing.assert_identical(resumed, whole)
    measure_responses(*asked, ["b"], sampler=short.model_copy(update={"nbeta": 2 * NBETA}), store=tmp_path)
    assert set(sampled) == {"a", "b"}
