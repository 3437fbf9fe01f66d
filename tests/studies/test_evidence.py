"""Evidence for the language claims on trajectories that are made to meet them, and on ones that are made not to."""

import numpy as np
import pytest
import xarray as xr

from ontogeny.studies.evidence import Evidence, Finding, NotTested
from ontogeny.studies.findings import Findings, Missing
from ontogeny.studies.language import STUDY
from ontogeny.studies.language.config import LanguageConfig, Thresholds
from ontogeny.studies.language.evidence import behavioural_changes, claims

TESTED = ("bigram-to-trigram", "previous-before-induction", "icl-with-induction", "one-layer-control", "stages")

STEPS = np.unique(np.geomspace(1, 4000, 45).round().astype(int))
X = np.log10(STEPS)


def rise(at: float, width: float = 0.08) -> np.ndarray:
    return 1 / (1 + np.exp(-(X - np.log10(at)) / width))


def trajectory(
    bigram_rise: float = 0.5,
    previous_at: float = 300,
    prefix_at: float = 1500,
    fall_at: float = 1500,
    llc_rise: float = 40,
) -> xr.Dataset:
    rng = np.random.default_rng(0)

    def by_sequence(curve: np.ndarray, noise: float, count: int = 32) -> np.ndarray:
        return curve[:, None] + noise * rng.standard_normal(count)

    fall = 2.5 * (1 - rise(60))
    bigram = by_sequence(4 + fall + bigram_rise * rise(900), 0.05)
    trigram = by_sequence(3.5 + fall - 0.6 * rise(600) + 0.2 * rise(3000), 0.05)
    heads = np.full((4, len(STEPS), 2, 2, 32), 0.02)
    heads[0, :, 0, 1] = by_sequence(0.03 + 0.3 * rise(previous_at), 0.01)
    heads[3, :, 1, 0] = by_sequence(0.01 + 0.2 * rise(prefix_at), 0.01)
    icl = by_sequence(-0.3 * rise(fall_at), 0.05)
    scores = ["previous_token", "current_token", "duplicate_token", "prefix_matching"]
    return xr.Dataset(
        {
            "ngram_by_sequence": (("step", "order", "ngram_sequence"), np.stack([bigram, trigram], axis=1)),
            "ngram_cross_entropy": (("step", "order"), np.stack([bigram.mean(1), trigram.mean(1)], axis=1)),
            "head_score_by_sequence": (("score", "step", "layer", "head", "repeat"), heads),
            "head_score": (("score", "step", "layer", "head"), heads.mean(-1)),
            "icl_by_sequence": (("step", "sequence"), icl),
            "icl_score": ("step", icl.mean(1)),
            "llc": (("step", "component", "dataset"), (20 + llc_rise * X / X[-1])[:, None, None]),
            "llc_mcse": (("step", "component", "dataset"), np.full((len(STEPS), 1, 1), 0.5)),
        },
        coords={"step": STEPS, "order": ["bigram", "trigram"], "score": scores, "component": ["all"]},
    )


def control(prefix: float = 0.02) -> xr.Dataset:
    made = trajectory().isel(layer=[0])
    flat = made["head_score_by_sequence"] * 0 + prefix
    return made.assign(head_score_by_sequence=flat, head_score=flat.mean("repeat"))


def boundaries(steps: list[float], width: float = 0.05) -> xr.Dataset:
    half = 10 ** (width / 2)
    edges = {"boundary_step": 1.0, "boundary_low": 1 / half, "boundary_high": half}
    return xr.Dataset({name: ("boundary", np.array(steps) * factor) for name, factor in edges.items()})


@pytest.fixture
def config() -> LanguageConfig:
    return STUDY.config("standard").model_copy(update={"thresholds": Thresholds(bootstrap=200), "tested": TESTED})


def evidence(
    trajectory: xr.Dataset, control: xr.Dataset, stages: xr.Dataset | Missing, config: LanguageConfig
) -> dict[str, Finding]:
    """What the claims that are not about parts say; the others are not tested."""
    found = Findings({"trajectory": trajectory, "control-curves": control, "stages": stages})
    return {name: item for name, item in claims.test(found, config).items() if name in TESTED}


def as_tested(found: Finding) -> Evidence:
    assert isinstance(found, Evidence), found
    return found


def p_value(found: Finding) -> float:
    null = as_tested(found).null
    assert null is not None
    return null.p_value


MEETING = [100.0, 300.0, 700.0, 1500.0]


def test_claims_are_met_by_a_development_that_is_as_claimed(config: LanguageConfig) -> None:
    found = evidence(trajectory(), control(), boundaries(MEETING), config)
    assert {name: as_tested(item).met for name, item in found.items()} == dict.fromkeys(TESTED, True)
    assert all(p_value(item) < 0.1 for item in found.values())
    assert as_tested(found["bigram-to-trigram"]).effect == pytest.approx(0.5, abs=0.05)
    assert as_tested(found["previous-before-induction"]).effect == pytest.approx(np.log10(1500 / 300), abs=0.08)


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("bigram-to-trigram", {"bigram_rise": 0.0}),
        ("bigram-to-trigram", {"bigram_rise": 0.05}),
        ("previous-before-induction", {"previous_at": 2500}),
        ("icl-with-induction", {"fall_at": 300}),
        ("stages", {"llc_rise": -10}),
    ],
)
def test_each_claim_can_fail(claim: str, changes: dict, config: LanguageConfig) -> None:
    item = as_tested(evidence(trajectory(**changes), control(), boundaries(MEETING), config)[claim])
    assert not item.met
    assert p_value(item) > 0.05


def test_a_control_that_learns_induction_fails(config: LanguageConfig) -> None:
    item = as_tested(evidence(trajectory(), control(prefix=0.1), boundaries(MEETING), config)["one-layer-control"])
    assert not item.met
    assert p_value(item) > 0.5


def test_boundaries_elsewhere_fail(config: LanguageConfig) -> None:
    item = as_tested(evidence(trajectory(), control(), boundaries([4.0, 12.0]), config)["stages"])
    assert not item.met


def test_wide_boundaries_are_not_counted(config: LanguageConfig) -> None:
    item = as_tested(evidence(trajectory(), control(), boundaries(MEETING, width=0.3), config)["stages"])
    assert not item.met
    assert "0 boundaries counted" in item.control


def test_without_stages_the_other_claims_are_tested(config: LanguageConfig) -> None:
    found = evidence(trajectory(), control(), Missing("stages", "they need more"), config)
    assert found.pop("stages") == NotTested("stages is missing: they need more")
    assert all(isinstance(item, Evidence) for item in found.values())


def test_a_rise_is_taken_between_usable_estimates(config: LanguageConfig) -> None:
    outcomes = np.full((len(STEPS), 1, 1), "converged", dtype="U16")
    outcomes[-1] = "diverged"
    made = trajectory().assign(llc_outcome=(("step", "component", "dataset"), outcomes))
    made["llc"][-1] = -1e6
    assert as_tested(evidence(made, control(), boundaries(MEETING), config)["stages"]).met


def test_changes_are_found_where_they_were_put() -> None:
    found = behavioural_changes(trajectory(), Thresholds())
    assert found["in-context fall"] == pytest.approx(1500, rel=0.1)
    assert found["prefix-matching rise"] == pytest.approx(1500, rel=0.1)
    assert found["previous-token half"] == pytest.approx(300, rel=0.2)
