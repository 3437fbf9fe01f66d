"""The belief study end to end at its smallest, its claims one by one, and that a finished part is not made again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.stores import read_tree
from ontogeny.studies import rewrite_report
from ontogeny.studies.artefacts import place, read_artefact
from ontogeny.studies.belief_states import STUDY
from ontogeny.studies.belief_states.config import BeliefConfig
from ontogeny.studies.belief_states.evidence import claims
from ontogeny.studies.belief_states.recipe import ALL
from ontogeny.studies.evidence import Evidence, Finding
from ontogeny.studies.findings import Findings

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
    seed = finished.directory / "seed-0"
    trajectory = read_tree(place(seed, "trajectory")).to_dataset()
    assert {"loss_by_length", "belief_r2", "llc"} <= set(trajectory.data_vars)
    optimum = read_tree(place(seed, "optimum")).to_dataset()["optimal_loss"]
    assert (trajectory["loss_by_length"] - optimum > 0).all()
    beliefs = read_tree(place(seed, "beliefs-transformer"))["regressions"].to_dataset()
    rivals = {"activations", "untrained", "next_token_law", "random_projection", "last_1", "last_3"}
    assert rivals <= set(beliefs["predictor"].values)
    assert float(beliefs["r2"].sel(site=ALL, predictor="next_token_law", target="belief")) == pytest.approx(1, abs=1e-6)
    assert {claim["id"]: claim["status"] for claim in finished.claims}["steering"] == "not tested"
    page = finished.report.read_text(encoding="utf-8")
    for panel in ("loss-llc", "beliefs", "rivals"):
        assert f'id="{panel}"' in page, panel


def test_what_is_finished_is_not_made_again(finished: og.Run) -> None:
    def kept() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in finished.directory.glob("seed-0/**/manifest.json")}

    before = kept()
    assert before
    again = og.study("belief-states", "quick", finished.directory, settings=SMALL, executor=Serial())
    assert again.claims == finished.claims
    assert kept() == before
    assert rewrite_report(finished.directory) == finished.report
    assert json.loads((finished.directory / "study.json").read_text())["study"] == "belief-states"


MORE = [pytest.param(name, marks=pytest.mark.slow) for name in ("beliefs-transformer", "beliefs-lstm", "optimum")]


@pytest.mark.parametrize("missing", ["presentation", "trajectory", *MORE])
def test_a_run_that_was_killed_between_two_artefacts_goes_on(finished: og.Run, missing: str) -> None:
    """As if killed before this one was written: all others are there."""
    seed = finished.directory / "seed-0"
    before = read_artefact(seed, missing)
    shutil.rmtree(place(seed, missing))
    again = og.study("belief-states", "quick", finished.directory, settings=SMALL, executor=Serial())
    assert again.claims == finished.claims
    after = read_artefact(seed, missing)
    several = [(before, after)] if isinstance(before, xr.Dataset) else [(before[name], after[name]) for name in before]
    for old, new in several:
        xr.testing.assert_identical(new, old)


@pytest.mark.slow
def test_a_sampler_that_diverges_costs_its_own_claims_alone(finished: og.Run, tmp_path: Path) -> None:
    diverging = {"sampler": {"kernel": {"name": "SGLD", "step_size": 10.0}, "num_chains": 2, "num_draws": 9}}
    found = og.study("belief-states", "quick", tmp_path / "run", settings=SMALL | diverging, executor=Serial())
    outcomes = read_tree(place(found.directory / "seed-0", "trajectory")).to_dataset()["llc_outcome"]
    assert (outcomes == "diverged").all()
    assert found.claims == finished.claims  # none of them needs a coefficient
    assert "Stages were not looked for" in found.report.read_text(encoding="utf-8")


def test_another_study_in_the_folder_is_refused(finished: og.Run) -> None:
    with pytest.raises(og.InvalidArgument, match="a new folder"):
        og.study("language", "quick", finished.directory)


OPTIMUM = np.array([1.0, 0.9])


def curves(excess: float) -> xr.Dataset:
    losses = np.stack([OPTIMUM + 0.3, OPTIMUM + excess])
    return xr.Dataset({"loss_by_length": (("step", "length"), losses)})


def evidence(
    trajectory: xr.Dataset, beliefs: xr.Dataset, recurrent: xr.Dataset, config: BeliefConfig
) -> dict[str, Finding]:
    found = {
        "trajectory": trajectory,
        "beliefs-transformer": {"regressions": beliefs},
        "beliefs-lstm": {"regressions": recurrent},
        "optimum": xr.Dataset({"optimal_loss": ("length", OPTIMUM)}),
    }
    return claims.test(Findings(found), config)


def regressions(r2: float = 0.99, untrained: float = 0.8, p: float = 0.005, distance: float = 0.9) -> xr.Dataset:
    sites, predictors = ["embedding", "layer 0", ALL], ["activations", "untrained", "next_token_law", "last_2"]
    table = np.broadcast_to(np.array([r2, untrained, 1.0, 0.95])[None, :, None], (3, 4, 1))
    constant = {"shuffled_mean": 0.0, "unweighted_r2": r2, "num_contexts": 100.0, "overtaken_by": 4.0}
    shuffles = np.where(np.arange(999) < 1000 * p - 1, 1.0, 0.0) * np.ones((3, 1))
    return xr.Dataset(
        {
            "r2": (("site", "predictor", "target"), table),
            "columns": (("site", "predictor"), np.full((3, 4), 8)),
            "shuffled_r2": (("site", "permutation"), shuffles),
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
    return STUDY.config("standard")


def test_claims_are_met_by_what_is_claimed(config: BeliefConfig) -> None:
    found = evidence(curves(0.003), regressions(), regressions(), config)
    assert all(isinstance(each, Evidence) and each.met for each in found.values())
    effects = {name: each.effect for name, each in found.items() if isinstance(each, Evidence)}
    assert effects["training"] == pytest.approx(20)
    assert effects["distances"] == pytest.approx(0.5)
    with_null = [each.null.p_value for each in found.values() if isinstance(each, Evidence) and each.null]
    assert with_null == pytest.approx([0.005] * 4)


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
