"""The belief study end to end at its smallest, its claims one by one, and that a finished part is not made again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.core.protocols import Silent
from ontogeny.execution import Serial
from ontogeny.stores import read_tree
from ontogeny.studies import override, rewrite_report
from ontogeny.studies.artefacts import place
from ontogeny.studies.belief_states import BeliefConfig, preset, run
from ontogeny.studies.belief_states.evidence import evidence
from ontogeny.studies.belief_states.geometry import ALL
from ontogeny.studies.claims import Evidence

SMALL = {
    "training.num_steps": 80,
    "training.checkpoints_log": 6,
    "training.checkpoints_linear": 0,
    "recurrent_training.num_steps": 10,
    "process.num_sequences": 2000,
    "process.context_length": 5,
    "architecture.d_model": 16,
    "architecture.d_mlp": 32,
    "architecture.recurrent_width": 16,
    "sampler": {"num_chains": 2, "num_draws": 12, "num_warmup": 4},
    "posterior.batch_size": 16,
    "regression.num_permutations": 19,
    "regression.max_last_tokens": 3,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> og.Run:
    return og.study(
        "belief-states", "quick", tmp_path_factory.mktemp("beliefs") / "run", settings=SMALL, executor=Serial()
    )


def test_a_run_leaves_its_curves_claims_and_report(finished: og.Run) -> None:
    trajectory = read_tree(finished.directory / "trajectory.zarr").to_dataset()
    assert {"loss_by_length", "belief_r2", "llc", "optimal_loss"} <= set(trajectory.data_vars)
    assert (trajectory["loss_by_length"] - trajectory["optimal_loss"] > 0).all()
    beliefs = read_tree(finished.directory / "beliefs-transformer.zarr").to_dataset()
    rivals = {"activations", "untrained", "next_token_law", "random_projection", "last_1", "last_3"}
    assert rivals <= set(beliefs["predictor"].values)
    assert float(beliefs["r2"].sel(site=ALL, predictor="next_token_law", target="belief")) == pytest.approx(1, abs=1e-6)
    assert {claim["id"]: claim["status"] for claim in finished.claims}["steering"] == "not tested"
    page = finished.report.read_text(encoding="utf-8")
    for panel in ("loss-llc", "beliefs", "rivals"):
        assert f'id="{panel}"' in page, panel


def test_what_is_finished_is_not_made_again(finished: og.Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.directory.glob("measurements/*/*")}
    assert before
    again = og.study("belief-states", "quick", finished.directory, settings=SMALL, executor=Serial())
    assert again.claims == finished.claims
    assert {path: path.stat().st_mtime_ns for path in finished.directory.glob("measurements/*/*")} == before
    assert rewrite_report(finished.directory) == finished.report
    assert json.loads((finished.directory / "study.json").read_text())["study"] == "belief-states"


@pytest.mark.parametrize(
    "missing", [("beliefs-transformer", "presentation"), ("picture", "beliefs-lstm", "trajectory")]
)
def test_a_run_that_was_killed_between_two_artefacts_goes_on(finished: og.Run, missing: tuple[str, ...]) -> None:
    """As if killed before these were written: all others are there."""
    paths = [place(finished.directory, name) for name in missing]
    before = [read_tree(path).to_dataset() for path in paths]
    for path in paths:
        shutil.rmtree(path)
    run(override(preset("quick"), SMALL), finished.directory, finished.directory / "text", Silent(), Serial())
    for path, stored in zip(paths, before, strict=True):
        xr.testing.assert_identical(read_tree(path).to_dataset(), stored)


@pytest.mark.slow
def test_a_sampler_that_diverges_costs_its_own_claims_alone(finished: og.Run, tmp_path: Path) -> None:
    diverging = {"sampler": {"kernel": {"name": "SGLD", "step_size": 10.0}, "num_chains": 2, "num_draws": 9}}
    found = og.study("belief-states", "quick", tmp_path / "run", settings=SMALL | diverging, executor=Serial())
    outcomes = read_tree(place(found.directory, "trajectory")).to_dataset()["llc_outcome"]
    assert (outcomes == "diverged").all()
    assert found.claims == finished.claims  # none of them needs a coefficient
    assert "Stages were not looked for" in found.report.read_text(encoding="utf-8")


def test_another_study_in_the_folder_is_refused(finished: og.Run) -> None:
    with pytest.raises(og.InvalidArgument, match="a new folder"):
        og.study("language", "quick", finished.directory)


def curves(excess: float) -> xr.Dataset:
    optimum = np.array([1.0, 0.9])
    losses = np.stack([optimum + 0.3, optimum + excess])
    return xr.Dataset({"loss_by_length": (("step", "length"), losses), "optimal_loss": ("length", optimum)})


def regressions(r2: float = 0.99, untrained: float = 0.8, p: float = 0.005, distance: float = 0.9) -> xr.Dataset:
    sites, predictors = ["embedding", "layer 0", ALL], ["activations", "untrained", "next_token_law", "last_2"]
    table = np.broadcast_to(np.array([r2, untrained, 1.0, 0.95])[None, :, None], (3, 4, 1))
    constant = {"p_value": p, "shuffled_mean": 0.0, "unweighted_r2": r2, "num_contexts": 100.0, "overtaken_by": 4.0}
    return xr.Dataset(
        {
            "r2": (("site", "predictor", "target"), table),
            "columns": (("site", "predictor"), np.full((3, 4), 8)),
            "distance_r2": (("site", "against"), np.tile([distance, 0.3], (3, 1))),
            "untrained_distance_r2": (("site", "against"), np.tile([0.4, 0.3], (3, 1))),
            "final_loss_by_length": ("length", [1.1, 1.0]),
            **{name: ("site", np.full(3, value)) for name, value in constant.items()},
        },
        coords={
            "site": sites,
            "predictor": predictors,
            "target": ["belief"],
            "against": ["beliefs", "next-token laws"],
        },
        attrs={"steered": 0.8, "steered_at_random": 0.05, "steered_pairs": 10},
    )


@pytest.fixture(scope="module")
def config() -> BeliefConfig:
    return preset("standard")


def test_claims_are_met_by_what_is_claimed(config: BeliefConfig) -> None:
    found = evidence(curves(0.003), regressions(), regressions(), config)
    assert all(isinstance(each, Evidence) and each.met for each in found.values())
    measured = {name: each.measured for name, each in found.items() if isinstance(each, Evidence)}
    assert measured["training"] == pytest.approx(20)
    assert measured["distances"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("claim", "excess", "changes"),
    [
        ("optimal-loss", 0.02, {}),
        ("beyond-last-tokens", 0.003, {"r2": 0.9}),
        ("training", 0.003, {"untrained": 0.98}),
        ("shuffles", 0.003, {"p": 0.2}),
        ("distances", 0.003, {"distance": 0.5}),
    ],
)
def test_each_claim_can_fail(claim: str, excess: float, changes: dict, config: BeliefConfig) -> None:
    found = evidence(curves(excess), regressions(**changes), regressions(), config)[claim]
    assert isinstance(found, Evidence)
    assert not found.met


def test_steering_that_any_direction_does_fails(config: BeliefConfig) -> None:
    both = regressions().assign_attrs(steered_at_random=0.7)
    found = evidence(curves(0.003), both, regressions(), config)["steering"]
    assert isinstance(found, Evidence)
    assert not found.met
