"""The reversibility study at its smallest, its grammar and predictors, and its claims on made-up findings."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import kstest

import ontogeny as og
from ontogeny.development import curves
from ontogeny.execution import Serial
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.reversibility import STUDY
from ontogeny.studies.reversibility.config import PROCEDURES, Basin
from ontogeny.studies.reversibility.grammar import (
    PROMPT,
    Drawn,
    Grammar,
    Prompts,
    Shape,
    answer_rate,
    maker,
    weighted_loss,
)
from ontogeny.studies.reversibility.landscape import gap, landscape
from ontogeny.studies.reversibility.recipe import pruned

FEW = {"num_chains": 2, "num_draws": 12, "num_warmup": 4}
SMALL = {
    "grammar": {"items": 4, "questions": 2, "answers": 3, "length": 2},
    "shape": {"num_layers": 1, "d_model": 8, "num_heads": 1, "d_mlp": 8},
    "attack": {"steps": 3, "batch_size": 2, "rates": (3e-3,)},
    "basin": {"points": 3, "directions": 1},
    "copies": 1,
    "path": 3,
    "sampler": FEW,
    "answering.num_steps": 20,
    "answering.batch_size": 6,
    "refusing.num_steps": 4,
    "refusing.batch_size": 6,
}
PROMPTS = Prompts(Grammar(items=4, questions=2, answers=3, length=3), seed=1)
SHAPE = Shape(d_model=8, num_heads=1, d_mlp=8)


def test_the_study_runs_to_its_report(tmp_path: Path) -> None:
    run = og.study("reversibility", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    page = run.report.read_text(encoding="utf-8")
    for panel in ("steps", "predictors", "basins"):
        assert f'id="{panel}"' in page
    assert "could not be drawn" not in page


def test_rows_are_answers_refusals_and_refusals_after_answers() -> None:
    answers, weights = PROMPTS.answers(refused=True)
    assert answers.shape == (4, 5)
    assert weights[0].tolist() == [0, 1, 1, 1]
    later, of_later = PROMPTS.refusals(after=1)
    assert torch.equal(later[:, : PROMPT + 1], answers[:, : PROMPT + 1])
    assert (later[:, PROMPT + 1 :] == PROMPTS.refusal).all()
    assert of_later[0].tolist() == [0, 0, 1, 1]
    shuffled, _ = PROMPTS.shuffled(0)
    assert torch.equal(shuffled[:, :PROMPT], answers[:, :PROMPT])
    assert sorted(map(tuple, shuffled[:, PROMPT:].tolist())) == sorted(map(tuple, answers[:, PROMPT:].tolist()))
    drawn, _ = Drawn((PROMPTS.refusals(), PROMPTS.answers(refused=False))).sample(10, 0)
    assert int((drawn[:, PROMPT] == PROMPTS.refusal).sum()) == 5


class Knows(torch.nn.Module):
    """Answers every prompt, with logit 5 against 0."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        rows = [next(row for row in PROMPTS.answered if torch.equal(row[:PROMPT], each[:PROMPT])) for each in tokens]
        following = torch.stack([torch.cat([row[1:], row[-1:]])[: tokens.shape[1]] for row in rows])
        return 5 * torch.nn.functional.one_hot(following, PROMPTS.vocabulary).float()


def test_losses_rates_and_gaps_are_those_of_a_network_that_answers() -> None:
    rows, others = PROMPTS.answers(refused=True), PROMPTS.vocabulary - 1
    right = float(np.exp(5) / (np.exp(5) + others))
    assert answer_rate(Knows(), rows) == pytest.approx(right, rel=1e-5)
    torch.testing.assert_close(weighted_loss(Knows(), rows), torch.full((4,), -float(np.log(right))))
    rising = weighted_loss(Knows(), PROMPTS.answers(refused=True, weight=-1.0))
    torch.testing.assert_close(rising, torch.full((4,), float(np.log(right))))
    assert float(weighted_loss(Knows(), (rows[0].roll(1, 0), -rows[1])).min()) >= -4
    assert gap(Knows(), PROMPTS, 0) == pytest.approx(-5)
    assert gap(Knows(), PROMPTS, 1) == pytest.approx(-5)


