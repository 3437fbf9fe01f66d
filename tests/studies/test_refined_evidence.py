"""Evidence for the claims about parts, on curves that are made to meet them, and on ones that are made not to."""

from functools import partial

import numpy as np
import pytest
import xarray as xr

from ontogeny.circuits import head_types
from ontogeny.core.errors import InvalidArgument
from ontogeny.development import SignatureConfig
from ontogeny.development.curves import falls
from ontogeny.development.usable import usable_curves
from ontogeny.studies.evidence import Evidence, Finding, NotTested
from ontogeny.studies.findings import Findings, Missing
from ontogeny.studies.language import STUDY
from ontogeny.studies.language.config import LanguageConfig, Thresholds
from ontogeny.studies.language.recipe import clustered
from ontogeny.studies.language.refined_evidence import claims

OTHER = "other"
TESTED = ("signatures", "rise-and-fall", "code-and-prose", "relative")

STEPS = np.geomspace(1, 4000, 14).round().astype(int)
T = np.linspace(0, 1, 14)
HEADS = [f"L{layer}H{head}" for layer in range(2) for head in range(8)]
RISING = 1 + 9 * T
FALLING = 1 + 9 * np.where(T < 0.6, T / 0.6, 1 - (T - 0.6))
INDUCTION = ("L1H2", "L1H5", "L1H6")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    few = partial(SignatureConfig, num_resamples=10, num_permutations=199)
    monkeypatch.setattr("ontogeny.studies.language.recipe.SignatureConfig", few)


@pytest.fixture
def config() -> LanguageConfig:
    return STUDY.config("standard").model_copy(update={"thresholds": Thresholds(bootstrap=200), "tested": TESTED})


def refined_evidence(
    trajectory: xr.Dataset, parts: dict[str, xr.Dataset], config: LanguageConfig
) -> dict[str, Finding]:
    """What the claims about parts say."""
    try:
        signatures = clustered(parts["refined"], trajectory, config.thresholds, config.seed)
    except InvalidArgument as error:
        signatures = Missing("signatures", str(error))
    found = Findings({"trajectory": trajectory, "signatures": signatures, **parts})
    return {name: item for name, item in claims.test(found, config).items() if name in TESTED}


def scores() -> xr.Dataset:
    names = ["previous_token", "current_token", "duplicate_token", "prefix_matching"]
    values = np.full((4, 1, 2, 8), 0.01)
    values[0, 0, 0, :3] = 0.5
    for head in INDUCTION:
        values[3, 0, 1, int(head[3])] = 0.2
    return xr.Dataset({"head_score": (("score", "step", "layer", "head"), values)}, coords={"score": names})


def coefficients(curves: dict[str, np.ndarray], code: dict[str, float] | None = None) -> xr.Dataset:
    """Coefficients with an error of 0.1; on code a multiple of those on prose, which are those of the main text."""
    rng = np.random.default_rng(0)
    values = np.stack([curves[head] for head in curves])[:, :, None] * np.ones(3)
    for row, head in enumerate(curves):
        values[row, :, 1] *= (code or {}).get(head, 1.0)
    values += 0.1 * rng.standard_normal(values.shape)
    dims = ("component", "step", "dataset")
    coords = {"component": list(curves), "step": STEPS, "dataset": ["mixed", "code", "prose"]}
    return xr.Dataset({"llc": (dims, values), "llc_mcse": (dims, np.full(values.shape, 0.1))}, coords=coords)


def noise(code: float = 1.0) -> xr.Dataset:
    values = np.tile([1.0, code, 1.0], (16, 1))
    dims, coords = ("component", "probe"), {"component": HEADS, "probe": ["mixed", "code", "prose"]}
    return xr.Dataset({"rise_noise": (dims, values), "rise_mcse_noise": (dims, 0.01 * values)}, coords=coords)


def parts(refined: xr.Dataset, relative: xr.Dataset | None = None, responses: xr.Dataset | None = None) -> dict:
    return {
        "refined": refined,
        "relative": relative if relative is not None else coefficients(dict.fromkeys(HEADS, RISING)),
        "responses": responses if responses is not None else noise(),
    }


def as_tested(found: Finding) -> Evidence:
    assert isinstance(found, Evidence), found
    return found


def p_value(found: Finding) -> float:
    null = as_tested(found).null
    assert null is not None
    return null.p_value


def by_type() -> dict[str, np.ndarray]:
    types = head_types(scores()["head_score"].isel(step=-1), Thresholds().head_scores)
    return {head: FALLING if types[head] == OTHER else RISING for head in HEADS}


def test_heads_are_of_the_first_type_whose_threshold_they_reach() -> None:
    found = head_types(scores()["head_score"].isel(step=-1), Thresholds().head_scores)
    assert [found[head] for head in ("L0H0", "L0H3", "L1H2")] == ["previous_token", OTHER, "prefix_matching"]


