"""The superposition-phases study at its smallest, and its parts where the answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.superposition_phases import STUDY
from ontogeny.studies.superposition_phases.config import PosteriorSizes
from ontogeny.studies.superposition_phases.evidence import LOSSES, phases
from ontogeny.studies.superposition_phases.free_energies import MORSE_BOTT, critical_n, phase
from ontogeny.studies.superposition_phases.polygons import LANDMARKS, NONE, ORIGIN, levels, polygon, recognised
from ontogeny.studies.superposition_phases.posterior import phases_of, sampled_phases
from ontogeny.studies.superposition_phases.recipe import OneFeature, critical_points, plateaus, squared_error
from ontogeny.testing.curvature import FlatLoss
from ontogeny.testing.superposition import Autoencoder, expected_loss

SMALL = {
    "paths": 2,
    "training.num_steps": 200,
    "training.checkpoints_log": 6,
    "training.checkpoints_linear": 6,
    "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
    "path_sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
    "sizes": {"count": 3, "replicas": 2, "rounds": 12, "thinning": 4},
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("superposition-phases", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    claims = {claim["id"]: claim for claim in run.claims}
    for exact in ("losses", "ranks", "critical-n"):
        assert claims[exact]["status"] == "held", claims[exact]
    page = run.report.read_text(encoding="utf-8")
    for panel in ("geometry", "staircases", "balance", "points"):
        assert f'id="{panel}"' in page


@pytest.mark.parametrize("name", [*LANDMARKS, ORIGIN])
def test_critical_points_are_recognised_turned_and_relabelled_and_others_are_not(name: str) -> None:
    weight, bias = polygon(name)
    turn, order = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64), torch.tensor([3, 0, 5, 1, 4, 2])
    moved = (turn @ weight)[:, order]
    assert recognised(moved[None], bias[order][None], 0.05).tolist() == [name]
    assert recognised(1.3 * moved[None], bias[order][None], 0.05).tolist() == [NONE] or name == ORIGIN


def test_a_feature_that_shares_a_corner_of_a_pentagon_does_not_count() -> None:
    weight, bias = polygon("5")
    share = torch.tensor(0.5, dtype=torch.float64)
    weight[:, 5] = share.sqrt() * weight[:, 4]
    weight[:, 4] *= 0.99 * (1 - share).sqrt()
    bias[4:] = 0.5 * bias[4]
    assert recognised(weight[None], bias[None], 0.3).tolist() == ["5"]
    assert recognised(weight[None], bias[None] + 0.3, 0.3).tolist() == [NONE]


def test_the_closed_form_is_the_mean_loss_over_inputs() -> None:
    x = OneFeature().sample(200_000, seed=3)
    for name in LANDMARKS:
        sampled = squared_error(Autoencoder(*(part.float() for part in polygon(name))), x).detach()
        error = float(sampled.std()) / math.sqrt(len(x))
        assert error < 6e-4
        assert abs(float(sampled.mean()) - levels()[name]) < 4 * error
        assert abs(levels()[name] - LOSSES[name]) < 1e-5


def test_free_energies_cross_where_both_are_equal() -> None:
    five, six = phase("5"), phase("6")
    for volumes in (False, True):
        n = critical_n(five, six, volumes)
        assert five.free_energy(n, volumes) == pytest.approx(six.free_energy(n, volumes), rel=1e-9)
        assert five.free_energy(n / 2, volumes) < six.free_energy(n / 2, volumes)
    with pytest.raises(og.InvalidArgument, match="5\\+"):
        phase("4")


def test_laplace_is_the_integral_near_a_minimum() -> None:
    """At n = 10⁶ around one arrangement of 6, by importance sampling from the Gaussian of the Hessian."""
    n, six = 1e6, phase("6")
    weight, bias = polygon("6")
    center = torch.cat([weight.flatten(), bias])
    turned = torch.cat([torch.stack([-weight[1], weight[0]]).flatten(), torch.zeros(6, dtype=torch.float64)])
    along = turned / turned.norm()

    model = Autoencoder(weight, bias)
    loss = FlatLoss(model, torch.zeros(1), lambda model, _: expected_loss(model.W, model.b)[None])
    hessian = loss.hessian(center) + torch.outer(along, along)  # the circle's direction gets curvature 1
    factor = torch.linalg.cholesky(hessian * n)
    normal = torch.randn(4000, 18, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moves = torch.linalg.solve_triangular(factor.mT, normal.mT, upper=True).mT
    moves -= (moves @ along)[:, None] * along  # across the circle alone
    rise = torch.func.vmap(loss)(center + moves) - loss(center)
    gaussian = 0.5 * torch.einsum("ri,ij,rj->r", moves, hessian, moves)
    weights = torch.exp(-n * rise + n * gaussian)
    error = float(weights.std()) / math.sqrt(len(weights))
    assert error < 0.02
    across = 17 / 2 * math.log(2 * math.pi / n) - 0.5 * float(torch.logdet(hessian)) + math.log(float(weights.mean()))
    expected = across + math.log(120 * 2 * math.pi * float(weight.norm())) - 9 * math.log(2 * math.pi)
    ours = -float(six.free_energy(n, volumes=True)) + n * six.loss + six.prior_term
    assert ours == pytest.approx(expected, abs=0.05)


def test_draws_are_of_the_phase_of_their_minimum() -> None:
    source = torch.Generator().manual_seed(0)
    rows = torch.stack([torch.cat([part.flatten() for part in polygon(name)]) for name in ("5", "5+", "6")])
    near = rows + 0.02 * torch.randn(rows.shape, generator=source, dtype=torch.float64)
    assert phases_of(near).tolist() == ["5", "5+", "6"]


def test_exchange_leaves_a_large_n_at_the_deeper_phase_and_a_small_one_disordered() -> None:
    sizes = PosteriorSizes(first=2, last=400_000, count=2, replicas=4, rounds=30, thinning=2)
    found = sampled_phases(("6", "6"), sizes, seed=1)
    shares = found["draws"].sum("start") / found["draws"].sum("start").sum("phase")
    assert float(shares.sel(phase="6")[1]) == 1
    assert float(shares.sel(phase="6")[0]) < 0.6


def test_a_plateau_is_several_checkpoints_in_a_row() -> None:
    points = np.array([["none", "4++", "4++", "none", "4++", "4++", "5", "5+", "5+", "5+"]])
    path = xr.Dataset(
        {"point": (("path", "step"), points), "loss": (("path", "step"), np.linspace(1, 0, 10)[None])},
        coords={"path": [0], "step": range(10)},
    )
    assert plateaus(path, 2)["point"].values.tolist() == ["4++", "5+"]
    assert plateaus(path, 3)["point"].values.tolist() == ["5+"]
    assert plateaus(path, 3)["step"].values.tolist() == [8]


def made(values: list[float]) -> Findings:
    """Ten paths of two plateaus each, whose loss falls."""
    table = xr.Dataset(
        {
            "path": ("plateau", np.repeat(range(10), 2)),
            "point": ("plateau", ["5", "5+"] * 10),
            "loss": ("plateau", [0.069, 0.062] * 10),
        }
    )
    measured = xr.Dataset({"complexity": ("step", values * 10)})
    coefficients = xr.Dataset({"complexity": ("step", [*values, 8.5]), "complexity_mcse": ("step", [0.1] * 3)})
    return Findings({"plateaus": table, "measured": measured, "coefficients": coefficients})


@pytest.mark.parametrize(("values", "met"), [([7.1, 8.4], True), ([8.4, 7.1], False)])
def test_claims_follow_the_coefficients(values: list[float], met: bool) -> None:
    config = STUDY.config("quick").model_copy(update={"tested": ("opposed", "coefficients")})
    found = STUDY.claims.test(made(values), config)
    for name in ("opposed", "coefficients"):
        evidence = found[name]
        assert isinstance(evidence, Evidence)
        assert evidence.met == met
    opposed = found["opposed"]
    assert isinstance(opposed, Evidence)
    assert opposed.null is not None
    assert (opposed.null.p_value < 0.01) == met


def test_the_table_of_points_makes_the_same_phases() -> None:
    points = critical_points(seed=0)
    for ours, again in zip(phases(points, ("5", "6")), (phase("5", 0), phase("6", 0)), strict=True):
        np.testing.assert_array_equal(
            ours.free_energy(np.array([50.0, 600.0]), True), again.free_energy(np.array([50.0, 600.0]), True)
        )
    assert np.isnan(points["coefficient"].sel(point="4"))
    assert [2 * phase(name).coefficient for name in MORSE_BOTT] == [14, 17, 17]