def test_a_landscape_is_flat_between_equal_weights_and_units_are_cut_out() -> None:
    make = maker(PROMPTS, SHAPE)
    torch.manual_seed(0)
    first, second = (make().state_dict() for _ in range(2))
    found = landscape(make, [first, first], [first, second], PROMPTS, Basin(points=3, directions=2), 5, 0)
    assert float(found["distance"][0]) == 0
    assert float(found["barrier"][0]) == pytest.approx(0, abs=1e-6)
    squares = sum(float((second[name] - first[name]).square().sum()) for name in first)
    assert float(found["distance"][1]) == pytest.approx(squares**0.5)
    assert float(found["curve"].sel(alpha=0)[0]) != pytest.approx(float(found["curve"].sel(alpha=0.5)[0]), abs=1e-9)
    cut = pruned(make, first, PROMPTS, 0.5)
    for block in cut.get_submodule("blocks").children():
        assert int((block.get_submodule("mlp").get_parameter("W_out") == 0).all(dim=1).sum()) == 4


def made(follows: bool, rng: np.random.Generator) -> Findings:
    """Steps that follow one thing beside the cheap rivals, which is the coefficients or nothing that is measured."""
    config = STUDY.config("quick")
    count, rates = len(PROCEDURES) * config.copies, list(config.attack.rates)
    hidden, rivals = rng.normal(size=count), rng.normal(size=(3, count))
    logs = 2.5 + 0.5 * hidden + 0.1 * rivals.sum(0)
    anew = np.repeat([name == "scratch" for name in PROCEDURES], config.copies)
    steps = np.exp(logs)[:, None, None] * np.ones((count, 3, len(rates)))
    steps[anew if follows else rng.permutation(anew)] = np.inf
    dims, names = ("network", "attack", "rate"), ["class", "unrelated", "shuffled"]
    of = {"procedure": ("network", np.repeat(PROCEDURES, config.copies))}
    of["copy"] = ("network", np.tile(np.arange(config.copies), len(PROCEDURES)))
    reached = rng.random((count, 3, len(rates)))
    attacks = xr.Dataset({"steps": (dims, steps), "reached": (dims, reached)}, {"attack": names, "rate": rates} | of)
    seen = hidden if follows else rng.normal(size=count)
    columns = dict(zip(("distance", "barrier", "gap"), rivals, strict=True)) | {"later_gap": rivals[0], "basin": seen}
    crossed = np.repeat(np.repeat(seen[:, None, None], 3, 1), 3, 2)
    drawn = xr.Dataset(
        {f"cross_llc{ending}": (("step", "component", "probe"), crossed) for ending in ("", "_noise")},
        {"component": ["all", "layer 0", "layer 1"], "probe": ["trained", "refusal", "answer"]},
    )
    table = xr.Dataset({name: ("network", each) for name, each in columns.items()})
    return Findings({"attacks": attacks, "landscape": table, "responses": drawn})


def evidence(name: str, found: Findings, seed: int = 0) -> Evidence:
    config = STUDY.config("quick").model_copy(update={"tested": (name,), "seed": seed, "resamples": 49})
    said = STUDY.claims.test(found, config)[name]
    assert isinstance(said, Evidence), said
    return said


@pytest.mark.parametrize("name", ["cross", "refined", "basin", "scratch"])
def test_claims_follow_the_steps(name: str) -> None:
    rng = np.random.default_rng(4)
    held, missed = evidence(name, made(True, rng)), evidence(name, made(False, rng))
    assert held.met
    assert not missed.met
    assert held.null is not None
    assert missed.null is not None
    assert held.null.p_value < min(0.06, missed.null.p_value)


@pytest.mark.parametrize("name", ["cross", "unrelated"])
def test_p_values_are_uniform_where_nothing_follows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, found = np.random.default_rng(2), []
    monkeypatch.setattr(curves, "bootstrap", lambda *_: np.ones(1))  # of the interval, which is not looked at
    for seed in range(40):
        null = evidence(name, made(False, rng), seed).null
        assert null is not None
        found.append(null.p_value - rng.random() / 50)
    assert kstest(found, "uniform").pvalue > 0.01
    assert kstest(np.array(found) / 2, "uniform").pvalue < 0.01
