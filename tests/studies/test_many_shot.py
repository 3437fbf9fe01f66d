"""The many-shot study at its smallest, exact laws, what is read from networks, and its claims on made-up findings."""

import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit
from scipy.stats import kstest

import ontogeny as og
from ontogeny.execution import Serial
from ontogeny.studies import Evidence, Findings
from ontogeny.studies.many_shot import STUDY, scaling_laws
from ontogeny.studies.many_shot.changes import change_point, crossing
from ontogeny.studies.many_shot.config import ABSENT, ALONE, Mixture
from ontogeny.studies.many_shot.languages import Languages, brute_force, laws, relative_entropy_rate
from ontogeny.studies.many_shot.reading import line, log_odds
from ontogeny.studies.many_shot.scaling_laws import LAWS, held_out

FEW = {"num_chains": 2, "num_draws": 12, "num_warmup": 4}
SMALL = {
    "mixture": {"tokens": 3, "distances": (0.3,), "weights": (0.5, 0.5), "length": 8},
    "shape": {"num_layers": 1, "d_model": 8, "num_heads": 1, "d_mlp": 8},
    "shifts": (1.0,),
    "sequences": 64,
    "tested_sequences": 16,
    "single": 2,
    "brute_length": 2,
    "rows": 20,
    "observed": 6,
    "sampler": FEW,
    "training.num_steps": 20,
    "training.batch_size": 8,
    "tuning.num_steps": 4,
    "tuning.batch_size": 4,
}
WEIGHTS = [0.4, 0.35, 0.25]


def test_the_study_runs_to_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun_once = {name: (law, starts[:1]) for name, (law, starts) in scaling_laws.LAWS.items()}
    monkeypatch.setattr(scaling_laws, "LAWS", begun_once)
    monkeypatch.setattr(scaling_laws, "MOST_CALLS", 20)  # of 8 shots nothing is learned anyway
    run = og.study("many-shot", "quick", tmp_path / "run", settings=SMALL, executor=Serial())
    assert run.failures == []
    page = run.report.read_text(encoding="utf-8")
    for panel in ("odds", "lines", "laws", "positions", "heads"):
        assert f'id="{panel}"' in page
    assert "could not be drawn" not in page


def test_languages_are_at_their_distances_and_laws_are_those_of_brute_force() -> None:
    languages = Languages(3, (0.1, 0.4), seed=2)
    first, *others = languages.chains
    np.testing.assert_allclose([relative_entropy_rate(each, first) for each in others], [0.1, 0.4], atol=1e-9)
    assert brute_force(languages, WEIGHTS, 4) < 1e-12
    words = languages.processes[2].sample(3, 12, seed=0).numpy()
    found = laws(languages, words)
    odds = found.log_posterior(WEIGHTS)[..., 2] - np.log1p(-np.exp(found.log_posterior(WEIGHTS)[..., 2]))
    np.testing.assert_allclose(odds, found.against(2, WEIGHTS) + math.log(0.25 / 0.75), atol=1e-9)
    np.testing.assert_allclose(
        found.predictive(WEIGHTS),
        np.exp(found.log_posterior(WEIGHTS)[..., 2, None]) * found.next[:, :, 2]
        + (1 - np.exp(found.log_posterior(WEIGHTS)[..., 2, None])) * found.without(2, WEIGHTS),
    )


def test_brute_force_notices_another_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    languages = Languages(3, (0.1, 0.4), seed=2)
    right = type(languages).mixture
    monkeypatch.setattr(Languages, "mixture", lambda self, weights: right(self, [0.3, 0.35, 0.35]))
    assert brute_force(languages, WEIGHTS, 3) > 1e-3


@pytest.mark.parametrize(("shift", "gain"), [(0.0, 1.0), (2.0, 1.0), (1.0, 0.5)])
def test_offset_and_slope_are_those_of_a_shifted_mixture(shift: float, gain: float) -> None:
    languages = Languages(4, (0.2, 0.6), seed=1)
    words = languages.processes[2].sample(80, 20, seed=0).numpy()
    found = laws(languages, words)
    own, others, evidence = found.next[:, :, 2], found.without(2, WEIGHTS), found.against(2, WEIGHTS)
    odds = math.log(0.25 / 0.75) - shift + gain * evidence
    seen = expit(odds)[..., None] * own + (1 - expit(odds))[..., None] * others
    fit = line(seen, own, others, evidence)
    assert (fit.offset, fit.slope) == pytest.approx((math.log(0.25 / 0.75) - shift, gain), abs=1e-4)
    known = abs(odds) < 8
    np.testing.assert_allclose(log_odds(seen, own, others)[known], odds[known], atol=1e-3)


def test_weights_are_shifted_by_what_is_said() -> None:
    mixture = Mixture()
    weights = mixture.shifted(2, 1.5)
    assert sum(weights) == pytest.approx(1)
    assert math.log((1 - weights[2]) / weights[2]) == pytest.approx(mixture.against(2, 0.0) + 1.5)
    assert weights[0] / weights[1] == pytest.approx(mixture.weights[0] / mixture.weights[1])
    assert mixture.shifted(2, ABSENT)[2] == 0
    assert mixture.shifted(2, ALONE) == [0, 0, 1, 0]
    assert mixture.crossing(2, 1.5) == pytest.approx((math.log(4) + 1.5) / 0.5)


