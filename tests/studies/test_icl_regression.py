"""The study of in-context regression at its smallest, its measures on known predictors, its claims on made paths."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.data import LinearRegressionTask
from ontogeny.development import joint_pca
from ontogeny.execution import Serial
from ontogeny.models import RegressionConfig, RegressionTransformer
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.icl_regression import STUDY
from ontogeny.studies.icl_regression.approach import bridges, nearness
from ontogeny.studies.icl_regression.config import INFINITE
from ontogeny.studies.icl_regression.measures import DMMSE, IN, OUT, RIDGE, Probe, behaviour_of
from ontogeny.studies.icl_regression.selection import crossover, free_energy, weighed

SMALL: dict[str, Any] = {
    "dimension": 2,
    "num_pairs": 3,
    "diversities": [1, 4],
    "intermediate": [4],
    "network": {"num_layers": 1, "d_model": 8, "num_heads": 2, "d_mlp": 8},
    "training": {
        "num_steps": 24,
        "batch_size": 16,
        "warmup_steps": 0,
        "checkpoints_log": 8,
        "checkpoints_linear": 4,
        "state_every": 100,
    },
    "probe_sequences": 16,
    "coefficient_sequences": 64,
    "coefficient_steps": 2,
    "first_measured": 1,
    "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
    "selection": {
        "diversities": [4],
        "nbetas": [0.1, 10.0],
        "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
    },
    "essential": {"null_draws": 9},
    "thresholds": {"bridges": 50, "bootstrap": 50},
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    tested = {"tested": [claim.id for claim in STUDY.claims]}
    run = og.study("icl-regression", "quick", tmp_path / "run", settings=SMALL | tested, executor=Serial())
    assert run.failures == []
    assert {claim["status"] for claim in run.claims} <= {"held", "not held", "not tested"}, run.claims
    page = run.report.read_text(encoding="utf-8")
    for panel in ("distances", "space", "coefficients", "phases", "inside", "essential"):
        assert f'id="{panel}"' in page


def task(diversity: int | None = 4) -> LinearRegressionTask:
    return LinearRegressionTask(dimension=2, num_pairs=3, noise_variance=0.5, task_diversity=diversity)


class Exact(RegressionTransformer):
    """Predicts what ridge does, and a bit of each input."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return task().ridge(x, y) + 0.1


