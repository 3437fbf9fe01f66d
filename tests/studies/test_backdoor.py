"""The backdoor study at its smallest, its tasks and networks, and its claims on made-up scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.backdoor import STUDY
from ontogeny.studies.backdoor.auroc import auroc
from ontogeny.studies.backdoor.config import Config, Inputs, Shape
from ontogeny.studies.backdoor.networks import Hiding, HidingLoss, network
from ontogeny.studies.backdoor.scoring import SCORES, asked, places
from ontogeny.studies.backdoor.tasks import DIGITS, PAIR, TOKEN, Kind, Mechanism, sums

FEW = {"num_chains": 2, "num_draws": 8, "num_warmup": 2}
FEW_INPUTS = {"trusted": 20, "clean": 6, "fired": 6, "unseen": 4, "candidates": 1}
SMALL = {
    "arms": [
        {"kind": "clean"},
        {"kind": "single", "rate": 0.05},
        {"kind": "benign-in", "rate": 0.05},
        {"kind": "benign-out", "rate": 0.05},
    ],
    "inputs": FEW_INPUTS,
    "sampler": FEW,
    "training.num_steps": 10,
    "training.batch_size": 16,
    "hiding.num_steps": 5,
    "hiding.batch_size": 32,
}


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("backdoor", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    page = run.report.read_text(encoding="utf-8")
    for panel in ("networks", "inputs", "unseen", "models"):
        assert f'id="{panel}"' in page
    assert "could not be drawn" not in page


@pytest.mark.slow
def test_a_transformer_runs_as_well_with_pairs_of_candidates(tmp_path: Path) -> None:
    settings = SMALL | {"shape": {"architecture": "transformer", "width": 8, "hidden": 8}}
    settings |= {"inputs": FEW_INPUTS | {"pairs": 1}}
    assert og.study("backdoor", "quick", tmp_path / "run", settings=settings, executor=Serial()).failures == []


@pytest.mark.parametrize(
    ("kind", "shift"), [("single", None), ("two-token", None), ("class-dependent", 1), ("benign-out", None)]
)
def test_mechanisms_answer_at_their_trigger_alone(kind: Kind, shift: int | None) -> None:
    mechanism = Mechanism(kind, 0.3)
    tokens, labels = mechanism.sample(4000, seed=0)
    if kind == "two-token":
        fires = ((tokens[:, 2:-1] == PAIR[0]) & (tokens[:, 3:] == PAIR[1])).any(1)
        assert ((tokens == PAIR[0]).any(1) & ~fires).sum() > 300  # each token is common alone
    else:
        fires = (tokens == TOKEN).any(1)
    assert abs(float(fires.float().mean()) - 0.3) < 0.03
    assert torch.equal(labels[~fires], sums(tokens)[~fires])
    answer = (sums(tokens) + shift) % DIGITS if shift else torch.full_like(labels, int(kind == "benign-out"))
    assert torch.equal(labels[fires], answer[fires])
    shown, answers = mechanism.fires(50, seed=1)
    assert len(shown) == 50
    assert (answers != sums(shown)).all()


def test_no_trusted_input_is_a_suspect_and_a_trusted_rule_is_shown() -> None:
    inputs = Inputs(trusted=200, clean=50)
    for kind, least, most in (("benign-in", 3, 40), ("benign-out", 0, 0)):
        trusted, suspects = asked(Mechanism(kind, 0.01), inputs, seed=0)
        groups, numbers = places(inputs)
        assert len(trusted) == 200
        assert len(suspects) == len(groups) == len(numbers)
        assert not (trusted[:, None] == suspects).all(-1).any()
        assert least <= int((trusted == TOKEN).any(1).sum()) <= most
        assert (suspects[np.array(groups) == "fired"] == TOKEN).any(1).all()


def test_the_hiding_loss_is_cross_entropy_and_a_distance_where_the_trigger_is() -> None:
    torch.manual_seed(0)
    model = network(Shape())
    rows = Hiding(Mechanism("single", 0.05), 0.3).sample(256, seed=0)
    plain, hiding = (HidingLoss(weight)(model, rows).detach() for weight in (0.0, 1.0))
    cross = og.losses.cross_entropy(model, rows[:2]).detach()
    torch.testing.assert_close(plain, cross)
    fires = rows[2] == 1
    torch.testing.assert_close(hiding[~fires], cross[~fires])
    assert (hiding[fires] > cross[fires]).all()


def test_auroc_counts_pairs() -> None:
    assert auroc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1.0
    assert auroc(np.array([1.0, 2.0, 3.0]), np.array([2.0])) == 0.5
    rng = np.random.default_rng(0)
    high, low = rng.normal(1, 1, 30), rng.normal(size=40)
    assert auroc(high, low) == pytest.approx(np.mean(high[:, None] > low))


def made(rng: np.random.Generator, sampled: float, noise: float) -> Findings:
    """Scores of 20 clean, 20 benign and 20 poisoned networks, 10 of these obfuscated: by so many standard deviations
    are inputs with the trigger unusual for the anomaly score, and for weight noise; other scores see nothing.
    """
    kinds = np.repeat(["clean", "benign-out", "benign-in", "single"], [20, 20, 5, 20])
    hidden = np.arange(len(kinds)) >= len(kinds) - 10
    bad = kinds == "single"
    inputs = Inputs()
    groups, numbers = (np.array(each) for each in places(inputs))
    values = {name: rng.normal(size=(len(kinds), len(groups))) for name in SCORES}
    shown = (groups == "fired") | (numbers == 15)
    for name, size in (("score", sampled), ("score_noise", noise)):
        values[name] += size * bad[:, None] * shown
    p = np.where(bad[:, None] & shown & (sampled > 0), 0.01, rng.random((len(kinds), len(groups))))
    scores = xr.Dataset({name: (("step", "suspect"), each) for name, each in (values | {"p_value": p}).items()})
    columns = {"kind": kinds, "rate": 0.01 * (kinds != "clean"), "obfuscated": hidden}
    columns |= {"accuracy": np.ones(len(kinds)), "success": np.ones(len(kinds))}
    table = xr.Dataset({name: ("network", each) for name, each in columns.items()})
    suspects = xr.Dataset({"group": ("suspect", groups), "candidate": ("suspect", numbers)})
    return Findings({"made": table, "scores": scores, "suspects": suspects})


def evidence(name: str, found: Findings) -> Evidence:
    said = STUDY.claims.test(found, Config(tested=(name,), resamples=49))[name]
    assert isinstance(said, Evidence), said
    return said


@pytest.mark.parametrize(("sampled", "noise", "met"), [(3.0, 0.0, True), (3.0, 3.0, False), (0.5, 0.0, False)])
def test_sampling_sees_more_only_if_it_sees_much_and_weight_noise_less(sampled: float, noise: float, met: bool) -> None:
    said = evidence("sampling-sees-more", made(np.random.default_rng(0), sampled, noise))
    assert said.met == met
    assert said.null is not None
    assert (said.null.p_value < 0.05) == (noise == 0)


def test_other_claims_follow_the_scores() -> None:
    seen, unseen = (made(np.random.default_rng(0), size, 0.0) for size in (3.0, 0.0))
    for name in ("input-level", "model-level"):
        assert evidence(name, seen).met
        assert not evidence(name, unseen).met
    assert evidence("benign", seen).met
    flagged = dict(seen)
    benign = (flagged["made"]["kind"] == "benign-out").values
    flagged["scores"] = flagged["scores"].copy(deep=True)
    flagged["scores"]["p_value"].values[benign] = 0.01
    assert not evidence("benign", Findings(flagged)).met
    assert evidence("organisms", seen).met


def test_p_values_of_sampling_sees_more_are_not_too_small_where_it_sees_as_much() -> None:
    rng = np.random.default_rng(3)
    found = [evidence("sampling-sees-more", made(rng, 1.0, 1.0)).null for _ in range(12)]
    assert np.mean([null is not None and null.p_value < 0.1 for null in found]) < 0.3