def test_claims_are_met_where_parts_develop_as_claimed(config: LanguageConfig) -> None:
    refined = coefficients(by_type(), dict.fromkeys(INDUCTION, 2.0))
    relative = coefficients({head: FALLING if head.startswith("L0") else RISING for head in HEADS})
    found = refined_evidence(scores(), parts(refined, relative), config)
    assert {name: as_tested(item).met for name, item in found.items()} == dict.fromkeys(TESTED, True)
    assert as_tested(found["rise-and-fall"]).effect == pytest.approx(10 / 16)
    assert as_tested(found["code-and-prose"]).effect == pytest.approx(np.log(2), abs=0.05)
    assert p_value(found["code-and-prose"]) < 0.05
    assert p_value(found["signatures"]) < 0.05
    assert p_value(found["relative"]) < 0.05


def test_claims_are_not_met_where_all_parts_are_alike(config: LanguageConfig) -> None:
    alike = coefficients(dict.fromkeys(HEADS, RISING))
    found = refined_evidence(scores(), parts(alike), config)
    assert not any(as_tested(found[name]).met for name in ("rise-and-fall", "code-and-prose", "relative"))
    assert min(p_value(item) for item in found.values()) > 0.05
    assert as_tested(found["rise-and-fall"]).effect == 0


@pytest.mark.parametrize("seed", range(3))
def test_clusters_that_are_the_layers_say_nothing_of_types(config: LanguageConfig, seed: int) -> None:
    by_layer = coefficients({head: FALLING if head.startswith("L0") else RISING for head in HEADS})
    found = as_tested(
        refined_evidence(scores(), parts(by_layer), config.model_copy(update={"seed": seed}))["signatures"]
    )
    assert found.effect > 0
    assert not found.met
    assert p_value(found) == 1


def test_a_ratio_that_noise_has_as_well_is_no_evidence(config: LanguageConfig) -> None:
    refined = coefficients(dict.fromkeys(HEADS, RISING), dict.fromkeys(INDUCTION, 2.0))
    same = noise()
    same["rise_noise"].loc[{"component": list(INDUCTION), "probe": "code"}] = 2.0
    found = as_tested(refined_evidence(scores(), parts(refined, responses=same), config)["code-and-prose"])
    assert not found.met
    assert "under the loss alone 0.69" in found.control


def test_without_an_induction_head_types_say_nothing(config: LanguageConfig) -> None:
    blank = scores() * 0
    found = refined_evidence(blank, parts(coefficients(dict.fromkeys(HEADS, FALLING))), config)
    assert {name for name, item in found.items() if isinstance(item, Evidence)} == {"rise-and-fall", "relative"}
    assert found["signatures"] == NotTested("no head scores high enough to be of a type")


def test_parts_that_were_not_measured_cost_their_own_claims(config: LanguageConfig) -> None:
    measured = {"refined": coefficients(by_type())}
    found = refined_evidence(scores(), measured, config)
    assert isinstance(found["rise-and-fall"], Evidence)
    assert found["relative"] == NotTested("relative was not made")


def with_outcomes(made: xr.Dataset, bad: dict[str, slice]) -> xr.Dataset:
    """Converged, but for some estimates of some components, which diverged far up."""
    outcomes = xr.full_like(made["llc"], "converged", dtype="U16")
    for component, steps in bad.items():
        outcomes.loc[{"component": component}][steps] = "diverged"
    return made.assign(llc=made["llc"].where(outcomes == "converged", 1e6), llc_outcome=outcomes)


def test_estimates_that_are_not_to_be_used_are_not(config: LanguageConfig) -> None:
    made = coefficients(by_type())
    whole = as_tested(refined_evidence(scores(), {"refined": made}, config)["rise-and-fall"])
    some = with_outcomes(made, {"L0H3": slice(2, 3), "L0H4": slice(0, 10)})
    found = as_tested(refined_evidence(scores(), {"refined": some}, config)["rise-and-fall"])
    assert "1 heads without a usable curve" in found.control
    assert found.effect == pytest.approx((whole.effect * 16 - 1) / 15)
    none = with_outcomes(made, dict.fromkeys(HEADS, slice(0, 12)))
    assert isinstance(refined_evidence(scores(), {"refined": none, "relative": none}, config)["relative"], NotTested)


def test_a_curve_that_ends_at_its_peak_falls_by_nothing() -> None:
    made = coefficients({"L0H0": RISING, "L0H1": FALLING})
    fall, error = falls(*usable_curves(made, ["L0H0", "L0H1"]))
    assert fall[0] == error[0] == 0
    assert fall[1] == pytest.approx(0.36, abs=0.05)