@pytest.mark.parametrize("name", list(LAWS))
def test_each_law_predicts_its_own_curves_and_the_bayesian_beats_powers_on_its_own(name: str) -> None:
    n, truth = np.arange(1.0, 25.0), {"power": [-0.5, -0.5, 0.8], "bounded power": [-0.5, 0.2, 0.8, 1.0]}
    truth |= {"logistic": [-0.5, 0.9, 0.8, 2.0], "Bayesian": [0.8, -0.7, 0.0, -3.0]}
    curve = LAWS[name][0](n, truth[name])
    own = held_out(name, n, curve, curve, late=False)
    assert own < 2e-3
    if name == "Bayesian":
        assert own < held_out("power", n, curve, curve, late=False) / 3


def test_changes_are_found() -> None:
    lengths = np.arange(1.0, 21.0)
    assert change_point(lengths, np.where(lengths > 7, 3.0, 1.0)) == 7.5
    assert crossing(lengths, lengths - 4.5) == pytest.approx(4.5)
    assert crossing(lengths, lengths - 40) == math.inf
    assert crossing(lengths, lengths) == 1


def made(follows: bool, rng: np.random.Generator) -> Findings:
    """Networks whose offsets, crossings and change points follow m/d, or have nothing to do with it."""
    config = STUDY.config("quick")
    cases = [(language, 0.0, 0) for language in (1, 2, 3)] + [(*arm, i + 1) for i, arm in enumerate(config.arms())]
    expected = np.array([config.mixture.crossing(language, shift) for language, shift, _ in cases])
    finite = np.where(np.isfinite(expected), expected, 10.0)
    seen = finite + rng.normal(size=len(cases)) * 0.2 if follows else rng.uniform(1, 15, len(cases))
    shifts = np.array([shift if np.isfinite(shift) else 1.0 for _, shift, _ in cases])
    moved = shifts + rng.normal(size=len(cases)) * 0.05 if follows else rng.uniform(0.1, 1, len(cases))
    offset = np.where([number == 0 for *_, number in cases], -1.4, -1.4 - moved)
    table = {"offset": offset, "slope": np.ones(len(cases)), "crossing": seen, "expected": expected}
    table |= {name: np.full(len(cases), 0.05) for name in ("offset_error", "slope_error", "slope_shuffled")}
    table["exact_error"] = np.full(len(cases), 0.01)
    errors = rng.random((len(cases), 4, 2)) + (np.array([1, 1, 1, 0])[:, None] if follows else 0)
    columns = zip(("language", "shift", "network"), zip(*cases, strict=True), strict=True)
    behaviour = xr.Dataset(
        {name: ("case", each) for name, each in table.items()} | {"held_out": (("case", "law", "split"), errors)},
        {name: ("case", np.array(each, float)) for name, each in columns}
        | {"law": list(LAWS), "split": ["between", "later"]},
    )
    found, lengths = {"behaviour": behaviour}, np.arange(1, 24)
    for _, _, number in reversed(cases):
        at = [place for place, case in enumerate(cases) if case[2] == number]
        names = [f"language {cases[place][0]}" for place in at]
        rises = np.array([np.where(lengths > round(seen[place]), 30.0, 5.0) for place in at])
        apart = [rng.integers(2, 20) if follows else finite[place] for place in at]
        noise = np.array([np.where(lengths > place, 30.0, 5.0) for place in apart])
        rise = rises[:, None] + rng.normal(size=(len(at), 6, 23)) * 0.1
        values: dict[str, tuple] = {"rise": (("part", "set", "sequence", "length"), rise[None])}
        values["rise_noise"] = (("part", "set", "sequence", "length"), np.repeat(noise[:, None], 6, 1)[None])
        values["loss"] = (("part", "set", "length"), rng.random((1, len(at), 23)))
        values["outcome"] = ("part", ["converged"])
        found[f"positions-{number}"] = xr.Dataset(values, {"part": [""], "set": names, "length": lengths})
    return Findings(found)


def evidence(name: str, found: Findings, seed: int = 0, **settings: object) -> Evidence:
    config = STUDY.config("quick").model_copy(update={"tested": (name,), "seed": seed, "resamples": 49} | settings)
    said = STUDY.claims.test(found, config)[name]
    assert isinstance(said, Evidence), said
    return said


@pytest.mark.parametrize("name", ["offset", "crossing", "change-point", "laws", "beyond-noise"])
def test_claims_follow_what_networks_do(name: str) -> None:
    rng = np.random.default_rng(3)
    held, missed = evidence(name, made(True, rng)), evidence(name, made(False, rng))
    assert held.met
    assert not missed.met
    assert held.null is not None
    assert missed.null is not None
    assert held.null.p_value < min(0.11, missed.null.p_value)


def test_p_values_are_uniform_where_nothing_follows() -> None:
    rng, found = np.random.default_rng(1), []
    for seed in range(40):
        null = evidence("offset", made(False, rng), seed).null
        assert null is not None
        found.append(null.p_value - rng.random() / 50)
    assert kstest(found, "uniform").pvalue > 0.01
    assert kstest(np.array(found) / 2, "uniform").pvalue < 0.01