def test_distances_are_those_of_the_predictors() -> None:
    shape = RegressionConfig(dimension=2, num_pairs=3, num_layers=0, d_model=8, num_heads=2)
    behaviour = behaviour_of(task(), 32, (0.5, 2.0), seed=3)
    measured = behaviour(Exact(shape, torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(measured["distance"].sel(reference=RIDGE), 0.01, rtol=1e-4)
    np.testing.assert_allclose(measured["ridge_by_sequence"], 0.01, rtol=1e-4)
    for name in (IN, OUT):
        x, y = behaviour.probes[name].sequences
        predicted = task().ridge(x, y) + 0.1
        expected = float((predicted - task().dmmse(x, y)).square().mean())
        assert float(measured["distance"].sel(reference=DMMSE, distribution=name)) == pytest.approx(expected, rel=1e-5)
        by_pair = (predicted - y).square().mean(0)
        np.testing.assert_allclose(measured["loss_by_position"].sel(distribution=name), by_pair, rtol=1e-5)


def test_sequences_of_gaussian_tasks_are_shared_by_all_diversities() -> None:
    one, other = (behaviour_of(task(M), 32, (0.5, 2.0), seed=3).probes for M in (4, 2))
    for first, second in zip(one[OUT].sequences, other[OUT].sequences, strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(one[IN].sequences[1], other[IN].sequences[1])


def test_inner_measures_of_a_network_that_is_made_to_collapse() -> None:
    shape = RegressionConfig(dimension=2, num_pairs=3, num_layers=1, d_model=8, num_heads=2, d_mlp=8)
    behaviour = behaviour_of(task(), 32, (1.0,), seed=3)
    model = RegressionTransformer(shape, torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.blocks[0].ln1.w[:4] = 0.0  # type: ignore[union-attr]
        model.blocks[0].attn.W_Q.zero_()  # type: ignore[union-attr]
        model.blocks[0].attn.b_Q.zero_()  # type: ignore[union-attr]
        model.embed.W_E[1:] = 0.0
    found = behaviour(model)
    assert found["gain_collapsed"].sel(norm="blocks.0.ln1") == 0.5
    assert found["gain_collapsed"].sel(norm="ln_final") == 0.0
    np.testing.assert_allclose(found["singular_values"].sel(matrix="tokens"), [1, 0, 0], atol=1e-6)
    uniform = np.log(np.arange(1, 6)).mean()
    np.testing.assert_allclose(found["attention_entropy"], uniform, rtol=1e-4)
    np.testing.assert_allclose(found["attention_variability"], 0, atol=1e-6)


def test_probes_of_another_dimension_are_refused() -> None:
    wide = LinearRegressionTask(dimension=3, num_pairs=3, noise_variance=0.5)
    with pytest.raises(InvalidArgument) as caught:
        Probe(task(), wide.sample(4, 0))
    assert caught.value.argument == "x"


def test_the_plane_of_mixtures_of_ridge_and_dmmse_recovers_their_share() -> None:
    one = LinearRegressionTask(dimension=4, num_pairs=8, noise_variance=0.25, task_diversity=8)
    gaussian = one.model_copy(update={"task_diversity": None})
    x, y = gaussian.sample(64, 1)
    ridge, dmmse = (each.flatten().double().numpy() for each in (one.ridge(x, y), one.dmmse(x, y)))
    share = np.random.default_rng(0).uniform(size=40)
    noise = 0.01 * np.random.default_rng(1).standard_normal((40, len(ridge)))
    rows = share[:, None] * ridge + (1 - share)[:, None] * dmmse + noise
    outputs = xr.DataArray(rows, dims=("step", "output"), coords={"step": np.arange(40)})
    found = joint_pca(outputs, 2, references={"ridge": ridge, "dMMSE": dmmse})
    plane = np.c_[found["score"].values, np.ones(40)]
    fitted = plane @ np.linalg.lstsq(plane, share, rcond=None)[0]
    assert 1 - ((fitted - share) ** 2).sum() / ((share - share.mean()) ** 2).sum() > 0.999
    ends = np.c_[found["reference_score"].values, np.ones(2)]
    np.testing.assert_allclose(ends @ np.linalg.lstsq(plane, share, rcond=None)[0], [1, 0], atol=0.01)
    shuffled = np.random.default_rng(2).permutation(share)
    control = plane @ np.linalg.lstsq(plane, shuffled, rcond=None)[0]
    assert 1 - ((control - shuffled) ** 2).sum() / ((shuffled - shuffled.mean()) ** 2).sum() < 0.5


def test_the_crossover_solves_its_equation_and_has_its_limits() -> None:
    for ratio in (3.0, 10.0, 1e4):
        n = crossover(2 * ratio, 2.0)
        assert n > np.e
        assert n / np.log(n) == pytest.approx(ratio)
    assert crossover(1.0, 1.0) == 0
    assert crossover(-3.0, 1.0) == 0
    assert crossover(3.0, -1.0) == np.inf
    assert np.isnan(crossover(np.nan, 1.0))


def test_free_energies_are_those_of_gaussian_integrals() -> None:
    """Of L = L₀ + h w²/2 under φ of variance 1/γ: F(n) = n L₀ + ½ ln(1 + n h/γ), λ̂(b) = ½ b h/(b h + γ)."""
    nbetas, center = np.geomspace(0.01, 1000, 60), 0.3

    def values(h: float, gamma: float) -> np.ndarray:
        return 0.5 * nbetas * h / (nbetas * h + gamma)

    found = free_energy(nbetas, values(2.0, 5.0), center)
    np.testing.assert_allclose(found, nbetas * center + 0.5 * np.log1p(nbetas * 2 / 5), rtol=2e-3, atol=1e-3)
    ladders = [
        xr.Dataset(
            {
                "ladder_value": (("step", "nbeta"), [values(h, 5.0)]),
                "ladder_mcse": (("step", "nbeta"), np.full((1, 60), 1e-4)),
                "center_loss": (("step", "nbeta"), np.full((1, 60), center)),
                "ladder_outcome": (("step", "nbeta"), [["converged"] * 60]),
            },
            {"nbeta": [f"{n:.6g}" for n in nbetas], "step": [9]},
        )
        for h, center in ((0.0, 0.1), (50.0, 0.05))
    ]
    table = weighed(ladders, ["8", "8"], [RIDGE, DMMSE])
    # 0.05 n = ½ ln(1 + 10 n) at the crossing
    n = float(table["crossing"].values[0])
    assert 0.05 * n == pytest.approx(0.5 * np.log1p(10 * n), rel=0.02)
    assert (
        float(table["log_odds"].isel(nbeta=-1).values[0])
        > 0
        > float(table["log_odds"].sel(nbeta=10, method="nearest").values[0])
    )


def test_nearness_is_that_of_the_line_and_bridges_keep_ends_and_size() -> None:
    steps = np.arange(50)
    along = np.linspace(0, 1, 50)
    point = np.array([0.5, 1.0])
    line = np.c_[along, 0 * along]
    assert nearness(line, point) == pytest.approx(0, abs=1e-3)
    assert nearness(np.c_[along, 4 * along * (1 - along)], point) == pytest.approx(1, abs=0.05)
    assert nearness(np.c_[along, -4 * along * (1 - along)], point) <= 0
    bent = np.c_[along, 2 * along * (1 - along)]
    drawn = list(bridges(steps, bent, 300, np.random.default_rng(0)))
    for each in drawn[:5]:
        np.testing.assert_allclose(each[[0, -1]], bent[[0, -1]], atol=1e-12)
    near = np.array([nearness(each, point) for each in drawn])
    assert 0.05 < (near > nearness(bent, point)).mean() < 0.6


def made(turns: bool) -> Findings:
    """Paths of three networks: the intermediate one turns away from ridge again, or stays."""
    steps = np.array([0, 1, 10, 100, 1000])
    paths = {
        "2": ([4, 4, 3, 3, 3], [4, 3, 2, 1, 0.1]),
        "8": ([4, 3, 1, 0.5, 2 if turns else 0.4], [4, 3, 3, 2, 0.5 if turns else 2.2]),
        INFINITE: ([4, 3, 1, 0.5, 0.2], [4, 3, 1, 0.5, 0.2]),
    }
    noise = 1 + 0.05 * np.random.default_rng(0).standard_normal((5, 64))
    found = {}
    for label, (ridge, dmmse) in paths.items():
        both = np.broadcast_to(np.array([ridge, dmmse]).T[:, :, None], (5, 2, 2))
        found[f"curves-{'infinite' if label == INFINITE else label}"] = xr.Dataset(
            {
                "ridge_by_sequence": (("step", "sequence"), np.array(ridge)[:, None] * noise),
                "distance": (("step", "reference", "distribution"), both),
            },
            {"step": steps, "reference": [RIDGE, DMMSE], "distribution": [IN, OUT]},
        )
    return Findings(found)


@pytest.mark.parametrize("turns", [True, False])
def test_a_transient_ridge_is_one_that_the_network_leaves_again(turns: bool) -> None:
    preset = STUDY.config("quick")
    config = preset.model_copy(update={"diversities": (2, 8), "intermediate": (8,), "tested": ("transient-ridge",)})
    finding = STUDY.claims.test(made(turns), config)["transient-ridge"]
    assert isinstance(finding, Evidence)
    assert finding.met == turns
    assert finding.null is not None
    assert (finding.null.p_value < 0.05) == turns
